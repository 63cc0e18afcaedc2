//! Models of one `Identity`, for whatever depends on the element type.

use std::{fs, path::Path};

use prost::Message as _;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value},
    type_proto,
};

/// Writes a model that answers its input `x`, a vector of any length, as `y`.
pub(crate) fn write(file: &Path, elem_type: DataType) {
    write_node(file, elem_type, "", "Identity");
}

/// The same with another operator, which the model's file alone can name.
pub(crate) fn write_node(file: &Path, elem_type: DataType, domain: &str, operator: &str) {
    let tensor = |name: &str| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: elem_type as i32,
                shape: Some(TensorShapeProto {
                    dim: vec![Dimension {
                        value: Some(Value::DimParam("n".to_owned())),
                        ..Default::default()
                    }],
                }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![opset("", 17), opset("com.microsoft", 1)],
        graph: Some(GraphProto {
            name: "g".to_owned(),
            node: vec![NodeProto {
                name: "only".to_owned(),
                op_type: operator.to_owned(),
                domain: domain.to_owned(),
                input: vec!["x".to_owned()],
                output: vec!["y".to_owned()],
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
