//! Asks another router about its copies.

use std::{future::poll_fn, time::Duration};

use api::peer_v1::{
    CopyStatusRequest, CopyStatusResponse, LoadRequest, LoadResponse, UnloadRequest, UnloadResponse,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use prost::Message;
use tonic::{Code, Status};

use super::{InstanceId, Peer};
use crate::{
    failure,
    request::timeout_value,
    upstream::{CallError, Frame},
    wire::framing::{PREFIX, frame},
};

/// Largest answer: a status with the text of a failed load.
const LARGEST: usize = 1 << 20;

/// Why another router did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It answered with an error.
    #[error("router {id}: {status}")]
    Status {
        /// Who.
        id: InstanceId,
        /// What it said.
        status: Status,
    },
    /// It could not be asked, or went away.
    #[error("{}", error.about(&format!("router {id}")))]
    Transport {
        /// Who.
        id: InstanceId,
        /// What happened.
        error: CallError,
    },
    /// No answer in time.
    #[error("router {id} did not answer within {timeout:?}")]
    Late {
        /// Who.
        id: InstanceId,
        /// The time that it had.
        timeout: Duration,
    },
}

impl PeerError {
    /// The request was certainly not executed.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Transport { error, .. } if error.is_unsent())
    }

    /// As a caller of this router sees it.
    pub fn status(&self) -> Status {
        match self {
            Self::Status { status, .. } => Status::new(status.code(), self.to_string()),
            Self::Transport { .. } => Status::unavailable(self.to_string()),
            Self::Late { .. } => Status::deadline_exceeded(self.to_string()),
        }
    }
}

impl Peer {
    /// Has it load a model.
    pub async fn ask_load(
        &self,
        request: &LoadRequest,
        timeout: Duration,
    ) -> Result<LoadResponse, PeerError> {
        self.ask("/stowage.peer.v1.Peer/Load", request, timeout).await
    }

    /// What it knows of its copy.
    pub async fn ask_copy_status(
        &self,
        request: &CopyStatusRequest,
        timeout: Duration,
    ) -> Result<CopyStatusResponse, PeerError> {
        self.ask("/stowage.peer.v1.Peer/CopyStatus", request, timeout)
            .await
    }

    /// Has it give a copy up.
    pub async fn ask_unload(
        &self,
        request: &UnloadRequest,
        timeout: Duration,
    ) -> Result<UnloadResponse, PeerError> {
        self.ask("/stowage.peer.v1.Peer/Unload", request, timeout).await
    }

    async fn ask<M, R>(&self, method: &'static str, message: &M, timeout: Duration) -> Result<R, PeerError>
    where
        M: Message,
        R: Message + Default,
    {
        let answer = tokio::time::timeout(timeout, self.exchange(method, message, timeout)).await;
        let message = match answer {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(PeerError::Late {
                    id: self.id().clone(),
                    timeout,
                });
            }
        };
        let body = message.slice(PREFIX.min(message.len())..);
        R::decode(body).map_err(|error| PeerError::Status {
            id: self.id().clone(),
            status: Status::internal(format!("the answer cannot be read: {error}")),
        })
    }

    /// One message there, and one back with its prefix.
    async fn exchange(
        &self,
        method: &'static str,
        message: &impl Message,
        timeout: Duration,
    ) -> Result<Bytes, PeerError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = http::Uri::builder()
            .scheme("http")
            .authority("localhost")
            .path_and_query(method)
            .build()
            .unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", timeout_value(timeout));
        let transport = |error: CallError| {
            if error.is_outage() {
                self.failed(&error);
            }
            PeerError::Transport {
                id: self.id().clone(),
                error,
            }
        };
        let body = vec![frame(&message.encode_to_vec())];
        let mut call = self.upstream().start(request, Some(body));
        let mut head = poll_fn(|cx| call.poll_head(cx)).await.map_err(transport)?;
        self.answered(&mut head.headers);
        if head.end {
            return Err(self.status(&head.headers));
        }
        let mut answer = BytesMut::new();
        loop {
            match poll_fn(|cx| call.poll_frame(cx)).await {
                Some(Ok(Frame::Data(data))) if answer.len() + data.len() <= LARGEST => {
                    answer.extend_from_slice(&data);
                }
                Some(Ok(Frame::Trailers(trailers))) if failure::code(&trailers) == Some(Code::Ok) => {
                    return Ok(answer.freeze());
                }
                Some(Ok(Frame::Trailers(trailers))) => return Err(self.status(&trailers)),
                Some(Err(error)) => return Err(transport(error)),
                Some(Ok(Frame::Data(_))) | None => {
                    return Err(PeerError::Status {
                        id: self.id().clone(),
                        status: Status::internal("the answer is too large, or has no end"),
                    });
                }
            }
        }
    }

    fn status(&self, headers: &HeaderMap) -> PeerError {
        let code = failure::code(headers)
            .filter(|code| *code != Code::Ok)
            .unwrap_or(Code::Internal);
        PeerError::Status {
            id: self.id().clone(),
            status: Status::new(code, failure::message(headers)),
        }
    }
}
