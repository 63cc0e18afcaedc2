//! Model-local functions, which the engine does not know, put in the place of the nodes that call them.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

use super::{MAX_DEPTH, domain, label};
use crate::onnx::{engine::LoadError, tract::operators::DEFAULT_DOMAIN};

/// Nodes that calls may turn into. Functions that call functions multiply; the largest real graphs have tens of
/// thousands of nodes.
const MAX_NODES: usize = 200_000;
/// Versions of the default domain in which many operators changed: a function is only moved into a graph of another
/// version when none of them lies between.
const CHANGES: [i64; 2] = [13, 18];

/// A function by domain and name.
type Functions = HashMap<(String, String), FunctionProto>;

/// Replaces every call in the graph; the model has no functions afterwards.
pub(super) fn inline(model: &mut ModelProto) -> Result<(), LoadError> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let functions = std::mem::take(&mut model.functions);
    for function in &functions {
        check_version(model, function)?;
    }
    for set in functions.iter().flat_map(|function| &function.opset_import) {
        let known = |import: &str| domain(import) == domain(&set.domain);
        if !model.opset_import.iter().any(|import| known(&import.domain)) {
            model.opset_import.push(set.clone());
        }
    }
    let key = |function: &FunctionProto| {
        (
            function.domain.clone().unwrap_or_default(),
            name(function).to_owned(),
        )
    };
    let functions = functions
        .into_iter()
        .map(|function| (key(&function), function))
        .collect();
    let mut inliner = Inliner {
        functions,
        calls: 0,
        nodes: 0,
    };
    match &mut model.graph {
        Some(graph) => inliner.graph(graph, 0),
        None => Ok(()),
    }
}

fn name(function: &FunctionProto) -> &str {
    function.name.as_deref().unwrap_or_default()
}

fn check_version(model: &ModelProto, function: &FunctionProto) -> Result<(), LoadError> {
    let version = |sets: &[tract_onnx::pb::OperatorSetIdProto]| {
        let default = sets.iter().find(|set| domain(&set.domain) == DEFAULT_DOMAIN);
        default.map(|set| set.version)
    };
    let (Some(own), Some(imported)) = (version(&function.opset_import), version(&model.opset_import)) else {
        return Ok(());
    };
    let era = |version: i64| CHANGES.iter().filter(|change| version >= **change).count();
    if own < 1 || era(own) == era(imported) {
        return Ok(());
    }
    let reason = format!(
        "function {:?} is written for operator set {own} of {}, the model for {imported}; export both for the same",
        name(function),
        DEFAULT_DOMAIN
    );
    Err(LoadError::Unsupported { reason })
}

struct Inliner {
    functions: Functions,
    /// Calls replaced so far: each gets names of its own.
    calls: usize,
    /// Nodes made so far.
    nodes: usize,
}

impl Inliner {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), LoadError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.expand(nodes, depth)?;
        Ok(())
    }

    fn expand(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, LoadError> {
        if depth > MAX_DEPTH {
            let reason = format!("its functions and subgraphs are nested deeper than {MAX_DEPTH}");
            return Err(LoadError::Unsupported { reason });
        }
        let mut expanded = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let key = (node.domain.clone(), node.op_type.clone());
            if let Some(function) = self.functions.get(&key).cloned() {
                let body = self.call(&function, &node)?;
                expanded.extend(self.expand(body, depth + 1)?);
                continue;
            }
            let attributes = node.attribute.iter_mut();
            for graph in attributes.flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
            {
                self.graph(graph, depth + 1)?;
            }
            expanded.push(node);
        }
        Ok(expanded)
    }

    /// The function's nodes, with the caller's names and attributes.
    fn call(&mut self, function: &FunctionProto, node: &NodeProto) -> Result<Vec<NodeProto>, LoadError> {
        self.calls += 1;
        self.nodes += function.node.len() + 1;
        if self.nodes > MAX_NODES {
            let reason = format!("its functions make more than {MAX_NODES} nodes");
            return Err(LoadError::Unsupported { reason });
        }
        if node.input.len() > function.input.len() || node.output.len() > function.output.len() {
            let reason = format!(
                "node {:?} calls function {:?} with {} inputs and {} outputs, it has {} and {}",
                label(node),
                name(function),
                node.input.len(),
                node.output.len(),
                function.input.len(),
                function.output.len()
            );
            return Err(LoadError::Unsupported { reason });
        }
        let mut scope = Scope {
            prefix: format!("{}#{}/", name(function), self.calls),
            names: HashMap::new(),
            attributes: &node.attribute,
        };
        for (index, input) in function.input.iter().enumerate() {
            let given = node.input.get(index).cloned().unwrap_or_default();
            scope.names.insert(input.clone(), given);
        }
        let mut passed = Vec::new();
        for (output, given) in function
            .output
            .iter()
            .zip(&node.output)
            .filter(|(_, given)| !given.is_empty())
        {
            if let Some(source) = scope.names.get(output) {
                // An input, or another output, that is answered as it is.
                passed.push(NodeProto {
                    op_type: "Identity".to_owned(),
                    input: vec![source.clone()],
                    output: vec![given.clone()],
                    ..NodeProto::default()
                });
            } else {
                scope.names.insert(output.clone(), given.clone());
            }
        }
        let mut body = function.node.clone();
        for node in &mut body {
            scope.rename_node(node);
        }
        body.extend(passed);
        Ok(body)
    }
}

/// What names and attributes inside of one call stand for.
struct Scope<'a> {
    prefix: String,
    names: HashMap<String, String>,
    attributes: &'a [AttributeProto],
}

impl Scope<'_> {
    fn rename(&self, name: &mut String) {
        if name.is_empty() {
            return;
        }
        match self.names.get(name) {
            Some(given) => given.clone_into(name),
            None => name.insert_str(0, &self.prefix),
        }
    }

    fn rename_node(&self, node: &mut NodeProto) {
        if !node.name.is_empty() {
            node.name.insert_str(0, &self.prefix);
        }
        for name in node.input.iter_mut().chain(&mut node.output) {
            self.rename(name);
        }
        node.attribute.retain_mut(|attribute| self.resolve(attribute));
        let attributes = node.attribute.iter_mut();
        for graph in attributes.flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs)) {
            self.rename_graph(graph);
        }
    }

    /// A function sees nothing of the graph around the call, so every name of its subgraphs is its own.
    fn rename_graph(&self, graph: &mut GraphProto) {
        for info in graph
            .input
            .iter_mut()
            .chain(&mut graph.output)
            .chain(&mut graph.value_info)
        {
            self.rename(&mut info.name);
        }
        for tensor in &mut graph.initializer {
            self.rename(&mut tensor.name);
        }
        for values in graph
            .sparse_initializer
            .iter_mut()
            .filter_map(|sparse| sparse.values.as_mut())
        {
            self.rename(&mut values.name);
        }
        for node in &mut graph.node {
            self.rename_node(node);
        }
    }

    /// Puts in the caller's attribute where one is referred to; false = the caller has none.
    fn resolve(&self, attribute: &mut AttributeProto) -> bool {
        if attribute.ref_attr_name.is_empty() {
            return true;
        }
        let Some(value) = self
            .attributes
            .iter()
            .find(|known| known.name == attribute.ref_attr_name)
        else {
            return false;
        };
        let name = std::mem::take(&mut attribute.name);
        *attribute = value.clone();
        attribute.name = name;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeProto {
            op_type: operator.to_owned(),
            input: owned(inputs),
            output: owned(outputs),
            ..NodeProto::default()
        }
    }

    fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        FunctionProto {
            name: Some(name.to_owned()),
            input: owned(inputs),
            output: owned(outputs),
            node: nodes,
            ..FunctionProto::default()
        }
    }

    fn inlined(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>) -> Result<Vec<String>, LoadError> {
        let graph = GraphProto {
            node: nodes,
            ..GraphProto::default()
        };
        let mut model = ModelProto {
            graph: Some(graph),
            functions,
            ..ModelProto::default()
        };
        inline(&mut model)?;
        let nodes = model.graph.unwrap_or_default().node;
        let text = |node: &NodeProto| {
            format!(
                "{} = {}({})",
                node.output.join(","),
                node.op_type,
                node.input.join(",")
            )
        };
        Ok(nodes.iter().map(text).collect())
    }

    #[test]
    fn calls_become_nodes_with_names_of_their_own() {
        let twice = function("Twice", &["a"], &["b"], vec![node("Add", &["a", "a"], &["b"])]);
        let body = vec![node("Twice", &["a"], &["t"]), node("Twice", &["t"], &["b"])];
        let four = function("Four", &["a"], &["b"], body);
        let calls = vec![node("Four", &["x"], &["y"]), node("Four", &["y"], &["z"])];
        let expected = [
            "Four#1/t = Add(x,x)",
            "y = Add(Four#1/t,Four#1/t)",
            "Four#4/t = Add(y,y)",
            "z = Add(Four#4/t,Four#4/t)",
        ];
        assert_eq!(inlined(vec![twice, four], calls).unwrap(), expected);
    }

    #[test]
    fn an_input_that_is_an_output_passes_through() {
        let same = function(
            "Same",
            &["a", "unused"],
            &["a", "n"],
            vec![node("Neg", &["a"], &["n"])],
        );
        let call = node("Same", &["x"], &["y", "z"]);
        assert_eq!(
            inlined(vec![same], vec![call]).unwrap(),
            ["z = Neg(x)", "y = Identity(x)"]
        );
    }

    #[test]
    fn attributes_come_from_the_call() {
        let attribute = |name: &str, reference: &str, i: i64| AttributeProto {
            name: name.to_owned(),
            ref_attr_name: reference.to_owned(),
            i,
            ..AttributeProto::default()
        };
        let mut inner = node("Softmax", &["a"], &["b"]);
        inner.attribute = vec![attribute("axis", "dim", 0), attribute("none", "absent", 0)];
        let outer = function("F", &["a"], &["b"], vec![inner]);
        let mut call = node("F", &["x"], &["y"]);
        call.attribute = vec![attribute("dim", "", 2)];
        let mut model = ModelProto {
            graph: Some(GraphProto {
                node: vec![call],
                ..GraphProto::default()
            }),
            functions: vec![outer],
            ..ModelProto::default()
        };
        inline(&mut model).unwrap();
        let node = &model.graph.unwrap().node[0];
        let found = node
            .attribute
            .iter()
            .map(|a| (a.name.as_str(), a.i))
            .collect::<Vec<_>>();
        assert_eq!(found, [("axis", 2)]);
    }

    #[test]
    fn endless_calls_are_refused() {
        let own = function("Own", &["a"], &["b"], vec![node("Own", &["a"], &["b"])]);
        let error = inlined(vec![own], vec![node("Own", &["x"], &["y"])]).unwrap_err();
        assert!(error.to_string().contains("nested deeper"), "{error}");
        let mut functions = vec![function("F0", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])])];
        for level in 1..30 {
            let inner = format!("F{}", level - 1);
            let body = vec![node(&inner, &["a"], &["t"]), node(&inner, &["t"], &["b"])];
            functions.push(function(&format!("F{level}"), &["a"], &["b"], body));
        }
        let error = inlined(functions, vec![node("F29", &["x"], &["y"])]).unwrap_err();
        assert!(error.to_string().contains("more than 200000 nodes"), "{error}");
    }
}
