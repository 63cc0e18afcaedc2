//! Checks a model for an engine that parses the file itself: the rules on wiring, sizes and external data hold for
//! every engine, and `ZipMap` is taken out for all of them.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use bytes::Bytes;
use prost::Message as _;
use tract_onnx::pb::{
    self, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use super::{
    Declared, MAX_DEPTH, MissingOperator, Rewritten, check_tensor, check_tensors, check_wiring, declared,
    domain, extents, label, opsets, subgraphs,
};
use crate::onnx::{engine::LoadError, tract::operators::DEFAULT_DOMAIN};

/// A model file that passed the checks.
#[derive(Debug)]
pub(in crate::onnx) struct Inspected {
    /// The model, without what V2 cannot carry.
    pub(in crate::onnx) bytes: Bytes,
    /// What it takes; initializers with a default are no inputs.
    pub(in crate::onnx) inputs: Vec<Declared>,
    /// What it gives.
    pub(in crate::onnx) outputs: Vec<String>,
    pub(in crate::onnx) rewritten: Rewritten,
    /// External data files, relative to the model's folder, inside of which they lie.
    pub(in crate::onnx) external: BTreeSet<String>,
    /// Operator sets it imports, for messages.
    pub(in crate::onnx) opsets: String,
    /// Domain, operator and first node of each operator it uses.
    pub(in crate::onnx) operators: Vec<MissingOperator>,
    /// Number of nodes, those of subgraphs included.
    pub(in crate::onnx) nodes: usize,
}

/// Functions that a model defines; the engine's own format knows nothing of them.
/// Field numbers: `ModelProto.functions` and `FunctionProto.node` of onnx.proto3.
#[derive(Clone, PartialEq, prost::Message)]
struct Functions {
    #[prost(bytes = "bytes", repeated, tag = "25")]
    functions: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
}

/// Operator set of a model that used nothing but `ai.onnx.ml` before its `ZipMap` became an `Identity`.
const IDENTITY_OPSET: i64 = 13;

/// Checks the model in `bytes`, read from `file`.
pub(in crate::onnx) fn inspect(bytes: Bytes, file: &Path) -> Result<Inspected, LoadError> {
    let corrupt = |reason: &str| LoadError::Corrupt {
        path: file.to_path_buf(),
        reason: reason.to_owned(),
    };
    let unreadable = |error: prost::DecodeError| corrupt(&error.to_string());
    let mut model = ModelProto::decode(bytes.clone()).map_err(unreadable)?;
    let functions = Functions::decode(bytes.clone()).map_err(unreadable)?;
    let opsets = opsets(&model);
    let graph = model.graph.as_mut().ok_or_else(|| corrupt("it has no graph"))?;
    if graph.node.is_empty() && graph.output.is_empty() {
        return Err(corrupt("its graph is empty"));
    }
    let classes = zip_map_classes(graph);
    let rewritten = Rewritten::take_out(graph);
    for output in &mut graph.output {
        if let Some(classes) = classes.get(&output.name) {
            output.r#type = Some(probabilities(*classes));
        }
    }
    check_wiring(graph, &corrupt)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut found = Found::default();
    found.graph(graph, 0)?;
    check_tensors(graph, folder, 0)?;
    for function in &functions.functions {
        let function = Function::decode(function.clone()).map_err(unreadable)?;
        let body = GraphProto {
            node: function.node,
            ..GraphProto::default()
        };
        found.graph(&body, 0)?;
        check_tensors(&body, folder, 0)?;
    }
    for tensor in &found.external {
        check_tensor(tensor, folder)?;
    }
    let inputs = inputs(graph)?;
    let outputs = graph.output.iter().map(|output| output.name.clone()).collect();
    let bytes = if rewritten.is_empty() {
        bytes
    } else {
        // Types of what is between the nodes may be among those that this format does not know; they are inferred.
        graph.value_info.clear();
        if !model
            .opset_import
            .iter()
            .any(|set| domain(&set.domain) == DEFAULT_DOMAIN)
        {
            model.opset_import.push(OperatorSetIdProto {
                domain: String::new(),
                version: IDENTITY_OPSET,
            });
        }
        let mut bytes = model.encode_to_vec();
        bytes.extend(functions.encode_to_vec());
        bytes.into()
    };
    Ok(Inspected {
        bytes,
        inputs,
        outputs,
        rewritten,
        external: found.locations(),
        opsets,
        operators: found.operators,
        nodes: found.nodes,
    })
}

/// Number of classes of each `ZipMap`, by the name of its output.
fn zip_map_classes(graph: &GraphProto) -> HashMap<String, i64> {
    let maps = graph.node.iter().filter(|node| node.op_type == "ZipMap");
    let classes = maps.filter_map(|node| {
        let labels = node.attribute.iter().map(|a| a.ints.len().max(a.strings.len()));
        let classes = i64::try_from(labels.max()?).ok().filter(|classes| *classes > 0)?;
        Some((node.output.first()?.clone(), classes))
    });
    classes.collect()
}

/// What a `ZipMap` is made of: a row for each row of the input, a probability for each class.
fn probabilities(classes: i64) -> TypeProto {
    let classes = Dimension {
        value: Some(dimension::Value::DimValue(classes)),
        ..Dimension::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: pb::tensor_proto::DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: vec![Dimension::default(), classes],
        }),
    };
    TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..TypeProto::default()
    }
}

/// What the nodes of a graph use.
#[derive(Default)]
struct Found {
    operators: Vec<MissingOperator>,
    external: Vec<TensorProto>,
    nodes: usize,
}

impl Found {
    fn graph(&mut self, graph: &GraphProto, depth: usize) -> Result<(), LoadError> {
        if depth > MAX_DEPTH {
            let reason = format!("its subgraphs are nested deeper than {MAX_DEPTH}");
            return Err(LoadError::Unsupported { reason });
        }
        extents::check(graph)?;
        self.nodes += graph.node.len();
        let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
        let in_attributes = attributes().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        let sparse = attributes().filter_map(|attribute| attribute.sparse_tensor.as_ref());
        let sparse = graph.sparse_initializer.iter().chain(sparse);
        let in_sparse = sparse.flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
        for tensor in graph.initializer.iter().chain(in_attributes).chain(in_sparse) {
            if tensor.data_location == Some(pb::tensor_proto::DataLocation::External as i32) {
                // Its declaration alone: the data is elsewhere, or not looked at.
                self.external.push(TensorProto {
                    name: tensor.name.clone(),
                    data_location: tensor.data_location,
                    external_data: tensor.external_data.clone(),
                    ..TensorProto::default()
                });
            }
        }
        for node in &graph.node {
            let domain = domain(&node.domain);
            let is_known = |m: &MissingOperator| m.operator == node.op_type && m.domain == domain;
            if !self.operators.iter().any(is_known) {
                self.operators.push(MissingOperator {
                    operator: node.op_type.clone(),
                    domain: domain.to_owned(),
                    node: label(node),
                });
            }
            for subgraph in subgraphs(node) {
                self.graph(subgraph, depth + 1)?;
            }
        }
        Ok(())
    }

    fn locations(&self) -> BTreeSet<String> {
        let entries = self.external.iter().flat_map(|tensor| &tensor.external_data);
        entries
            .filter(|entry| entry.key == "location")
            .map(|entry| entry.value.clone())
            .collect()
    }
}

/// Inputs that a request must bring.
fn inputs(graph: &GraphProto) -> Result<Vec<Declared>, LoadError> {
    let is_initialized = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let mut inputs = Vec::with_capacity(graph.input.len());
    for input in &graph.input {
        if is_initialized(&input.name) {
            continue;
        }
        let declared = declared(input);
        let reason = match (&declared.elem_type, &declared.dims) {
            (None, _) => format!("input {:?} is not a tensor", input.name),
            (_, None) => format!(
                "input {:?} has no declared shape; export the model with its rank",
                input.name
            ),
            _ => {
                inputs.push(declared);
                continue;
            }
        };
        return Err(LoadError::Unsupported { reason });
    }
    Ok(inputs)
}
