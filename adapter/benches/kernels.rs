//! Inference on classical models, at batches of 1 and 64: what a kernel costs, with what the engine adds to it.

use std::{fs, path::Path};

use adapter::onnx::{
    engine::{Engine as _, LoadedModel},
    source::Source,
    tensor::Tensor,
    tract::TractEngine,
};
use api::datatype::Datatype;
use divan::{Bencher, black_box};
use prost::Message as _;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value},
    type_proto,
};

const BATCHES: [usize; 2] = [1, 64];
const FEATURES: u16 = 30;
const TREES: usize = 50;
/// Levels of branches in each tree.
const DEPTH: u32 = 8;
const CLASSES: i64 = 3;

fn main() {
    divan::main();
}

#[divan::bench(args = BATCHES)]
fn forest(bencher: Bencher<'_, '_>, rows: usize) {
    run(bencher, rows, forest_node());
}

#[divan::bench(args = BATCHES)]
fn linear(bencher: Bencher<'_, '_>, rows: usize) {
    let mut numbers = Numbers(1);
    let count = usize::from(FEATURES) * usize::try_from(CLASSES).unwrap_or_default();
    let attributes = vec![
        ints("classlabels_ints", (0..CLASSES).collect()),
        floats("coefficients", (0..count).map(|_| numbers.next()).collect()),
        floats("intercepts", (0..CLASSES).map(|_| numbers.next()).collect()),
        string("post_transform", "SOFTMAX"),
    ];
    run(
        bencher,
        rows,
        node("LinearClassifier", &["label", "scores"], attributes),
    );
}

#[divan::bench(args = BATCHES)]
fn scaler(bencher: Bencher<'_, '_>, rows: usize) {
    let mut numbers = Numbers(2);
    let mut column = || (0..FEATURES).map(|_| numbers.next()).collect::<Vec<_>>();
    let attributes = vec![floats("offset", column()), floats("scale", column())];
    run(bencher, rows, node("Scaler", &["scores"], attributes));
}

fn run(bencher: Bencher<'_, '_>, rows: usize, node: NodeProto) {
    let model = load(node);
    let mut numbers = Numbers(3);
    let raw = (0..rows * usize::from(FEATURES))
        .flat_map(|_| numbers.next().to_le_bytes())
        .collect::<Vec<_>>();
    let input = [Tensor {
        datatype: Datatype::Fp32,
        shape: vec![rows, usize::from(FEATURES)],
        raw: raw.into(),
    }];
    let wanted = (0..model.outputs().len()).collect::<Vec<_>>();
    bencher.bench_local(|| model.run(black_box(&input), &wanted).expect("the model answers"));
}

/// Numbers between -1 and 1, the same each time.
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u16::try_from(self.0 >> 48).unwrap_or_default()
    }

    fn next(&mut self) -> f32 {
        f32::from(self.bits()) / 32_768.0 - 1.0
    }

    fn below(&mut self, bound: u16) -> i64 {
        (self.bits() % bound).into()
    }
}

fn forest_node() -> NodeProto {
    let mut numbers = Numbers(4);
    let inner = (1_i64 << DEPTH) - 1;
    let all = 2 * inner + 1;
    let mut columns: [Vec<i64>; 5] = std::array::from_fn(|_| Vec::new());
    let (mut values, mut modes, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let mut leaves: [Vec<i64>; 3] = std::array::from_fn(|_| Vec::new());
    for tree in 0..i64::try_from(TREES).unwrap_or_default() {
        for id in 0..all {
            let is_leaf = id >= inner;
            let feature = numbers.below(FEATURES);
            let children = if is_leaf { [0, 0] } else { [2 * id + 1, 2 * id + 2] };
            for (column, value) in columns
                .iter_mut()
                .zip([tree, id, feature, children[0], children[1]])
            {
                column.push(value);
            }
            values.push(numbers.next());
            modes.push(if is_leaf { "LEAF" } else { "BRANCH_LEQ" });
            for class in (0..CLASSES).filter(|_| is_leaf) {
                for (column, value) in leaves.iter_mut().zip([tree, id, class]) {
                    column.push(value);
                }
                weights.push((numbers.next() + 1.0) / 200.0);
            }
        }
    }
    let [trees, ids, features, yes, no] = columns;
    let [leaf_trees, leaf_ids, classes] = leaves;
    let modes = AttributeProto {
        name: "nodes_modes".to_owned(),
        r#type: AttributeType::Strings.into(),
        strings: modes.into_iter().map(|mode| mode.as_bytes().to_vec()).collect(),
        ..AttributeProto::default()
    };
    let attributes = vec![
        ints("nodes_treeids", trees),
        ints("nodes_nodeids", ids),
        ints("nodes_featureids", features),
        ints("nodes_truenodeids", yes),
        ints("nodes_falsenodeids", no),
        floats("nodes_values", values),
        modes,
        ints("class_treeids", leaf_trees),
        ints("class_nodeids", leaf_ids),
        ints("class_ids", classes),
        floats("class_weights", weights),
        ints("classlabels_int64s", (0..CLASSES).collect()),
    ];
    node("TreeEnsembleClassifier", &["label", "scores"], attributes)
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints.into(),
        ints,
        ..AttributeProto::default()
    }
}

fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Floats.into(),
        floats,
        ..AttributeProto::default()
    }
}

fn string(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String.into(),
        s: text.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

fn node(operator: &str, outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        domain: "ai.onnx.ml".to_owned(),
        input: vec!["x".to_owned()],
        output: outputs.iter().map(|name| (*name).to_owned()).collect(),
        attribute,
        ..NodeProto::default()
    }
}

/// A matrix with any number of rows; `columns` is what is known of the others.
fn matrix(name: &str, kind: DataType, columns: Option<u16>) -> ValueInfoProto {
    let dim = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let columns = columns.map(|columns| dim(Value::DimValue(columns.into())));
    let shape = TensorShapeProto {
        dim: [dim(Value::DimParam("n".to_owned()))]
            .into_iter()
            .chain(columns)
            .collect(),
    };
    let tensor = type_proto::Tensor {
        elem_type: kind.into(),
        shape: Some(shape),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn load(node: NodeProto) -> Box<dyn LoadedModel> {
    let output = |name: &String| match name.as_str() {
        "label" => matrix(name, DataType::Int64, None),
        name => ValueInfoProto {
            r#type: None,
            ..matrix(name, DataType::Float, None)
        },
    };
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![opset("", 17), opset("ai.onnx.ml", 3)],
        graph: Some(GraphProto {
            output: node.output.iter().map(output).collect(),
            node: vec![node],
            input: vec![matrix("x", DataType::Float, Some(FEATURES))],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.onnx");
    let bytes = model.encode_to_vec();
    keep(&bytes, &model);
    fs::write(&file, &bytes).expect("the model is written");
    let len = bytes.len() as u64;
    let source = Source {
        file,
        file_bytes: len,
        disk_bytes: len,
    };
    TractEngine::new().load(&source).expect("the model is loaded")
}

/// Writes the model into the folder that `STOWAGE_KEEP_MODELS` names, for a comparison with other runtimes.
fn keep(bytes: &[u8], model: &ModelProto) {
    let operator = model.graph.as_ref().and_then(|graph| graph.node.first());
    if let (Some(folder), Some(operator)) = (std::env::var_os("STOWAGE_KEEP_MODELS"), operator) {
        let file = Path::new(&folder).join(format!("{}.onnx", operator.op_type));
        fs::write(file, bytes).expect("the model is kept");
    }
}
