//! Where inference calls go: a server over HTTP/2 (the model server, another router), or a service in this process.

mod local;
mod pool;
mod tls;

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use tonic::Code;

pub use self::{
    local::{LocalService, local_service},
    pool::{Endpoint, Link, Pings, Pool, PoolOptions},
    tls::Tls,
};
use crate::failure::Failure;

/// A model server.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// Over HTTP/2.
    Remote(Pool),
    /// In this process.
    Local(LocalService),
}

/// A piece of a response.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of messages.
    Data(Bytes),
    /// The last piece.
    Trailers(HeaderMap),
}

/// Beginning of a response.
#[derive(Debug)]
pub struct Head {
    /// Initial metadata; of a trailers-only response also its status.
    pub headers: HeaderMap,
    /// Nothing follows.
    pub end: bool,
}

/// A call under way. Dropping it before its end cancels it at the server.
#[derive(Debug)]
pub struct Call(Kind);

#[derive(Debug)]
enum Kind {
    Remote(pool::RemoteCall),
    Local(local::LocalCall),
}

impl Upstream {
    /// Starts a call. `whole` holds the request body where it is known completely; else it follows by
    /// [`Call::poll_send`]. A call that cannot start says so when its head is asked for.
    pub fn start(&self, request: Request<()>, whole: Option<Vec<Bytes>>) -> Call {
        Call(match self {
            Self::Remote(pool) => Kind::Remote(pool.start(request, whole)),
            Self::Local(service) => Kind::Local(service.start(request, whole)),
        })
    }
}

impl Call {
    /// Sends a chunk. `chunk` is emptied when it was taken; `Pending` while the server takes no more.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
        end: bool,
    ) -> Poll<Result<(), CallError>> {
        match &mut self.0 {
            Kind::Remote(call) => call.poll_send(cx, chunk, end),
            Kind::Local(call) => call.poll_send(cx, chunk, end),
        }
    }

    /// Ready when the response begins.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>> {
        match &mut self.0 {
            Kind::Remote(call) => call.poll_head(cx),
            Kind::Local(call) => call.poll_head(cx),
        }
    }

    /// The next piece of the response; `None` when it ended without trailers.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, CallError>>> {
        match &mut self.0 {
            Kind::Remote(call) => call.poll_frame(cx),
            Kind::Local(call) => call.poll_frame(cx),
        }
    }
}

/// Why a call broke off at the transport.
#[derive(Debug)]
pub enum CallError {
    /// No connection, in the given time.
    Unreachable(String),
    /// The server did not look at the request: it may be sent again.
    Refused,
    /// The server reset the stream.
    Reset(h2::Reason),
    /// The connection broke.
    Broken(String),
    /// The response is not gRPC.
    NotGrpc(http::StatusCode),
}

impl std::error::Error for CallError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about("the model server"))
    }
}

impl CallError {
    /// Says what happened at `server`.
    pub fn about(&self, server: &str) -> String {
        match self {
            Self::Unreachable(why) => format!("no connection to {server}: {why}"),
            Self::Refused => format!("{server} refused the stream"),
            Self::Reset(reason) => format!("{server} reset the stream: {reason}"),
            Self::Broken(why) => format!("the connection to {server} broke: {why}"),
            Self::NotGrpc(status) => format!("{server} answered with HTTP status {status}, not with gRPC"),
        }
    }

    /// The server, or the way to it, does not work.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Broken(_) | Self::NotGrpc(_))
    }

    /// The request cannot have been executed.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused)
    }

    /// gRPC's mapping of HTTP/2 error codes.
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) | Self::Refused | Self::Broken(_) => Code::Unavailable,
            Self::Reset(h2::Reason::CANCEL) => Code::Cancelled,
            Self::Reset(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
            Self::Reset(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
            Self::Reset(_) => Code::Internal,
            Self::NotGrpc(status) => kit::status::code_of_http(*status),
        }
    }

    /// As the client sees it.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), self.to_string())
    }
}

impl From<h2::Error> for CallError {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => Self::Refused,
            // GOAWAY of a server that shuts down: streams above its last id were not looked at.
            Some(h2::Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => Self::Refused,
            Some(reason) if error.is_reset() => Self::Reset(reason),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// Polls a future and passes its error on.
macro_rules! ready_ok {
    ($poll:expr) => {
        match std::task::ready!($poll) {
            Ok(value) => value,
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    };
}
pub(crate) use ready_ok;
