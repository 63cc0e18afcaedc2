//! ONNX models made on the spot: of any size, with any operator.

use std::{fs, path::Path};

use prost::Message;

use super::rest::Answer;

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

/// A tensor of `[batch, 1]`.
fn column(name: &str) -> ValueInfo {
    let batch = Dimension {
        symbol: Some("batch".to_owned()),
        ..Dimension::default()
    };
    let one = Dimension {
        value: Some(1),
        ..Dimension::default()
    };
    let tensor = TensorType {
        elem_type: FLOAT,
        shape: Some(Shape {
            dim: vec![batch, one],
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
    let graph = GraphProto {
        node,
        name: "made".to_owned(),
        initializer,
        input: vec![column("x")],
        output: vec![column("y")],
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
pub(crate) fn adds(constant: f32) -> Vec<u8> {
    let constant = tensor("c", [1, 1], std::iter::once(constant));
    model(vec![node("Add", ["x", "c"], "y")], vec![constant])
}

/// An operator that no engine has.
pub(crate) fn unsupported() -> Vec<u8> {
    let constant = tensor("c", [1, 1], std::iter::once(0.0));
    model(vec![node("Transmogrify", ["x", "c"], "y")], vec![constant])
}

/// `y = x`, by way of a square matrix of so many mebibytes.
pub(crate) fn weighing(mebibytes: usize) -> Vec<u8> {
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

/// Writes a model as a server's folder should be written to: complete under another name, then renamed.
pub(crate) fn place(folder: &Path, file: &str, content: &[u8]) {
    let temporary = folder.join(format!(".{file}.new"));
    fs::write(&temporary, content).expect("the models folder can be written");
    fs::rename(&temporary, folder.join(file)).expect("the models folder can be written");
}

/// A request for one of the models here.
pub(crate) fn request(x: f32) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"FP32","data":[{x}]}}]}}"#)
}

/// The only number of an answer of one of the models here.
#[track_caller]
pub(crate) fn value(answer: &Answer) -> f64 {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let json = answer.json();
    json["outputs"][0]["data"][0]
        .as_f64()
        .unwrap_or_else(|| panic!("no number in {json}"))
}
