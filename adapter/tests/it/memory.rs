//! Reported sizes are near what the process really takes, and an unload gives it back.

use std::{fs, path::Path};

use prost::Message as _;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value},
    type_proto,
};

use adapter::onnx::EngineChoice;

use crate::harness::{ENGINES, load_request, ort_library, runtime_with};

const SIDE: i64 = 512;
/// Bytes of the weights.
const WEIGHTS: u64 = 512 * 512 * 4;
/// What other tests may take meanwhile, and what the allocator keeps for itself.
const NOISE: u64 = 96 << 20;

/// A model that is one matrix of a megabyte.
pub(crate) fn write_matrix_model(file: &Path) {
    let tensor = |name: &str| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto {
                    dim: vec![
                        Dimension {
                            value: Some(Value::DimParam("n".to_owned())),
                            ..Default::default()
                        },
                        Dimension {
                            value: Some(Value::DimValue(SIDE)),
                            ..Default::default()
                        },
                    ],
                }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let weights = (0..SIDE * SIDE)
        .flat_map(|i| (i as f32).sin().to_le_bytes())
        .collect();
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: vec![NodeProto {
                op_type: "MatMul".to_owned(),
                input: vec!["x".to_owned(), "w".to_owned()],
                output: vec!["y".to_owned()],
                ..Default::default()
            }],
            initializer: vec![TensorProto {
                name: "w".to_owned(),
                dims: vec![SIDE, SIDE],
                data_type: DataType::Float as i32,
                raw_data: weights,
                ..Default::default()
            }],
            input: vec![tensor("x")],
            output: vec![tensor("y")],
            ..Default::default()
        }),
        ..Default::default()
    };
    fs::write(file, model.encode_to_vec()).unwrap();
}

/// Memory of this process.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn memory_is_what_is_reported_and_unloading_gives_it_back() {
    for engine in ENGINES {
        check_memory(engine).await;
    }
}

async fn check_memory(engine: EngineChoice) {
    let most = match engine {
        EngineChoice::Builtin => WEIGHTS * 3 / 2,
        // With what its allocator keeps.
        EngineChoice::Ort | EngineChoice::Auto => WEIGHTS * 5 / 2,
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    write_matrix_model(&file);
    let runtime = runtime_with(|options| {
        options.capacity_bytes = 1 << 30;
        options.engine = engine;
        options.ort_library = Some(ort_library().to_owned());
    });
    runtime.load(&load_request("first", &file)).await.unwrap();
    runtime.unload("first").await.unwrap();
    let before = resident();
    // 200 MB if nothing were given back.
    for round in 0..200 {
        let id = format!("round-{round}");
        let size = runtime
            .load(&load_request(&id, &file))
            .await
            .unwrap()
            .size_in_bytes;
        assert!((WEIGHTS..most).contains(&size), "{engine:?}: {size}");
        runtime.unload(&id).await.unwrap();
    }
    let after = resident();
    assert!(
        after < before + NOISE,
        "{engine:?}: {before} before, {after} after"
    );

    let mut reported = 0;
    for round in 0..200 {
        let id = format!("kept-{round}");
        reported += runtime
            .load(&load_request(&id, &file))
            .await
            .unwrap()
            .size_in_bytes;
    }
    let taken = resident().saturating_sub(after);
    assert!(
        taken < reported + NOISE,
        "{engine:?}: {reported} reported, {taken} taken"
    );
    assert!(
        taken + NOISE > reported,
        "{engine:?}: {reported} reported, {taken} taken"
    );
}
