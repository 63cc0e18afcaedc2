//! REST over a backend that records what it is sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use prost::Message;
use router::{
    chunks::Chunks,
    rest::{Backend, RestOptions, app},
};
use tokio::sync::Semaphore;
use tonic::Status;
use tower::ServiceExt as _;

mod infer;
mod limits;
mod serve;
mod v1;
mod views;

/// A recorded call.
#[derive(Clone, Debug)]
struct Recorded {
    method: &'static str,
    metadata: HeaderMap,
    message: Bytes,
}

type Answer = Result<(HeaderMap, Bytes), Status>;

/// Answers by method, records every call.
#[derive(Clone, Default)]
struct Fake {
    calls: Arc<Mutex<Vec<Recorded>>>,
    answers: Arc<Mutex<HashMap<&'static str, Answer>>>,
    /// Calls wait for a permit here, if it is set.
    gate: Option<Arc<Semaphore>>,
}

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const METADATA: &str = "/inference.GRPCInferenceService/ModelMetadata";

impl Fake {
    fn answers(self, method: &'static str, answer: &impl Message) -> Self {
        self.answers_with(method, HeaderMap::new(), answer)
    }

    fn answers_with(self, method: &'static str, metadata: HeaderMap, answer: &impl Message) -> Self {
        self.set(method, Ok((metadata, answer.encode_to_vec().into())))
    }

    fn fails(self, method: &'static str, status: Status) -> Self {
        self.set(method, Err(status))
    }

    fn set(self, method: &'static str, answer: Answer) -> Self {
        self.answers
            .lock()
            .expect("no test panics here")
            .insert(method, answer);
        self
    }

    fn calls(&self) -> Vec<Recorded> {
        self.calls.lock().expect("no test panics here").clone()
    }

    /// The only call, decoded.
    #[track_caller]
    fn only<M: Message + Default>(&self, method: &str) -> (HeaderMap, M) {
        let calls = self.calls();
        let [call] = calls.as_slice() else {
            panic!("{calls:?}")
        };
        assert_eq!(call.method, method);
        (
            call.metadata.clone(),
            M::decode(call.message.clone()).expect("protobuf"),
        )
    }

    fn app(&self) -> Router {
        self.app_with(RestOptions::default())
    }

    fn app_with(&self, options: RestOptions) -> Router {
        app(self.clone(), options)
    }
}

impl Backend for Fake {
    async fn call(
        &self,
        method: &'static str,
        metadata: HeaderMap,
        message: Chunks,
    ) -> Result<(HeaderMap, Chunks), Status> {
        let call = Recorded {
            method,
            metadata,
            message: message.into_bytes(),
        };
        self.calls.lock().expect("no test panics here").push(call);
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("never closed").forget();
        }
        let answer = self
            .answers
            .lock()
            .expect("no test panics here")
            .get(method)
            .cloned();
        let answer = answer.map(|answer| answer.map(|(metadata, message)| (metadata, message.into())));
        answer.unwrap_or_else(|| Err(Status::unimplemented(format!("no answer for {method}"))))
    }
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// Status, headers and body.
async fn send(app: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let response: Response = app.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("in memory").to_bytes();
    (parts.status, parts.headers, body)
}

async fn get(fake: &Fake, path: &str) -> (StatusCode, serde_json::Value) {
    let request = request(Method::GET, path).body(Body::empty()).expect("valid");
    json(send(fake.app(), request).await)
}

async fn post(fake: &Fake, path: &str, body: &str) -> (StatusCode, serde_json::Value) {
    let request = request(Method::POST, path)
        .body(Body::from(body.to_owned()))
        .expect("valid");
    json(send(fake.app(), request).await)
}

#[track_caller]
fn json((status, headers, body): (StatusCode, HeaderMap, Bytes)) -> (StatusCode, serde_json::Value) {
    assert_eq!(headers["content-type"], "application/json");
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}")),
    )
}

/// Errors have one form: the V2 key, and what grpc-gateway has.
#[track_caller]
fn check_error((status, body): (StatusCode, serde_json::Value), http: u16, code: i32, message: &str) {
    assert_eq!(status.as_u16(), http, "{body}");
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["error"], body["message"]);
    assert!(
        body["error"].as_str().expect("a string").contains(message),
        "{body}"
    );
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
}
