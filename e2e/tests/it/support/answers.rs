//! Sample requests of `examples/requests`, and what they must be answered.

use std::{fs, path::PathBuf};

use e2e::process;
use serde_json::Value;

use super::rest::{self, Answer};

/// Largest difference to ONNX Runtime, relative for values above 1.
const TOLERANCE: f64 = 1e-5;

/// Every example model.
pub(crate) const MODELS: [&str; 6] = [
    "breast-cancer",
    "diabetes",
    "digits",
    "digits-cnn",
    "iris",
    "wine",
];

pub(crate) fn folder() -> PathBuf {
    process::root().join("examples")
}

/// The sample request of a model.
pub(crate) fn request(model: &str) -> Vec<u8> {
    let path = folder().join("requests").join(format!("{model}.json"));
    fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn expected(stem: &str) -> Value {
    let path = folder().join("requests").join(format!("{stem}.expected.json"));
    let text = fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// Fails unless `answer` has the outputs of `requests/<stem>.expected.json`, in their order.
#[track_caller]
pub(crate) fn check(stem: &str, answer: &Value) {
    let expected = expected(stem);
    assert_eq!(answer["id"], expected["id"], "{stem}: {answer}");
    let outputs = |value: &Value| value["outputs"].as_array().cloned().unwrap_or_default();
    let (got, want) = (outputs(answer), outputs(&expected));
    assert_eq!(got.len(), want.len(), "{stem}: {answer}");
    for (got, want) in got.iter().zip(&want) {
        for field in ["name", "datatype", "shape"] {
            assert_eq!(got[field], want[field], "{stem}: {field} of {got}");
        }
        let (values, wanted) = (&got["data"], &want["data"]);
        let len = |value: &Value| value.as_array().map(Vec::len);
        assert_eq!(len(values), len(wanted), "{stem}: {got}");
        for (value, wanted) in values
            .as_array()
            .into_iter()
            .flatten()
            .zip(wanted.as_array().into_iter().flatten())
        {
            check_value(stem, value, wanted);
        }
    }
}

#[track_caller]
fn check_value(stem: &str, value: &Value, wanted: &Value) {
    match (value.as_f64(), wanted.as_f64()) {
        (Some(value), Some(wanted)) => {
            let error = (value - wanted).abs() / wanted.abs().max(1.0);
            assert!(error <= TOLERANCE, "{stem}: {value}, expected {wanted}");
        }
        _ => assert_eq!(value, wanted, "{stem}"),
    }
}

/// Asks every example model over REST.
pub(crate) async fn check_all(rest: &str) {
    for model in MODELS {
        check(model, &ask(rest, model).await.json());
    }
    let answer = rest::post(
        rest,
        "/v2/models/breast-cancer/versions/1/infer",
        request("breast-cancer"),
    )
    .await
    .expect("the server answers");
    check("breast-cancer.v1", &answer.json());
}

/// The sample request of a model, answered.
pub(crate) async fn ask(rest: &str, model: &str) -> Answer {
    let answer = rest::infer(rest, model, request(model))
        .await
        .expect("the server answers");
    assert_eq!(answer.status, 200, "{model}: {:?}", answer.body);
    answer
}

/// Proof that the process still serves.
pub(crate) async fn check_still_serves(rest: &str) {
    check("iris", &ask(rest, "iris").await.json());
}
