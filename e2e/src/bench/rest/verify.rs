//! The checking client: `h2load` looks at HTTP statuses only, this one at every element of the answer.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::{
    call::Call,
    tensor::{Kind, Tensor, Workload},
    way::{Protocol, Way},
};
use crate::client::split;

/// One call may take this long, on a busy machine behind others.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pauses between calls that run beside a load: too few calls to shift the measurement.
const PAUSE: Duration = Duration::from_millis(10);
const LONG_PAUSE: Duration = Duration::from_millis(250);
/// Elements from which the pause is the long one: checking them takes milliseconds on the core of the load.
const MANY: usize = 10_000;

/// Calls that were checked; the first wrong one ends the bench.
#[derive(Debug)]
pub struct Checker {
    way: Way,
    workload: Workload,
    authority: String,
    sender: Sender,
    driver: JoinHandle<()>,
    count: u32,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Checker {
    /// Connects.
    pub async fn new(addr: SocketAddr, way: Way, workload: Workload) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(addr)
            .await
            .with_context(|| format!("connect to {addr}"))?;
        socket.set_nodelay(true)?;
        let socket = TokioIo::new(socket);
        let (sender, driver) = if way.protocol == Protocol::Http1 {
            let (sender, connection) = http1::handshake(socket).await?;
            (Sender::Http1(sender), tokio::spawn(ended(connection)))
        } else {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), socket).await?;
            (Sender::Http2(sender), tokio::spawn(ended(connection)))
        };
        Ok(Self {
            way,
            workload,
            authority: addr.to_string(),
            sender,
            driver,
            count: 0,
        })
    }

    /// One call with a tensor of its own.
    pub async fn check(&mut self) -> anyhow::Result<()> {
        let tensor = Tensor::new(self.workload.kind, self.count);
        let call = Call::new(&self.way, &tensor)?;
        let (headers, trailers, body) = timeout(DEADLINE, self.send(call))
            .await
            .context("no answer in time")??;
        match self.way.protocol {
            Protocol::Grpc => check_message(&tensor, &headers, &trailers, body),
            Protocol::Http1 | Protocol::Http2 => check_rest(&tensor, &headers, &body),
        }?;
        self.count += 1;
        Ok(())
    }

    async fn send(&mut self, call: Call) -> anyhow::Result<(HeaderMap, HeaderMap, Bytes)> {
        let uri = match self.sender {
            Sender::Http1(_) => call.path,
            Sender::Http2(_) => format!("http://{}{}", self.authority, call.path),
        };
        let mut request = Request::post(uri);
        if matches!(self.sender, Sender::Http1(_)) {
            request = request.header(header::HOST, &self.authority);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body.into()))?;
        let response: http::Response<Incoming> = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let body = body.to_bytes();
        anyhow::ensure!(
            head.status == StatusCode::OK,
            "{}: {}",
            head.status,
            String::from_utf8_lossy(body.get(..body.len().min(500)).unwrap_or_default())
        );
        Ok((head.headers, trailers, body))
    }

    /// Checks until `load` ends, and passes its result on; then says how many calls were checked.
    pub async fn beside<T>(
        &mut self,
        load: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, u32)> {
        let pause = match self.workload.kind {
            Kind::Fp32(count) if count >= MANY => LONG_PAUSE,
            _ => PAUSE,
        };
        let before = self.count;
        let mut load = std::pin::pin!(load);
        loop {
            tokio::select! {
                result = &mut load => return Ok((result?, self.count - before)),
                () = tokio::time::sleep(pause) => {}
            }
            // To its end: a call that is given up half-way ends its connection. The load runs on a thread of its own.
            self.check().await?;
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn ended(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(err) = connection.await {
        tracing::debug!(error = %err, "connection ended");
    }
}

fn check_message(
    tensor: &Tensor,
    headers: &HeaderMap,
    trailers: &HeaderMap,
    body: Bytes,
) -> anyhow::Result<()> {
    let field = |name| {
        let value = trailers.get(name).or_else(|| headers.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let status = field("grpc-status");
    anyhow::ensure!(status == "0", "grpc-status {status}: {}", field("grpc-message"));
    let messages = split(body)?;
    let [message] = &*messages else {
        anyhow::bail!("{} messages", messages.len());
    };
    tensor.check_message(message)
}

fn check_rest(tensor: &Tensor, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<()> {
    let Some(length) = headers.get(api::names::headers::INFERENCE_HEADER_CONTENT_LENGTH) else {
        return tensor.check_json(body, None);
    };
    let (json, binary) = body
        .split_at_checked(length.to_str()?.parse()?)
        .context("the body is shorter than its JSON")?;
    tensor.check_json(json, Some(binary))
}
