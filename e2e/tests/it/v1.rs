//! `KServe`'s V1 protocol over a real model: the same answers as V2, in V1's form.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{answers, rest, stowage::Stowage};

fn request(model: &str) -> Value {
    serde_json::from_slice(&answers::request(model)).expect("sample requests are JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_v2s_answers() {
    let server = Stowage::examples().await;
    let instances = request("iris")["inputs"][0]["data"].take();
    let answer = rest::post(
        server.rest(),
        "/v1/models/iris:predict",
        json!({ "instances": instances }).to_string(),
    )
    .await
    .expect("the server answers");
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let predictions = answer.json()["predictions"].take();
    let rows = predictions.as_array().expect("predictions are a list");
    // Several outputs are an object for each instance; V2 has them as flat tensors.
    let species: Vec<_> = rows.iter().map(|row| row["species"].clone()).collect();
    let probabilities: Vec<_> = rows
        .iter()
        .flat_map(|row| row["probabilities"].as_array().cloned().unwrap_or_default())
        .collect();
    let as_v2 = json!({
        "id": "iris-sample",
        "outputs": [
            { "name": "species", "datatype": "BYTES", "shape": [3], "data": species },
            { "name": "probabilities", "datatype": "FP32", "shape": [3, 3], "data": probabilities },
        ]
    });
    answers::check("iris", &as_v2);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_refusals() {
    let server = Stowage::examples().await;
    let ready = rest::get(server.rest(), "/v1/models/iris")
        .await
        .expect("the server answers");
    assert_eq!(ready.json(), json!({ "name": "iris", "ready": true }));
    let list = rest::get(server.rest(), "/v1/models")
        .await
        .expect("the server answers");
    let models = list.json()["models"].take();
    assert!(
        models
            .as_array()
            .is_some_and(|models| models.contains(&json!("iris"))),
        "{models}"
    );
    for (path, body, status, word) in [
        (
            "/v1/models/no-such-model:predict",
            r#"{"instances":[[1,2,3,4]]}"#,
            404,
            "not found",
        ),
        (
            "/v1/models/iris:predict",
            r#"{"instances":[[1,2,3]]}"#,
            400,
            "features",
        ),
        (
            "/v1/models/iris:predict",
            r#"{"instances":[["a"]]}"#,
            400,
            "instances",
        ),
        ("/v1/models/iris:predict", "{}", 400, "instances"),
    ] {
        let answer = rest::post(server.rest(), path, body)
            .await
            .expect("the server answers");
        let text = answer.error(StatusCode::from_u16(status).expect("a status"));
        assert!(text.contains(word), "{path} {body}: {text}");
    }
    answers::check_still_serves(server.rest()).await;
}
