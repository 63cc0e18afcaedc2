//! A gRPC client on bare HTTP/2 that checks what it gets: status, message count, every byte. Methods and messages are
//! the caller's, so it reaches any service.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Windows as large as the messages of the benches.
const WINDOW: u32 = 8 << 20;

/// One connection.
#[derive(Debug)]
pub struct Client {
    send: h2::client::SendRequest<Bytes>,
    authority: String,
    driver: JoinHandle<()>,
}

/// What a call ended with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Initial metadata; also the trailers where there was nothing else.
    pub headers: HeaderMap,
    /// Messages without their prefix.
    pub messages: Vec<Bytes>,
    /// Trailing metadata.
    pub trailers: HeaderMap,
}

impl Answer {
    /// `grpc-status` as a number.
    pub fn code(&self) -> anyhow::Result<u32> {
        let value = self
            .trailers
            .get("grpc-status")
            .context("the answer has no grpc-status")?;
        Ok(value.to_str()?.parse()?)
    }

    /// `grpc-message` as it was sent, percent-encoded.
    pub fn message(&self) -> &str {
        self.trailers
            .get("grpc-message")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A call that is under way.
#[derive(Debug)]
pub struct Call {
    /// For the request's messages.
    pub send: SendStream<Bytes>,
    response: ResponseFuture,
}

impl Call {
    /// Sends one message, within the peer's windows.
    pub async fn message(&mut self, message: &[u8], last: bool) -> anyhow::Result<()> {
        let mut data = frame(message);
        while !data.is_empty() {
            self.send.reserve_capacity(data.len());
            let room = match self.send.capacity() {
                0 => std::future::poll_fn(|cx| self.send.poll_capacity(cx))
                    .await
                    .context("stream closed")??,
                room => room,
            };
            let part = data.split_to(room.min(data.len()));
            self.send.send_data(part, last && data.is_empty())?;
        }
        Ok(())
    }

    /// Head of the answer and its body, to be read as it comes.
    pub async fn head(self) -> anyhow::Result<(HeaderMap, RecvStream)> {
        let (head, body) = self.response.await?.into_parts();
        anyhow::ensure!(head.status == StatusCode::OK, "HTTP status {}", head.status);
        Ok((head.headers, body))
    }

    /// Everything up to the end.
    pub async fn finish(self) -> anyhow::Result<Answer> {
        let (headers, mut body) = self.head().await?;
        let mut data = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            data.extend_from_slice(&chunk);
        }
        let trailers = match body.trailers().await? {
            Some(trailers) => trailers,
            None => headers.clone(),
        };
        Ok(Answer {
            headers,
            messages: split(data.freeze())?,
            trailers,
        })
    }
}

impl Client {
    /// Connects; the deadline of calls is the caller's.
    pub async fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        Self::connect_with_window(addr, WINDOW).await
    }

    /// Connects, and takes so many bytes of an answer before they are read.
    pub async fn connect_with_window(addr: SocketAddr, window: u32) -> anyhow::Result<Self> {
        let socket = timeout(CONNECT, TcpStream::connect(addr))
            .await
            .with_context(|| format!("connect to {addr}: timed out"))?
            .with_context(|| format!("connect to {addr}"))?;
        socket.set_nodelay(true)?;
        Self::over(socket, addr, window).await
    }

    /// A client on a connection that is there already, with TLS for example.
    pub async fn over<T>(socket: T, addr: SocketAddr, window: u32) -> anyhow::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(WINDOW)
            .handshake(socket)
            .await?;
        let driver = tokio::spawn(async move {
            if let Err(err) = connection.await {
                tracing::debug!(error = %err, "connection ended");
            }
        });
        Ok(Self {
            send,
            authority: addr.to_string(),
            driver,
        })
    }

    /// Starts a call.
    pub async fn open(&self, path: &str, metadata: &[(&'static str, &str)]) -> anyhow::Result<Call> {
        let mut request = Request::post(format!("http://{}{path}", self.authority)).version(Version::HTTP_2);
        let fixed = [("content-type", "application/grpc"), ("te", "trailers")];
        for (name, value) in fixed.iter().chain(metadata) {
            request = request.header(*name, HeaderValue::from_str(value)?);
        }
        let mut ready = self.send.clone().ready().await?;
        let (response, send) = ready.send_request(request.body(())?, false)?;
        Ok(Call { send, response })
    }

    /// One message there, and everything that comes back.
    pub async fn unary(
        &self,
        path: &str,
        metadata: &[(&'static str, &str)],
        message: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut call = self.open(path, metadata).await?;
        call.message(message, true).await?;
        call.finish().await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Messages of a body.
pub fn split(mut body: Bytes) -> anyhow::Result<Vec<Bytes>> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        anyhow::ensure!(body.len() >= 5, "the body ends within a prefix");
        anyhow::ensure!(body.get_u8() == 0, "a compressed message came back");
        let length = body.get_u32() as usize;
        anyhow::ensure!(length <= body.len(), "the body ends within a message");
        messages.push(body.split_to(length));
    }
    Ok(messages)
}
