//! ONNX models made on the spot: of any size, with any operator. Messages are those parts of `onnx.proto` that are needed.

use prost::Message;

/// `FLOAT` of `TensorProto.DataType`.
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetId>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    symbol: Option<String>,
}

/// A tensor of `[batch, columns]`.
fn rows(name: &str, columns: usize) -> ValueInfo {
    let batch = Dimension {
        symbol: Some("batch".to_owned()),
        ..Dimension::default()
    };
    let columns = Dimension {
        value: i64::try_from(columns).ok(),
        ..Dimension::default()
    };
    let tensor = TensorType {
        elem_type: FLOAT,
        shape: Some(Shape {
            dim: vec![batch, columns],
        }),
    };
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor: Some(tensor) }),
    }
}

fn node(op: &str, input: [&str; 2], output: &str) -> NodeProto {
    NodeProto {
        input: input.map(str::to_owned).to_vec(),
        output: vec![output.to_owned()],
        name: format!("make_{output}"),
        op_type: op.to_owned(),
    }
}

fn tensor(name: &str, dims: [usize; 2], values: impl Iterator<Item = f32>) -> TensorProto {
    TensorProto {
        dims: dims
            .map(|dim| i64::try_from(dim).expect("a model's size fits"))
            .to_vec(),
        data_type: FLOAT,
        name: name.to_owned(),
        raw_data: values.flat_map(f32::to_le_bytes).collect(),
    }
}

/// A model from column `x` to column `y`.
fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    graph(node, initializer, rows("x", 1), rows("y", 1))
}

/// The file of a model.
fn graph(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: ValueInfo,
    output: ValueInfo,
) -> Vec<u8> {
    let graph = GraphProto {
        node,
        name: "made".to_owned(),
        initializer,
        input: vec![input],
        output: vec![output],
    };
    let opset = OperatorSetId {
        domain: String::new(),
        version: 17,
    };
    let model = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![opset],
    };
    model.encode_to_vec()
}

/// `y = x + constant`.
pub fn adds(constant: f32) -> Vec<u8> {
    let constant = tensor("c", [1, 1], std::iter::once(constant));
    model(vec![node("Add", ["x", "c"], "y")], vec![constant])
}

/// An operator that no engine has.
pub fn unsupported() -> Vec<u8> {
    let constant = tensor("c", [1, 1], std::iter::once(0.0));
    model(vec![node("Transmogrify", ["x", "c"], "y")], vec![constant])
}

/// `y = x`, by way of a square matrix of so many mebibytes.
pub fn weighing(mebibytes: usize) -> Vec<u8> {
    let side = (mebibytes << 18).isqrt(); // Numbers of 4 bytes.
    let first = |i: usize| if i == 0 { 1.0 } else { 0.0 };
    // No two rows alike, so that nothing can be folded.
    let square = (0..side * side).map(|i| if i == 0 { 1.0 } else { (i % 8191) as f32 });
    let weights = vec![
        tensor("a", [1, side], (0..side).map(first)),
        tensor("b", [side, side], square),
        tensor("c", [side, 1], (0..side).map(first)),
    ];
    let nodes = vec![
        node("MatMul", ["x", "a"], "xa"),
        node("MatMul", ["xa", "b"], "xab"),
        node("MatMul", ["xab", "c"], "y"),
    ];
    model(nodes, weights)
}

/// A small network of two layers, different for every `seed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    first: Vec<f32>,
    first_bias: Vec<f32>,
    second: Vec<f32>,
    second_bias: Vec<f32>,
}

impl Dense {
    /// Numbers that it takes.
    pub const INPUTS: usize = 8;
    /// Numbers between its layers.
    const HIDDEN: usize = 16;
    /// Numbers that it gives.
    pub const OUTPUTS: usize = 4;

    /// The network of this number.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        // Multiples of 1/8 between -2 and 2: sums of their products are exact, in whatever order they are added.
        let mut weights = |count: usize| {
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % 33) as f32 / 8.0 - 2.0
            };
            (0..count).map(|_| next()).collect::<Vec<f32>>()
        };
        Self {
            first: weights(Self::INPUTS * Self::HIDDEN),
            first_bias: weights(Self::HIDDEN),
            second: weights(Self::HIDDEN * Self::OUTPUTS),
            second_bias: weights(Self::OUTPUTS),
        }
    }

    /// The `.onnx` file: `y = relu(x * first + first_bias) * second + second_bias`.
    pub fn file(&self) -> Vec<u8> {
        let tensors = [
            ("first", [Self::INPUTS, Self::HIDDEN], &self.first),
            ("first_bias", [1, Self::HIDDEN], &self.first_bias),
            ("second", [Self::HIDDEN, Self::OUTPUTS], &self.second),
            ("second_bias", [1, Self::OUTPUTS], &self.second_bias),
        ];
        let tensors = tensors.map(|(name, dims, values)| tensor(name, dims, values.iter().copied()));
        let nodes = vec![
            node("MatMul", ["x", "first"], "a"),
            node("Add", ["a", "first_bias"], "b"),
            NodeProto {
                input: vec!["b".to_owned()],
                ..node("Relu", ["b", ""], "c")
            },
            node("MatMul", ["c", "second"], "d"),
            node("Add", ["d", "second_bias"], "y"),
        ];
        graph(
            nodes,
            tensors.into(),
            rows("x", Self::INPUTS),
            rows("y", Self::OUTPUTS),
        )
    }

    /// What it answers.
    pub fn answer(&self, input: &[f32; Self::INPUTS]) -> Vec<f32> {
        let hidden = layer(input, &self.first, &self.first_bias);
        let hidden: Vec<f32> = hidden.into_iter().map(|value| value.max(0.0)).collect();
        layer(&hidden, &self.second, &self.second_bias)
    }
}

/// One row times a matrix, plus a row.
fn layer(input: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut output = bias.to_vec();
    for (value, row) in input.iter().zip(weights.chunks(bias.len())) {
        for (sum, weight) in output.iter_mut().zip(row) {
            *sum += value * weight;
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_differ_in_their_answers() {
        let x = [1.0, 0.5, -1.0, 2.0, 0.0, 1.5, -0.5, 3.0];
        let answers: Vec<_> = (0..100).map(|seed| Dense::new(seed).answer(&x)).collect();
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(answer.len(), Dense::OUTPUTS);
            assert!(!answers[..at].contains(answer), "{at}");
        }
        assert_eq!(Dense::new(7), Dense::new(7));
        assert!(Dense::new(7).file().len() < 4096);
    }
}
