//! REST: Open Inference Protocol v2 and `KServe`'s V1 predict, answered in this process.
//!
//! Every route becomes one unary call of `inference.GRPCInferenceService` on a [`Backend`]; V1 predict first asks for
//! the model's metadata. Tensors in JSON become raw little-endian bytes without a tree in between (`decode`, `json`,
//! `tensor`), and answers become JSON or binary tensors (`encode`, `write`). What is silent in the protocol:
//!
//! - Models that are not ready, and servers that are not, answer 400 as the protocol has it, with `{"ready":false}`.
//!   In V1 it is 503: `KServe`'s client takes only that for "not ready", everything else for a failure.
//! - A parameter that is null counts as not given. Fractions become `double_param`.
//! - `BYTES` is text; a tensor that is not UTF-8, or whose output has the parameter `content_type: base64`, is base64.
//! - NaN and infinity fail: JSON has no such numbers. Binary tensors carry them both ways.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api::names::headers;
use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Code, Status};

mod body;
mod call;
pub mod decode;
pub mod encode;
mod failure;
mod infer;
mod json;
mod metadata;
mod number;
mod parameter;
mod path;
mod raw;
mod repository;
mod serve;
mod tensor;
mod v1;
mod views;
mod write;

use body::{Budget, Share};
use call::Call;
use decode::Limits;
use failure::Failure;
use path::{NoRoute, Route};
pub use serve::serve;

/// Largest message unless told otherwise: what the gRPC side takes.
pub const DEFAULT_MAX_MESSAGE: usize = 16 << 20;
/// No request is worth more, and deadlines can always be computed.
const LONGEST_CALL: Duration = Duration::from_hours(24);
/// Smaller answers gain nothing from compression.
const MIN_COMPRESSED: usize = 1 << 10;
/// JSON tensors rarely compress better than that.
const USUAL_RATIO: usize = 16;
/// More bytes of JSON than that take about half a millisecond to read, and leave the runtime's threads.
const MAX_INLINE: usize = 256 << 10;
/// Compression takes so many times longer than reading JSON.
const COMPRESSION: usize = 8;

/// Calls methods of the data plane, in process.
pub trait Backend: Clone + Send + Sync + 'static {
    /// One unary gRPC call. `method` is a full path, `message` the encoded protobuf, `metadata` what the client sent.
    /// The answer is metadata and the encoded protobuf.
    fn call(
        &self,
        method: &'static str,
        metadata: HeaderMap,
        message: Bytes,
    ) -> impl Future<Output = Result<(HeaderMap, Bytes), Status>> + Send;
}

/// Limits of the REST side.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// Bytes of a body, compressed and decompressed, and of the protobuf that it becomes.
    pub max_message: usize,
    /// Requests with a body that are worked on at once; more are answered 503.
    pub max_requests: usize,
    /// Bytes of all bodies at once, but for the first 64 KiB of each; more are answered 503.
    pub max_bodies: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take; clients may ask for less (`Grpc-Timeout`).
    pub call_timeout: Duration,
}

impl Default for RestOptions {
    fn default() -> Self {
        Self {
            max_message: DEFAULT_MAX_MESSAGE,
            max_requests: 1024,
            // Sixteen of the largest.
            max_bodies: 16 * DEFAULT_MAX_MESSAGE,
            body_timeout: Duration::from_secs(30),
            // Longer than any load that a first request waits for.
            call_timeout: Duration::from_mins(10),
        }
    }
}

impl RestOptions {
    fn limits(&self) -> Limits {
        Limits {
            max_raw_bytes: self.max_message,
            ..Limits::default()
        }
    }
}

/// The REST side of a data plane.
pub fn app<B: Backend>(backend: B, mut options: RestOptions) -> Router {
    options.call_timeout = options.call_timeout.min(LONGEST_CALL);
    let places = Semaphore::new(options.max_requests.min(Semaphore::MAX_PERMITS));
    let app = Arc::new(App {
        backend,
        places,
        bodies: Budget::new(options.max_bodies),
        options,
    });
    // Model names hold colons and encoded slashes, so paths are parsed by hand.
    Router::new().fallback(move |request: Request| {
        let app = Arc::clone(&app);
        async move { app.respond(request).await }
    })
}

struct App<B> {
    backend: B,
    options: RestOptions,
    places: Semaphore,
    bodies: Budget,
}

/// A response before it is compressed.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    body: Bytes,
    /// Set if binary tensors follow the JSON.
    json_length: Option<usize>,
    /// gRPC metadata of the answer.
    metadata: HeaderMap,
}

impl Reply {
    fn json(body: Vec<u8>, metadata: HeaderMap) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
            json_length: None,
            metadata,
        }
    }
}

impl<B: Backend> App<B> {
    async fn respond(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let started = Instant::now();
        let answered = AssertUnwindSafe(self.answer(&parts, body)).catch_unwind().await;
        let result = answered.unwrap_or_else(|_| {
            tracing::error!(path = parts.uri.path(), "request handler panicked");
            Err(Failure::internal("internal error"))
        });
        let mut response = match result {
            Ok(reply) => success(reply, metadata::accepted_coding(&parts.headers)).await,
            Err(failure) => failed(failure),
        };
        if let Some(id) = parts.headers.get(headers::REQUEST_ID) {
            response
                .headers_mut()
                .entry(headers::REQUEST_ID)
                .or_insert_with(|| id.clone());
        }
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        tracing::debug!(
            verb = parts.method.as_str(),
            path = parts.uri.path(),
            status = response.status().as_u16(),
            elapsed_ms = started.elapsed().as_secs_f64() * 1e3,
            request_id = response
                .headers()
                .get(headers::REQUEST_ID)
                .and_then(|id| id.to_str().ok()),
            "REST request ended"
        );
        response
    }

    async fn answer(&self, parts: &http::request::Parts, body: Body) -> Result<Reply, Failure> {
        let route = path::route(&parts.method, parts.uri.path()).map_err(|reason| no_route(&reason))?;
        let longest = self.options.call_timeout;
        let timeout = metadata::timeout(&parts.headers)?.map_or(longest, |asked| asked.min(longest));
        let call = Call {
            app: self,
            metadata: metadata::of_request(&parts.headers),
            deadline: Instant::now() + timeout,
        };
        match route {
            Route::Live => return call.live().await,
            Route::Ready => return call.ready().await,
            Route::ServerMetadata => return call.server_metadata().await,
            Route::ModelReady(model) => return call.model_ready(model).await,
            Route::ModelMetadata(model) => return call.model_metadata(model).await,
            Route::ModelConfig(model) => return call.model_config(model).await,
            Route::ModelStatistics(model) => return call.model_statistics(model).await,
            Route::V1Live => return call.v1_live().await,
            Route::V1List => return call.v1_list().await,
            Route::V1Ready(name) => return call.v1_ready(name).await,
            _ => {}
        }
        let _place = self.places.try_acquire().map_err(|_| Failure::overloaded())?;
        let mut share = self.bodies.share();
        let body = self.read(parts, body, &mut share).await?;
        match route {
            Route::RepositoryIndex => call.repository_index(&body).await,
            Route::RepositoryLoad(name) => call.repository_load(name, &body).await,
            Route::RepositoryUnload(name) => call.repository_unload(name, &body).await,
            Route::V1Predict(name) => call.v1_predict(name, body).await,
            Route::Infer(model) => {
                call.infer(model, body, metadata::json_length(&parts.headers)?)
                    .await
            }
            _ => Err(Failure::internal("a route without a handler")),
        }
    }

    /// The body, decompressed.
    async fn read(
        &self,
        parts: &http::request::Parts,
        body: Body,
        share: &mut Share<'_>,
    ) -> Result<Bytes, Failure> {
        let coding = metadata::content_coding(&parts.headers)?;
        let limit = self.options.max_message;
        let body = body::read(body, limit, self.options.body_timeout, share).await?;
        let Some(coding) = coding else {
            return Ok(body);
        };
        share.grow(body.len().saturating_mul(USUAL_RATIO).min(limit))?;
        // A small body may still be large inside.
        let plain = offload(usize::MAX, move || body::decompress(coding, &body, limit)).await??;
        share.grow(plain.len())?;
        Ok(plain)
    }
}

/// Runs work that takes as long as reading `size` bytes of JSON where it does not hold up other requests.
async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if size <= MAX_INLINE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(error = %error, "request work did not finish");
        Failure::internal("internal error")
    })
}

fn no_route(reason: &NoRoute) -> Failure {
    match *reason {
        NoRoute::NotFound => Failure::new(Code::NotFound, "no such path"),
        NoRoute::Name => Failure::invalid("the path holds a name that is empty or not UTF-8"),
        NoRoute::Method(allowed) => {
            let message = format!("this path takes {allowed}");
            Failure::with_http(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message)
                .header(header::ALLOW, HeaderValue::from_static(allowed))
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

async fn success(reply: Reply, coding: Option<metadata::Coding>) -> Response {
    let Reply {
        status,
        mut body,
        json_length,
        metadata,
    } = reply;
    let mut fields = metadata::of_response(&metadata);
    fields.insert(
        header::CONTENT_TYPE,
        if json_length.is_some() { BINARY } else { JSON },
    );
    if let Some(length) = json_length {
        fields.insert(
            headers::INFERENCE_HEADER_CONTENT_LENGTH,
            HeaderValue::from(length),
        );
    }
    if body.len() >= MIN_COMPRESSED {
        fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Some(coding) = coding {
            let plain = body.clone();
            // A body that cannot be compressed goes out as it is.
            if let Ok(Ok(compressed)) =
                offload(COMPRESSION * body.len(), move || body::compress(coding, &plain)).await
            {
                body = compressed;
                fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
        }
    }
    respond(status, fields, body)
}

fn failed(failure: Failure) -> Response {
    let body = failure.json().into();
    let mut fields = *failure.headers;
    fields.insert(header::CONTENT_TYPE, JSON);
    respond(failure.http, fields, body)
}

fn respond(status: StatusCode, mut fields: HeaderMap, body: Bytes) -> Response {
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
