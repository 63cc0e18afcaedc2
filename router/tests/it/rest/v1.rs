//! `KServe`'s V1 predict over V2.

use api::inference::{
    ModelInferRequest, ModelInferResponse, ModelMetadataResponse, model_metadata_response::TensorMetadata,
};
use serde_json::json;

use super::{infer::answer, *};

const PATH: &str = "/v1/models/a:b:predict";

fn model(inputs: &[(&str, &str)], response: &ModelInferResponse) -> Fake {
    let tensor = |&(name, datatype): &(&str, &str)| TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: vec![-1, 2],
    };
    let metadata = ModelMetadataResponse {
        inputs: inputs.iter().map(tensor).collect(),
        ..ModelMetadataResponse::default()
    };
    Fake::default()
        .answers(METADATA, &metadata)
        .answers(INFER, response)
}

fn singles(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn sent(fake: &Fake) -> ModelInferRequest {
    let calls = fake.calls();
    assert_eq!(
        calls.iter().map(|call| call.method).collect::<Vec<_>>(),
        [METADATA, INFER]
    );
    ModelInferRequest::decode(calls[1].message.clone()).expect("protobuf")
}

#[tokio::test]
async fn instances_become_a_tensor_and_back() {
    let fake = model(
        &[("x", "FP32")],
        &answer("FP32", &[2, 2], &singles(&[0.5, 1.0, 2.0, 3.0])),
    );
    let body = r#"{"signature_name":"s","instances":[[1,2],[3,4.5]]}"#;
    let expected = json!({ "predictions": [[0.5, 1.0], [2.0, 3.0]] });
    assert_eq!(post(&fake, PATH, body).await, (StatusCode::OK, expected));
    let sent = sent(&fake);
    assert_eq!(sent.model_name, "a:b");
    assert_eq!(
        (sent.inputs[0].name.as_str(), sent.inputs[0].datatype.as_str()),
        ("x", "FP32")
    );
    assert_eq!(sent.inputs[0].shape, [2, 2]);
    assert_eq!(sent.raw_input_contents, [singles(&[1.0, 2.0, 3.0, 4.5])]);
}

#[tokio::test]
async fn strings_and_scalars() {
    let fake = model(
        &[("x", "BYTES")],
        &answer("BYTES", &[2], &[1, 0, 0, 0, b'y', 1, 0, 0, 0, b'n']),
    );
    let (_, body) = post(&fake, PATH, r#"{"instances":["a","b"]}"#).await;
    assert_eq!(body, json!({ "predictions": ["y", "n"] }));
    assert_eq!(sent(&fake).inputs[0].shape, [2]);
    let fake = model(&[("x", "INT64")], &answer("INT64", &[], &7_i64.to_le_bytes()));
    assert_eq!(
        post(&fake, PATH, r#"{"instances":[[[1]]]}"#).await.1,
        json!({ "predictions": 7 })
    );
    assert_eq!(sent(&fake).inputs[0].shape, [1, 1, 1]);
    let fake = model(&[("x", "INT64")], &answer("INT64", &[0, 3], &[]));
    assert_eq!(
        post(&fake, PATH, r#"{"instances":[]}"#).await.1,
        json!({ "predictions": [] })
    );
}

#[tokio::test]
async fn several_outputs_are_objects_per_instance() {
    let mut response = answer("FP32", &[2, 2], &singles(&[0.5, 1.0, 2.0, 3.0]));
    response.outputs.extend(answer("INT8", &[2], &[1, 2]).outputs);
    response.outputs[1].name = "z".to_owned();
    response.raw_output_contents.push(Bytes::from_static(&[1, 2]));
    let fake = model(&[("x", "FP32")], &response);
    let expected = json!({ "predictions": [{ "y": [0.5, 1.0], "z": 1 }, { "y": [2.0, 3.0], "z": 2 }] });
    assert_eq!(
        post(&fake, PATH, r#"{"instances":[[1,2],[3,4]]}"#).await,
        (StatusCode::OK, expected)
    );

    response.outputs[1].shape = vec![1, 2];
    let fake = model(&[("x", "FP32")], &response);
    let failure = post(&fake, PATH, r#"{"instances":[[1,2],[3,4]]}"#).await;
    check_error(failure, 500, 13, "the same first dimension in all outputs");
}

#[tokio::test]
async fn what_v1_cannot_do_is_said() {
    let one = model(&[("x", "FP32")], &answer("FP32", &[1], &[0; 4]));
    let two = model(&[("x", "FP32"), ("y", "FP32")], &answer("FP32", &[1], &[0; 4]));
    check_error(
        post(&two, PATH, r#"{"instances":[1]}"#).await,
        400,
        3,
        "models with one input, this one has 2",
    );
    for (body, message) in [
        ("{}", "instances is missing"),
        (r#"{"instances":1}"#, "instances must be an array"),
        (r#"{"instances":[{"x":1}]}"#, "instances must be nested arrays"),
        (r#"{"instances":[[1,2],[3]]}"#, "dimension 1 of shape [2, 2] is 2"),
        (r#"{"instances":[[1],2]}"#, "nested to 1 levels somewhere"),
        (r#"{"instances":["a"]}"#, "a number is expected"),
        (r#"{"instances":[1],"instances":[2]}"#, "instances is given twice"),
        (r#"{"instances":[NaN]}"#, "NaN and Infinity are not JSON"),
        ("[", "an object is expected"),
    ] {
        check_error(post(&one, PATH, body).await, 400, 3, message);
    }
    let deep = format!(r#"{{"instances":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    check_error(post(&one, PATH, &deep).await, 400, 3, "more than 32 dimensions");
    let fake = Fake::default().fails(METADATA, Status::not_found("model not found"));
    check_error(
        post(&fake, PATH, r#"{"instances":[1]}"#).await,
        404,
        5,
        "model not found",
    );
}

/// The size of the answer bounds what is written, not its shape.
#[tokio::test]
async fn rows_without_elements_are_not_written_out() {
    let mut response = answer("FP32", &[1 << 40, 0], &[]);
    let fake = model(&[("x", "FP32")], &response);
    assert_eq!(
        post(&fake, PATH, r#"{"instances":[1]}"#).await.1,
        json!({ "predictions": [] })
    );
    response.outputs.push(response.outputs[0].clone());
    response.raw_output_contents.push(Bytes::new());
    let fake = model(&[("x", "FP32")], &response);
    check_error(
        post(&fake, PATH, r#"{"instances":[1]}"#).await,
        500,
        13,
        "rows without elements",
    );
}
