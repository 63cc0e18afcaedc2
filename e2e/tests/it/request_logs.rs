//! A client's `x-request-id` on its way: into the answer, and into a line of the log for each request.

use std::collections::BTreeMap;

use api::inference::{
    ModelInferRequest, ModelReadyRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
};
use e2e::process;
use http::{HeaderValue, Method};
use serde_json::Value;
use tonic::{Code, Request};

use crate::support::{SOON, answers, rest, stowage::Stowage};

/// Lines of the log with this id, by their message.
fn lines(output: &str, id: &str) -> BTreeMap<String, Value> {
    output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["request_id"] == id)
        .map(|line| (line["message"].as_str().unwrap_or_default().to_owned(), line))
        .collect()
}

/// The line with this id and message, as soon as it is there. A call is logged after its answer is on the way.
async fn line(server: &Stowage, id: &str, message: &str) -> Value {
    let what = format!("{message:?} with {id}");
    let line = process::eventually(&what, SOON, async || {
        Ok(lines(&server.process.output(), id).remove(message))
    })
    .await
    .expect("requests are logged");
    assert!(line["elapsed_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    assert_eq!(line["level"], "DEBUG", "{line}");
    line
}

async fn rest_infer(server: &Stowage, model: &str, id: &'static str) -> rest::Answer {
    let path = format!("/v2/models/{model}/infer");
    let mut request = rest::request(Method::POST, &path, answers::request("iris"));
    let headers = request.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_static(id));
    let answer = rest::call(server.rest(), request)
        .await
        .expect("the server answers");
    assert_eq!(answer.headers["x-request-id"], id);
    answer
}

fn with_id<T>(message: T, id: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    let id = id.parse().expect("ASCII");
    request.metadata_mut().insert("x-request-id", id);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_leaves_a_line_with_its_id() {
    let server = Stowage::logging("info,router=debug").await;
    assert_eq!(rest_infer(&server, "iris", "by-rest").await.status, 200);
    let call = line(&server, "by-rest", "call ended").await;
    assert_eq!(
        (&call["method"], &call["code"]),
        (&"/inference.GRPCInferenceService/ModelInfer".into(), &"OK".into())
    );
    let model = call["model"].as_str().unwrap_or_default();
    assert!(model.starts_with("iris"), "{call}");
    let request = line(&server, "by-rest", "REST request ended").await;
    assert_eq!(
        (&request["verb"], &request["path"], &request["status"]),
        (&"POST".into(), &"/v2/models/iris/infer".into(), &200.into())
    );

    assert_eq!(rest_infer(&server, "nothing", "unknown").await.status, 404);
    assert_eq!(line(&server, "unknown", "call ended").await["code"], "NOT_FOUND");

    let mut client = GrpcInferenceServiceClient::connect(format!("http://{}", server.grpc()))
        .await
        .expect("connects");
    let ready = ModelReadyRequest {
        name: "iris".into(),
        version: String::new(),
    };
    client
        .model_ready(with_id(ready, "ready"))
        .await
        .expect("answered");
    assert_eq!(line(&server, "ready", "call ended").await["code"], "OK");
    let empty = ModelInferRequest {
        model_name: "iris".into(),
        ..ModelInferRequest::default()
    };
    let refused = client.model_infer(with_id(empty, "refused")).await;
    assert_eq!(refused.expect_err("no inputs").code(), Code::InvalidArgument);
    let refused = line(&server, "refused", "call ended").await;
    assert_eq!(refused["code"], "INVALID_ARGUMENT");
    assert!(
        refused["model"]
            .as_str()
            .is_some_and(|model| model.starts_with("iris")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_not_logged_unless_asked_for() {
    let server = Stowage::logging("info").await;
    rest_infer(&server, "iris", "quiet").await;
    // The end of the process is after everything it has to say.
    let output = server.end().await;
    assert!(output.contains("\"INFO\""), "{output}");
    assert!(!output.contains("quiet"), "{output}");
}
