//! Checks an ONNX graph before the engine sees it, and rewrites what the engine would stumble over.

mod functions;
pub(in crate::onnx) mod inspect;
mod sparse;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Component, Path},
};

use tract_onnx::pb::{
    self, AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto::dimension,
    type_proto,
};

use super::{
    extents,
    operators::{self, Operators},
};
use crate::onnx::engine::{Dim, LoadError, MissingOperator};

/// What the outermost dimension is called where the model has no name for it. No exporter writes such a name.
const BATCH: &str = "outermost dimension";
/// Subgraphs in subgraphs that are followed.
const MAX_DEPTH: usize = 32;

/// The graph's declaration of one tensor; `None` where it has none.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Declared {
    pub(in crate::onnx) name: String,
    /// ONNX element type.
    pub(in crate::onnx) elem_type: Option<i32>,
    pub(in crate::onnx) dims: Option<Vec<Dim>>,
}

/// What the rewritten graph takes and gives.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<Declared>,
    pub(super) rewritten: Rewritten,
}

/// Outputs that V2 cannot carry as the model has them.
#[derive(Debug)]
pub(in crate::onnx) struct Rewritten {
    /// Were maps of class to probability, and are now plain tensors.
    unmapped: Vec<String>,
    /// Were lists of tensors, and are not answered.
    dropped: Vec<String>,
}

impl Rewritten {
    /// Takes maps and lists out of the graph.
    fn take_out(graph: &mut GraphProto) -> Self {
        Self {
            unmapped: remove_zip_maps(graph),
            dropped: remove_sequences(graph),
        }
    }

    fn is_empty(&self) -> bool {
        self.unmapped.is_empty() && self.dropped.is_empty()
    }

    /// Tells whoever reads the log why the outputs are not those of the file.
    pub(in crate::onnx) fn log(&self, file: &Path) {
        for output in &self.unmapped {
            tracing::warn!(
                file = %file.display(),
                output,
                "ZipMap taken out, the output is the tensor of probabilities"
            );
        }
        for output in &self.dropped {
            tracing::warn!(
                file = %file.display(),
                output,
                "an output that is a list of tensors is left out"
            );
        }
    }
}

/// How dimensions without a name are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// The outermost one is the batch, the same for all inputs.
    Batch,
    /// Each is its own.
    Distinct,
}

/// Versions of the operator sets a model imports, for messages.
pub(super) fn opsets(model: &ModelProto) -> String {
    let sets = model
        .opset_import
        .iter()
        .map(|set| format!("{} {}", domain(&set.domain), set.version));
    let sets = sets.collect::<Vec<_>>().join(", ");
    if sets.is_empty() {
        "no operator sets".to_owned()
    } else {
        format!("operator sets {sets}")
    }
}

/// Checks the model, removes `ZipMap` and names every open dimension.
pub(super) fn prepare(
    model: &mut ModelProto,
    file: &Path,
    operators: &Operators,
    unnamed: Unnamed,
) -> Result<Signature, LoadError> {
    let corrupt = |reason: &str| LoadError::Corrupt {
        path: file.to_path_buf(),
        reason: reason.to_owned(),
    };
    let opsets = opsets(model);
    functions::inline(model)?;
    let graph = model.graph.as_mut().ok_or_else(|| corrupt("it has no graph"))?;
    if graph.node.is_empty() && graph.output.is_empty() {
        return Err(corrupt("its graph is empty"));
    }
    let rewritten = Rewritten::take_out(graph);
    sparse::densify(graph, 0)?;
    let mut missing = BTreeMap::new();
    find_missing(graph, operators, 0, &mut missing)?;
    if !missing.is_empty() {
        let operators = missing.into_values().collect();
        return Err(LoadError::Operators { operators, opsets });
    }
    check_types(graph)?;
    check_wiring(graph, &corrupt)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    check_tensors(graph, folder, 0)?;
    let inputs = name_dims(graph, unnamed)?;
    let outputs = graph.output.iter().map(declared).collect();
    Ok(Signature {
        inputs,
        outputs,
        rewritten,
    })
}

fn domain(domain: &str) -> &str {
    if domain.is_empty() {
        operators::DEFAULT_DOMAIN
    } else {
        domain
    }
}

/// `ZipMap` turns a matrix of probabilities into a list of maps, which V2 cannot carry. The matrix is answered.
fn remove_zip_maps(graph: &mut GraphProto) -> Vec<String> {
    let mut unmapped = Vec::new();
    for node in &mut graph.node {
        if node.op_type == "ZipMap" && node.domain == operators::ML_DOMAIN {
            unmapped.extend(node.output.first().cloned());
            "Identity".clone_into(&mut node.op_type);
            node.domain.clear();
            node.attribute.clear();
        }
    }
    for output in &mut graph.output {
        if unmapped.contains(&output.name) {
            output.r#type = None;
        }
    }
    unmapped
}

/// `SequenceConstruct` makes a list of tensors, which V2 cannot carry. Where other outputs are left, the list is not
/// answered.
fn remove_sequences(graph: &mut GraphProto) -> Vec<String> {
    let is_list = |node: &&NodeProto| node.op_type == "SequenceConstruct" && node.domain.is_empty();
    let lists = graph
        .node
        .iter()
        .filter(is_list)
        .flat_map(|node| &node.output)
        .cloned()
        .collect::<HashSet<_>>();
    let used = |name: &str| {
        graph
            .node
            .iter()
            .any(|node| node.input.iter().any(|input| input == name))
    };
    if lists.is_empty() || lists.iter().any(|list| used(list)) {
        return Vec::new();
    }
    let (dropped, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.output)
        .into_iter()
        .partition(|output| lists.contains(&output.name));
    if kept.is_empty() {
        graph.output = dropped;
        return Vec::new();
    }
    graph.output = kept;
    graph.node.retain(|node| !is_list(&node));
    dropped.into_iter().map(|output| output.name).collect()
}

fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn find_missing(
    graph: &GraphProto,
    operators: &Operators,
    depth: usize,
    missing: &mut BTreeMap<(String, String), MissingOperator>,
) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        let reason = format!("its subgraphs are nested deeper than {MAX_DEPTH}");
        return Err(LoadError::Unsupported { reason });
    }
    for node in &graph.node {
        if !operators.has(domain(&node.domain), &node.op_type) {
            let domain = domain(&node.domain).to_owned();
            let key = (domain.clone(), node.op_type.clone());
            missing.entry(key).or_insert_with(|| MissingOperator {
                operator: node.op_type.clone(),
                domain,
                node: label(node),
            });
        }
        for subgraph in subgraphs(node) {
            find_missing(subgraph, operators, depth + 1, missing)?;
        }
    }
    Ok(())
}

/// Name of a node, or of its first output where it has none.
fn label(node: &NodeProto) -> String {
    if node.name.is_empty() {
        node.output.first().cloned().unwrap_or_default()
    } else {
        node.name.clone()
    }
}

/// The engine has no BF16.
fn check_types(graph: &GraphProto) -> Result<(), LoadError> {
    let is_bf16 = |info: &&pb::ValueInfoProto| {
        declared(info).elem_type == Some(pb::tensor_proto::DataType::Bfloat16 as i32)
    };
    match graph.input.iter().chain(&graph.output).find(is_bf16) {
        None => Ok(()),
        Some(info) => Err(LoadError::Unsupported {
            reason: format!(
                "tensor {:?} is BF16, which the built-in engine lacks; ONNX Runtime has it: --onnx-engine ort",
                info.name
            ),
        }),
    }
}

/// Every tensor that is used must be made somewhere.
fn check_wiring(graph: &GraphProto, corrupt: &impl Fn(&str) -> LoadError) -> Result<(), LoadError> {
    let made = graph
        .node
        .iter()
        .flat_map(|node| &node.output)
        .chain(graph.initializer.iter().map(|tensor| &tensor.name))
        // A sparse one has the name of its values.
        .chain(
            graph
                .sparse_initializer
                .iter()
                .flat_map(|sparse| &sparse.values)
                .map(|values| &values.name),
        )
        .chain(graph.input.iter().map(|input| &input.name))
        .map(String::as_str)
        .collect::<HashSet<_>>();
    for node in &graph.node {
        if let Some(input) = node
            .input
            .iter()
            .find(|name| !name.is_empty() && !made.contains(name.as_str()))
        {
            return Err(corrupt(&format!(
                "node {:?} uses {input:?}, which nothing makes",
                label(node)
            )));
        }
    }
    let mut names = HashSet::new();
    for output in &graph.output {
        if !made.contains(output.name.as_str()) {
            return Err(corrupt(&format!("output {:?} is made by no node", output.name)));
        }
        if !names.insert(output.name.as_str()) {
            return Err(corrupt(&format!("output {:?} is declared twice", output.name)));
        }
    }
    let mut names = HashSet::new();
    match graph
        .input
        .iter()
        .find(|input| !names.insert(input.name.as_str()))
    {
        Some(input) => Err(corrupt(&format!("input {:?} is declared twice", input.name))),
        None => Ok(()),
    }
}

/// External data must lie in the model's folder.
fn check_tensors(graph: &GraphProto, folder: &Path, depth: usize) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    extents::check(graph)?;
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let in_attributes =
        attributes().flat_map(|attribute: &AttributeProto| attribute.t.iter().chain(&attribute.tensors));
    for tensor in graph.initializer.iter().chain(in_attributes) {
        check_tensor(tensor, folder)?;
    }
    for node in &graph.node {
        for subgraph in subgraphs(node) {
            check_tensors(subgraph, folder, depth + 1)?;
        }
    }
    Ok(())
}

fn check_tensor(tensor: &TensorProto, folder: &Path) -> Result<(), LoadError> {
    let is_external = tensor.data_location == Some(pb::tensor_proto::DataLocation::External as i32);
    if !is_external || !tensor.raw_data.is_empty() {
        return Ok(());
    }
    let error = |reason: String| LoadError::ExternalData {
        tensor: tensor.name.clone(),
        reason,
    };
    let value = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|entry| entry.key == key)
            .map(|e| e.value.as_str())
    };
    let location = value("location").ok_or_else(|| error("it has no location".to_owned()))?;
    let path = Path::new(location);
    if path
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(error(format!(
            "location {location:?} must be a relative path without `..`"
        )));
    }
    let missing = |source: std::io::Error| error(format!("location {location:?}: {source}"));
    let folder = folder.canonicalize().map_err(missing)?;
    let file = folder.join(path).canonicalize().map_err(missing)?;
    if !file.starts_with(&folder) {
        return Err(error(format!(
            "location {location:?} leads outside of the model's folder"
        )));
    }
    let len = file.metadata().map_err(missing)?.len();
    let number = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(error(format!("{key} {text:?} is not a number"))),
        },
    };
    let offset = number("offset")?.unwrap_or(0);
    let end = match number("length")? {
        Some(length) => offset.checked_add(length),
        None => Some(len.max(offset)),
    };
    match end {
        Some(end) if end <= len => Ok(()),
        _ => Err(error(format!(
            "{location:?} has {len} bytes, too few for what the model refers to"
        ))),
    }
}

fn declared(info: &pb::ValueInfoProto) -> Declared {
    let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
    let tensor = value.map(|type_proto::Value::TensorType(tensor)| tensor);
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| {
        let dims = shape.dim.iter().map(|dim| match &dim.value {
            Some(dimension::Value::DimValue(v)) => usize::try_from(*v).map_or(Dim::Any, Dim::Fixed),
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Dim::Named(name.clone()),
            _ => Dim::Any,
        });
        dims.collect()
    });
    Declared {
        name: info.name.clone(),
        elem_type: tensor.map(|tensor| tensor.elem_type),
        dims,
    }
}

/// Declares every open dimension of the inputs as a symbol of our own, since the engine takes names for expressions
/// and cannot work with dimensions that have none.
fn name_dims(graph: &mut GraphProto, unnamed: Unnamed) -> Result<Vec<Declared>, LoadError> {
    let initialized = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .collect::<HashSet<_>>();
    let mut symbols: HashMap<String, String> = HashMap::new();
    let mut inputs = Vec::new();
    for (index, input) in graph.input.iter_mut().enumerate() {
        if initialized.contains(&input.name) {
            // A default value: the engine takes it for a constant.
            continue;
        }
        let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            let reason = format!("input {:?} is not a tensor", input.name);
            return Err(LoadError::Unsupported { reason });
        };
        let Some(shape) = &mut tensor.shape else {
            let reason = format!(
                "input {:?} has no declared shape; export the model with its rank",
                input.name
            );
            return Err(LoadError::Unsupported { reason });
        };
        let mut dims = Vec::with_capacity(shape.dim.len());
        for (axis, dim) in shape.dim.iter_mut().enumerate() {
            let (symbol, shown) = match &dim.value {
                Some(dimension::Value::DimValue(v)) if *v >= 0 => {
                    dims.push(usize::try_from(*v).map_or(Dim::Any, Dim::Fixed));
                    continue;
                }
                Some(dimension::Value::DimParam(name)) if !name.is_empty() => {
                    let next = format!("dim_{}", symbols.len());
                    (
                        symbols.entry(name.clone()).or_insert(next).clone(),
                        Dim::Named(name.clone()),
                    )
                }
                _ if axis == 0 && unnamed == Unnamed::Batch => {
                    ("batch_0".to_owned(), Dim::Named(BATCH.to_owned()))
                }
                _ => (format!("open_{index}_{axis}"), Dim::Any),
            };
            dim.value = Some(dimension::Value::DimParam(symbol));
            dims.push(shown);
        }
        let elem_type = Some(tensor.elem_type);
        inputs.push(Declared {
            name: input.name.clone(),
            elem_type,
            dims: Some(dims),
        });
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests;
