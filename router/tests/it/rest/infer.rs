//! `POST /v2/models/M/infer`, end to end.

use std::io::{Read as _, Write as _};

use api::inference::{
    ModelInferRequest, ModelInferResponse, infer_parameter::ParameterChoice,
    model_infer_response::InferOutputTensor,
};
use flate2::{
    Compression, read::GzDecoder, read::ZlibDecoder, write::DeflateEncoder, write::GzEncoder,
    write::ZlibEncoder,
};
use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;

pub(super) fn answer(datatype: &str, shape: &[i64], raw: &[u8]) -> ModelInferResponse {
    ModelInferResponse {
        model_name: "m".to_owned(),
        model_version: "1".to_owned(),
        outputs: vec![InferOutputTensor {
            name: "y".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            ..InferOutputTensor::default()
        }],
        raw_output_contents: vec![Bytes::copy_from_slice(raw)],
        ..ModelInferResponse::default()
    }
}

fn echo() -> Fake {
    Fake::default().answers(INFER, &answer("FP32", &[1], &1.5_f32.to_le_bytes()))
}

#[tokio::test]
async fn one_inference() {
    for (path, version) in [
        ("/v2/models/a:b%2Fc/infer", ""),
        ("/v2/models/a:b%2Fc/versions/7/infer", "7"),
    ] {
        let fake = echo();
        let expected = json!({
            "model_name": "m",
            "model_version": "1",
            "outputs": [{ "name": "y", "datatype": "FP32", "shape": [1], "data": [1.5] }],
        });
        assert_eq!(post(&fake, path, ONE).await, (StatusCode::OK, expected));
        let (_, sent) = fake.only::<ModelInferRequest>(INFER);
        assert_eq!(
            (sent.model_name.as_str(), sent.model_version.as_str()),
            ("a:b/c", version)
        );
        assert_eq!(sent.inputs[0].name, "x");
        assert_eq!(sent.inputs[0].contents, None);
        assert_eq!(sent.raw_input_contents, [&1.5_f32.to_le_bytes()[..]]);
    }
}

/// Upstream took the ASCII of two digits for a code unit.
#[tokio::test]
async fn escapes_in_strings_are_decoded() {
    let fake = echo();
    let body =
        r#"{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["\u00e9\u4e16","\ud83d\ude00"]}]}"#;
    assert_eq!(post(&fake, "/v2/models/m/infer", body).await.0, StatusCode::OK);
    let (_, sent) = fake.only::<ModelInferRequest>(INFER);
    let raw = [
        &[5, 0, 0, 0][..],
        "\u{e9}\u{4e16}".as_bytes(),
        &[4, 0, 0, 0],
        "\u{1f600}".as_bytes(),
    ]
    .concat();
    assert_eq!(sent.raw_input_contents, [raw]);
}

/// Upstream answered a base64 string.
#[tokio::test]
async fn uint8_outputs_are_numbers() {
    let fake = Fake::default().answers(INFER, &answer("UINT8", &[3], &[0, 127, 255]));
    let (_, body) = post(&fake, "/v2/models/m/infer", ONE).await;
    assert_eq!(body["outputs"][0]["data"], json!([0, 127, 255]));
}

/// Upstream refused them.
#[tokio::test]
async fn parameters_of_outputs_reach_the_model() {
    let fake = echo();
    let body = ONE.replacen(
        "{\"inputs\"",
        r#"{"outputs":[{"name":"y","parameters":{"classification":2,"binary_data":false,"f":0.5}}],"inputs""#,
        1,
    );
    assert_eq!(post(&fake, "/v2/models/m/infer", &body).await.0, StatusCode::OK);
    let (_, sent) = fake.only::<ModelInferRequest>(INFER);
    let choice = |name: &str| {
        sent.outputs[0]
            .parameters
            .get(name)
            .and_then(|parameter| parameter.parameter_choice.clone())
    };
    assert_eq!(choice("classification"), Some(ParameterChoice::Int64Param(2)));
    assert_eq!(choice("f"), Some(ParameterChoice::DoubleParam(0.5)));
    assert_eq!(choice("binary_data"), None);
}

/// Upstream allocated what the shape said.
#[tokio::test]
async fn a_huge_shape_in_a_small_body_is_refused() {
    for shape in ["[268435456]", "[-5]", "[9223372036854775807,9]"] {
        for (datatype, data) in [("BYTES", r#"["a"]"#), ("FP32", "[1]")] {
            let body = format!(
                r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
            );
            let fake = echo();
            check_error(
                post(&fake, "/v2/models/m/infer", &body).await,
                400,
                3,
                "input \"x\": shape [",
            );
            assert!(fake.calls().is_empty());
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let fake = echo();
    let path = "/v2/models/m/infer";
    check_error(post(&fake, path, "").await, 400, 3, "an object is expected");
    check_error(
        post(&fake, path, &ONE.replace("1.5", "NaN")).await,
        400,
        3,
        "input \"x\": invalid JSON at byte",
    );
    check_error(
        post(&fake, path, &ONE.replace("[1.5]", "[[1.5]]")).await,
        400,
        3,
        "data is nested",
    );
    check_error(
        post(&fake, path, &ONE.replace("[1.5]", "[1,2]")).await,
        400,
        3,
        "takes 1 elements",
    );
    assert!(fake.calls().is_empty());
    for (message, error) in [
        (answer("FP32", &[2], &[0; 4]), "the model answered 4"),
        (
            answer("FP32", &[1], &f32::NAN.to_le_bytes()),
            "ask for this output with the parameter binary_data",
        ),
    ] {
        let fake = Fake::default().answers(INFER, &message);
        check_error(post(&fake, path, ONE).await, 500, 13, error);
    }
    let fake = Fake::default().set(INFER, Ok((HeaderMap::new(), Bytes::from_static(b"\xff"))));
    check_error(
        post(&fake, path, ONE).await,
        500,
        13,
        "the answer of the model is broken",
    );
}

#[tokio::test]
async fn binary_tensors_both_ways() {
    let head = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}}]}"#;
    let body = [head.as_bytes(), &[0, 0x3c, 0, 0x7c]].concat();
    // An infinity comes back: binary tensors carry it.
    let fake = Fake::default().answers(INFER, &answer("FP16", &[2], &[0, 0x3c, 0, 0x7c]));
    let post = request(Method::POST, "/v2/models/m/infer")
        .header("Inference-Header-Content-Length", head.len())
        .body(Body::from(body))
        .expect("valid");
    let (status, headers, body) = send(fake.app(), post).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    assert_eq!(headers["content-type"], "application/octet-stream");
    let length: usize = headers["inference-header-content-length"]
        .to_str()
        .expect("text")
        .parse()
        .expect("a number");
    let answered: serde_json::Value = serde_json::from_slice(&body[..length]).expect("JSON");
    let output =
        json!({ "name": "y", "datatype": "FP16", "shape": [2], "parameters": { "binary_data_size": 4 } });
    assert_eq!(answered["outputs"], json!([output]));
    assert_eq!(body[length..], [0, 0x3c, 0, 0x7c]);
    let (_, sent) = fake.only::<ModelInferRequest>(INFER);
    assert_eq!(sent.raw_input_contents, [&[0, 0x3c, 0, 0x7c][..]]);
    assert!(sent.parameters.is_empty() && sent.inputs[0].parameters.is_empty());
}

#[tokio::test]
async fn a_bad_header_length_is_refused() {
    let fake = echo();
    for value in ["x", "-1", "1e3", "99999999999999999999", "100000"] {
        let post = request(Method::POST, "/v2/models/m/infer")
            .header("Inference-Header-Content-Length", value)
            .body(Body::from(ONE))
            .expect("valid");
        check_error(
            json(send(fake.app(), post).await),
            400,
            3,
            "Inference-Header-Content-Length",
        );
    }
}

#[tokio::test]
async fn metadata_passes_both_ways() {
    let metadata = HeaderMap::from_iter([
        (HeaderName::from_static("cost"), HeaderValue::from_static("3")),
        (
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        ),
        (
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/grpc"),
        ),
    ]);
    let fake = Fake::default().answers_with(INFER, metadata, &answer("FP32", &[1], &[0; 4]));
    let post = request(Method::POST, "/v2/models/m/infer")
        .header("Authorization", "Bearer t")
        .header("Grpc-Metadata-Tenant", "blue")
        .header("Grpc-Timeout", "5S")
        .header("mm-vmodel-id", "v")
        .header("X-Request-Id", "r-1")
        .header("Cookie", "c")
        .body(Body::from(ONE))
        .expect("valid");
    let (status, headers, _) = send(fake.app(), post).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["grpc-metadata-cost"], "3");
    assert_eq!(headers["x-request-id"], "r-1");
    assert!(!headers.contains_key("grpc-metadata-grpc-status"));
    assert_eq!(headers["content-type"], "application/json");
    let (sent, _) = fake.only::<ModelInferRequest>(INFER);
    let expected = [
        ("authorization", "Bearer t"),
        ("tenant", "blue"),
        ("grpc-timeout", "5S"),
        ("mm-vmodel-id", "v"),
        ("x-request-id", "r-1"),
    ];
    assert_eq!(sent.len(), expected.len());
    for (name, value) in expected {
        assert_eq!(sent[name], value);
    }
}

#[tokio::test]
async fn metadata_of_a_failure_passes() {
    let mut status = Status::unavailable("later");
    status
        .metadata_mut()
        .insert("retry-hint", "5".parse().expect("ASCII"));
    let fake = Fake::default().fails(INFER, status);
    let post = request(Method::POST, "/v2/models/m/infer")
        .body(Body::from(ONE))
        .expect("valid");
    let (status, headers, _) = send(fake.app(), post).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["grpc-metadata-retry-hint"], "5");
}

#[tokio::test]
async fn compressed_requests() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(ONE.as_bytes()).expect("in memory");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(ONE.as_bytes()).expect("in memory");
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
    bare.write_all(ONE.as_bytes()).expect("in memory");
    let bodies = [
        ("gzip", gzip.finish().expect("in memory")),
        ("deflate", zlib.finish().expect("in memory")),
        ("deflate", bare.finish().expect("in memory")),
        ("identity", ONE.into()),
    ];
    for (coding, body) in bodies {
        let fake = echo();
        let post = request(Method::POST, "/v2/models/m/infer")
            .header("Content-Encoding", coding)
            .body(Body::from(body))
            .expect("valid");
        let (status, body) = json(send(fake.app(), post).await);
        assert_eq!(status, StatusCode::OK, "{coding}: {body}");
    }
    let refused = |coding: &'static str| {
        request(Method::POST, "/v2/models/m/infer")
            .header("Content-Encoding", coding)
            .body(Body::from(ONE))
            .expect("valid")
    };
    check_error(
        json(send(echo().app(), refused("gzip")).await),
        400,
        3,
        "the body is not gzip",
    );
    check_error(
        json(send(echo().app(), refused("deflate")).await),
        400,
        3,
        "the body is not deflate",
    );
    check_error(
        json(send(echo().app(), refused("br")).await),
        415,
        3,
        "Content-Encoding must be",
    );
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_accepts_it() {
    let raw = vec![0; 4096];
    let fake = Fake::default().answers(INFER, &answer("FP32", &[1024], &raw));
    let ask = |accept: &'static str| {
        request(Method::POST, "/v2/models/m/infer")
            .header("Accept-Encoding", accept)
            .body(Body::from(ONE))
            .expect("valid")
    };
    let (_, headers, plain) = send(fake.app(), ask("br, gzip;q=0")).await;
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(headers["vary"], "accept-encoding");

    let (_, headers, body) = send(fake.app(), ask("gzip, deflate")).await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-length"], body.len().to_string());
    assert!(body.len() < plain.len() / 4);
    let mut out = Vec::new();
    GzDecoder::new(&body[..]).read_to_end(&mut out).expect("gzip");
    assert_eq!(out, plain);

    let (_, headers, body) = send(fake.app(), ask("deflate")).await;
    assert_eq!(headers["content-encoding"], "deflate");
    let mut out = Vec::new();
    ZlibDecoder::new(&body[..]).read_to_end(&mut out).expect("zlib");
    assert_eq!(out, plain);

    let (_, headers, _) = send(echo().app(), ask("gzip")).await;
    assert!(!headers.contains_key("content-encoding"), "a small answer");
}
