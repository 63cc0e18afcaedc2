use tract_onnx::pb::{TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto::Dimension};

use super::*;

fn dim(value: Option<dimension::Value>) -> Dimension {
    Dimension {
        value,
        ..Dimension::default()
    }
}

fn info(name: &str, dims: Vec<Dimension>) -> ValueInfoProto {
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto { dim: dims }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto {
        value,
        ..TypeProto::default()
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type,
        ..ValueInfoProto::default()
    }
}

fn named(name: &str) -> Dimension {
    dim(Some(dimension::Value::DimParam(name.to_owned())))
}

fn graph() -> GraphProto {
    GraphProto {
        input: vec![
            info(
                "a",
                vec![
                    dim(None),
                    dim(Some(dimension::Value::DimValue(3))),
                    named("batch size/2"),
                ],
            ),
            info(
                "b",
                vec![
                    dim(None),
                    named("batch size/2"),
                    dim(Some(dimension::Value::DimValue(-1))),
                ],
            ),
        ],
        ..GraphProto::default()
    }
}

fn dims(unnamed: Unnamed) -> Vec<Vec<Dim>> {
    let inputs = name_dims(&mut graph(), unnamed).unwrap();
    inputs.into_iter().map(|input| input.dims.unwrap()).collect()
}

#[test]
fn open_dimensions_become_symbols() {
    let half = || Dim::Named("batch size/2".to_owned());
    let batch = || Dim::Named(BATCH.to_owned());
    assert_eq!(
        dims(Unnamed::Batch),
        [[batch(), Dim::Fixed(3), half()], [batch(), half(), Dim::Any]]
    );
    assert_eq!(
        dims(Unnamed::Distinct),
        [[Dim::Any, Dim::Fixed(3), half()], [Dim::Any, half(), Dim::Any]]
    );
    let mut graph = graph();
    name_dims(&mut graph, Unnamed::Batch).unwrap();
    let symbols = graph
        .input
        .iter()
        .map(|input| declared(input).dims.unwrap())
        .collect::<Vec<_>>();
    let name = |name: &str| Dim::Named(name.to_owned());
    assert_eq!(symbols[0], [name("batch_0"), Dim::Fixed(3), name("dim_0")]);
    assert_eq!(symbols[1], [name("batch_0"), name("dim_0"), name("open_1_2")]);
}

#[test]
fn inputs_with_default_values_are_no_inputs() {
    let mut graph = graph();
    graph.initializer.push(TensorProto {
        name: "a".to_owned(),
        ..TensorProto::default()
    });
    let inputs = name_dims(&mut graph, Unnamed::Batch).unwrap();
    assert_eq!(
        inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn operators_are_found_by_domain_in_subgraphs_too() {
    let node = |operator: &str, domain: &str, body: Option<GraphProto>| NodeProto {
        name: format!("{operator} node"),
        op_type: operator.to_owned(),
        domain: domain.to_owned(),
        attribute: vec![AttributeProto {
            g: body,
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    };
    let body = GraphProto {
        node: vec![node("Scaler", "", None), node("Add", "", None)],
        ..GraphProto::default()
    };
    let graph = GraphProto {
        node: vec![
            node("Scaler", "ai.onnx.ml", Some(body)),
            node("Add", "my.own", None),
            node("Add", "my.own", None),
        ],
        ..GraphProto::default()
    };
    let operators = Operators::of(["Scaler", "Add"].map(str::to_owned));
    let mut missing = BTreeMap::new();
    find_missing(&graph, &operators, 0, &mut missing).unwrap();
    let missing = missing.values().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        missing,
        [
            "Scaler of domain ai.onnx (node \"Scaler node\")",
            "Add of domain my.own (node \"Add node\")"
        ]
    );
}
