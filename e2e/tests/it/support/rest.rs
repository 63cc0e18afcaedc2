//! A plain HTTP/1.1 client: one connection per call, so that no call depends on another.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::SOON;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|err| panic!("{}: {err}: {:?}", self.status, self.body))
    }

    /// The error's text, after checking the form of the error.
    #[track_caller]
    pub(crate) fn error(&self, status: StatusCode) -> String {
        assert_eq!(self.status, status, "{:?}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        let json = self.json();
        assert!(json["code"].is_number(), "{json}");
        assert_eq!(json["error"], json["message"], "{json}");
        json["error"].as_str().expect("the error is a text").to_owned()
    }
}

/// A connection that carries one call after the other.
pub(crate) struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}

pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .expect("method, path and headers are well formed")
}

/// One call on a connection of its own.
pub(crate) async fn call(address: &str, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    tokio::time::timeout(SOON, async {
        Connection::open(address).await?.send(request).await
    })
    .await?
}

pub(crate) async fn get(address: &str, path: &str) -> anyhow::Result<Answer> {
    call(address, request(Method::GET, path, Bytes::new())).await
}

pub(crate) async fn post(address: &str, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
    call(address, request(Method::POST, path, body)).await
}

/// `POST /v2/models/<model>/infer`.
pub(crate) async fn infer(address: &str, model: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
    post(address, &format!("/v2/models/{model}/infer"), body).await
}
