//! Refuses graphs that make huge tensors out of a few constant numbers. The engine evaluates such nodes while it loads,
//! and an allocation that fails ends the process.
//!
//! This looks at one node at a time; a graph that is built to exhaust memory in many small steps gets through. Models
//! are trusted that far.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use crate::onnx::engine::LoadError;

/// Elements that one node may make from constants: a gigabyte of floats, more than any real model has in one tensor.
pub(super) const MAX_ELEMENTS: u128 = 1 << 28;
/// A constant with more numbers than this is no shape.
const MAX_RANK: usize = 64;

/// Checks the nodes of one graph; its subgraphs are up to the caller.
pub(super) fn check(graph: &GraphProto) -> Result<(), LoadError> {
    let mut constants: HashMap<&str, Vec<i64>> = HashMap::new();
    for tensor in &graph.initializer {
        constants.extend(integers(tensor).map(|numbers| (tensor.name.as_str(), numbers)));
    }
    for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
        let ints = node
            .attribute
            .iter()
            .find(|attribute| attribute.name == "value_ints")
            .map(|a| a.ints.clone());
        if let (Some(name), Some(numbers)) = (node.output.first(), tensor.and_then(integers).or(ints)) {
            constants.insert(name, numbers);
        }
    }
    for node in &graph.node {
        let constant = |index: usize| {
            node.input
                .get(index)
                .and_then(|name| constants.get(name.as_str()))
        };
        let elements = made(node, constant);
        if elements > MAX_ELEMENTS {
            let name = if node.name.is_empty() {
                node.output.first()
            } else {
                Some(&node.name)
            };
            let reason = format!(
                "{} (node {:?}) makes a tensor of {elements} elements, the limit is {MAX_ELEMENTS}",
                node.op_type,
                name.map(String::as_str).unwrap_or_default()
            );
            return Err(LoadError::Unsupported { reason });
        }
    }
    Ok(())
}

/// Least number of elements of the node's output, as far as constants tell.
fn made<'a>(node: &NodeProto, constant: impl Fn(usize) -> Option<&'a Vec<i64>>) -> u128 {
    match node.op_type.as_str() {
        "ConstantOfShape" => product(constant(0)),
        "Expand" | "Tile" | "OneHot" => product(constant(1)),
        "Resize" => product(constant(3)),
        "Range" => match (constant(0), constant(1), constant(2)) {
            (Some(start), Some(limit), Some(delta)) => range(start, limit, delta),
            _ => 0,
        },
        "Pad" => constant(1).map_or(0, |pads| {
            pads.iter()
                .map(|pad| u128::from(pad.unsigned_abs()))
                .max()
                .unwrap_or(0)
        }),
        "RandomNormal" | "RandomUniform" => product(
            node.attribute
                .iter()
                .find(|attribute| attribute.name == "shape")
                .map(|a| &a.ints),
        ),
        _ => 0,
    }
}

fn product(extents: Option<&Vec<i64>>) -> u128 {
    let positive = |extent: &i64| u128::try_from(*extent).unwrap_or(1);
    extents.map_or(0, |extents| {
        extents.iter().map(positive).fold(1, u128::saturating_mul)
    })
}

fn range(start: &[i64], limit: &[i64], delta: &[i64]) -> u128 {
    match (start, limit, delta) {
        ([start], [limit], [delta]) if *delta != 0 => {
            let span = i128::from(*limit) - i128::from(*start);
            u128::try_from(span / i128::from(*delta)).unwrap_or(0)
        }
        _ => 0,
    }
}

/// The numbers of a small integer tensor.
fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != DataType::Int64 as i32 {
        return None;
    }
    let (raw, rest) = tensor.raw_data.as_chunks::<8>();
    let numbers = if tensor.int64_data.is_empty() && rest.is_empty() {
        raw.iter()
            .take(MAX_RANK + 1)
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect()
    } else {
        tensor
            .int64_data
            .iter()
            .take(MAX_RANK + 1)
            .copied()
            .collect::<Vec<_>>()
    };
    (numbers.len() <= MAX_RANK).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(name: &str, numbers: &[i64]) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            data_type: DataType::Int64 as i32,
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            ..TensorProto::default()
        }
    }

    #[track_caller]
    fn assert_fits(operator: &str, inputs: &[&[i64]], fits: bool) {
        let names = (0..inputs.len())
            .map(|index| format!("c{index}"))
            .collect::<Vec<_>>();
        let graph = GraphProto {
            node: vec![NodeProto {
                name: "big".to_owned(),
                op_type: operator.to_owned(),
                input: names.clone(),
                ..NodeProto::default()
            }],
            initializer: names
                .iter()
                .zip(inputs)
                .map(|(name, numbers)| constant(name, numbers))
                .collect(),
            ..GraphProto::default()
        };
        let result = check(&graph);
        assert_eq!(result.is_ok(), fits, "{operator} {inputs:?}: {result:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains("(node \"big\")"), "{error}");
        }
    }

    #[test]
    fn constants_that_make_huge_tensors_are_refused() {
        assert_fits("ConstantOfShape", &[&[1000, 1000]], true);
        assert_fits("ConstantOfShape", &[&[1 << 20, 1 << 20]], false);
        assert_fits("ConstantOfShape", &[&[i64::MAX, i64::MAX, i64::MAX]], false);
        assert_fits("ConstantOfShape", &[&[i64::MAX, 0]], true);
        assert_fits("Expand", &[&[1], &[1 << 40]], false);
        assert_fits("Tile", &[&[1 << 40], &[3]], true);
        assert_fits("Range", &[&[0], &[1 << 40], &[1 << 20]], true);
        assert_fits("Range", &[&[0], &[1 << 40], &[1]], false);
        assert_fits("Range", &[&[i64::MIN], &[i64::MAX], &[-1]], true);
        assert_fits("Pad", &[&[1], &[0, 1 << 40]], false);
        assert_fits("Add", &[&[1 << 40]], true);
    }
}
