//! A gRPC service in this process: the same calls, without a socket.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tonic::body::Body;
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use super::{CallError, Frame, Head};

/// Chunks of a request body between the network and a service that has not asked for them yet.
const CHUNKS: usize = 4;

/// A gRPC service in this process. Cheap to clone.
#[derive(Clone)]
pub struct LocalService(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl fmt::Debug for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalService")
    }
}

/// Wraps a tonic server (or routes of several).
pub fn local_service<S>(service: S) -> LocalService
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    LocalService(BoxCloneSyncService::new(service))
}

impl LocalService {
    /// Starts a call.
    pub(super) fn start(&self, request: Request<()>, whole: Option<Vec<Bytes>>) -> LocalCall {
        let (body, sender) = if let Some(chunks) = whole {
            (Body::new(Chunks(chunks.into())), None)
        } else {
            let (sender, receiver) = mpsc::channel(CHUNKS);
            let arriving = Arriving {
                chunks: receiver,
                ended: false,
            };
            (Body::new(arriving), Some(PollSender::new(sender)))
        };
        let response = self.0.clone().oneshot(request.map(|()| body));
        LocalCall {
            sender,
            state: State::Head(Box::pin(response)),
        }
    }
}

/// A body that is here already.
struct Chunks(VecDeque<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(http_body::Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A body that arrives. The end is said in so many words: a sender that is dropped means that the client went away.
struct Arriving {
    chunks: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, tonic::Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.chunks.poll_recv(cx)) {
            Some(Some(chunk)) => Some(Ok(http_body::Frame::data(chunk))),
            Some(None) => {
                self.ended = true;
                None
            }
            None => Some(Err(tonic::Status::cancelled("the client went away"))),
        })
    }
}

/// A call to a service in this process.
pub(super) struct LocalCall {
    sender: Option<PollSender<Option<Bytes>>>,
    state: State,
}

enum State {
    Head(BoxFuture<'static, Result<Response<Body>, Infallible>>),
    Body(Body),
    Done,
}

impl fmt::Debug for LocalCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalCall")
    }
}

impl LocalCall {
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
        end: bool,
    ) -> Poll<Result<(), CallError>> {
        if let Some(sender) = &mut self.sender
            && !chunk.is_empty()
        {
            // A service that has dropped its receiver wants no more: its response says why.
            if ready!(sender.poll_reserve(cx)).is_ok() {
                let _ = sender.send_item(Some(std::mem::take(chunk)));
            }
        }
        chunk.clear();
        if end {
            self.finish();
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        if let Some(sender) = self.sender.take()
            && let Some(channel) = sender.get_ref()
        {
            // The channel may be full: the end waits behind the chunks without holding this call up.
            let channel = channel.clone();
            tokio::spawn(async move { channel.send(None).await });
        }
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>> {
        let State::Head(response) = &mut self.state else {
            return Poll::Ready(Err(CallError::Broken("the response began twice".into())));
        };
        let (parts, body) = match ready!(response.as_mut().poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        let end = body.is_end_stream();
        self.state = if end { State::Done } else { State::Body(body) };
        Poll::Ready(Ok(Head {
            headers: parts.headers,
            end,
        }))
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, CallError>>> {
        let State::Body(body) = &mut self.state else {
            return Poll::Ready(None);
        };
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => {
                    self.state = State::Done;
                    return Poll::Ready(None);
                }
                Some(Err(status)) => return Poll::Ready(Some(Ok(Frame::Trailers(trailers(&status))))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.state = State::Done;
                        return Poll::Ready(Some(Ok(Frame::Trailers(trailers))));
                    }
                }
            }
        }
    }
}

fn trailers(status: &tonic::Status) -> HeaderMap {
    crate::failure::Failure::from(status.clone()).trailers()
}
