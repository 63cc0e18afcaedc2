//! Answers one HTTP/2 stream: makes the call, and relays the response with its flow control.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::{Sleep, sleep_until};
use tonic::Code;

use crate::{
    body::{RequestBody, framing},
    exchange::Exchange,
    failure::{self, Failure},
    listen::Door,
    observe::Observation,
    payload::Tap,
    plane::{Incoming, Plane, Reply},
    request::Routing,
    upstream::{Frame, Head},
    wire::framing::Meter,
};

/// A chunk of at most this size goes out without waiting for window, as the first of a response: one frame.
const DIRECT: usize = 16 << 10;

/// How a stream ended before its response was complete.
enum Interrupted {
    /// The client reset the stream, or its connection broke.
    Gone,
    /// The deadline passed.
    Late,
}

/// Answers a stream to its end.
pub async fn serve(
    plane: Arc<Plane>,
    door: Door,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (parts, stream) = request.into_parts();
    let mut seen = Observation::start(plane.metrics(), parts.uri.path(), &parts.headers);
    if door == Door::Routers {
        seen.is_forwarded();
    }
    seen.show(plane.observers(), parts.uri.path(), &parts.headers);
    let started = seen.started();
    let longest = plane.options().longest_call;
    let routing = match Routing::of(&parts.headers) {
        Ok(_) if parts.method != Method::POST => return refuse(&mut respond, StatusCode::METHOD_NOT_ALLOWED),
        Ok(routing) if !routing.is_grpc => return refuse(&mut respond, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Ok(routing) => routing,
        Err(failure) => return end(&mut respond, seen, &plane, door, failure),
    };
    let timeout = routing.timeout.unwrap_or(longest).min(longest);
    let deadline = routing.timeout.map(|_| started + timeout);
    let mut timer = pin!(sleep_until((started + timeout).into()));
    let uri = parts.uri.clone();
    // Another router has measured what it forwards, and measures the response.
    let limit = match door {
        Door::Clients => plane.options().message_limit,
        Door::Routers => usize::MAX,
    };
    let mut body = RequestBody::stream(stream, limit, plane.budget().clone());
    body.watch(seen.tap());
    let incoming = Box::new(Incoming {
        parts,
        body,
        routing,
        deadline,
    });
    let outcome = match door {
        Door::Clients => work(plane.call(incoming), &mut respond, timer.as_mut()).await,
        Door::Routers => {
            work(
                Box::pin(plane.call_forwarded(incoming)),
                &mut respond,
                timer.as_mut(),
            )
            .await
        }
    };
    let reply = match outcome {
        Ok(Ok(reply)) => reply,
        Ok(Err(failure)) => return end(&mut respond, seen, &plane, door, failure),
        Err(Interrupted::Late) => return end(&mut respond, seen, &plane, door, late()),
        Err(Interrupted::Gone) => return seen.end(Code::Cancelled),
    };
    let (mut head, mut source) = match reply {
        Reply::Live(head, exchange) => {
            seen.answered(uri.path(), &head, &exchange);
            seen.request_bytes(exchange.request_bytes());
            (head, Source::Live(exchange))
        }
        Reply::Ready(headers, message) => (Head { headers, end: false }, Source::Ready(Some(message))),
    };
    let code = failure::code(&head.headers);
    if door == Door::Routers {
        tell_load(&plane, &mut head.headers);
    }
    let Ok(stream) = respond.send_response(response(head.headers), head.end) else {
        return seen.end(Code::Cancelled);
    };
    if head.end {
        return seen.end(code.unwrap_or(Code::Unknown));
    }
    let mut relay = Relay {
        stream,
        data: Bytes::new(),
        direct: true,
        meter: Meter::new(limit),
        bytes: 0,
        tap: seen.tap().cloned(),
    };
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = relay.poll(cx, &mut source, &plane, uri.path()) {
            return Poll::Ready(Ok(ended));
        }
        if relay.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Interrupted::Gone));
        }
        timer.as_mut().poll(cx).map(|()| Err(Interrupted::Late))
    })
    .await;
    seen.response_bytes(relay.bytes);
    if let Source::Live(exchange) = &source {
        seen.request_bytes(exchange.request_bytes());
    }
    match ended {
        Ok(trailers) => {
            seen.end(failure::code(&trailers).unwrap_or(Code::Unknown));
            let _ = relay.stream.send_trailers(trailers);
        }
        Err(Interrupted::Late) => {
            seen.end(Code::DeadlineExceeded);
            let _ = relay.stream.send_trailers(late().trailers());
        }
        Err(Interrupted::Gone) => seen.end(Code::Cancelled),
    }
}

/// Makes a call up to the beginning of its response, or to the client's patience.
async fn work(
    call: impl Future<Output = Result<Reply, Failure>>,
    respond: &mut SendResponse<Bytes>,
    mut timer: Pin<&mut Sleep>,
) -> Result<Result<Reply, Failure>, Interrupted> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            return Poll::Ready(Ok(outcome));
        }
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Interrupted::Gone));
        }
        timer.as_mut().poll(cx).map(|()| Err(Interrupted::Late))
    })
    .await
}

/// Where the rest of a response comes from.
enum Source {
    Live(Box<Exchange>),
    Ready(Option<Bytes>),
}

struct Relay {
    stream: SendStream<Bytes>,
    /// Read, not yet written.
    data: Bytes,
    /// Nothing was written yet.
    direct: bool,
    meter: Meter,
    bytes: u64,
    tap: Option<Arc<Tap>>,
}

impl Relay {
    /// Ready with the trailers when everything before them is written.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
        plane: &Plane,
        path: &str,
    ) -> Poll<HeaderMap> {
        loop {
            if !self.data.is_empty() && ready!(self.write(cx)).is_err() {
                // The client is gone: `poll_reset` says so next; these trailers are never sent.
                return Poll::Ready(Failure::new(Code::Cancelled, "").trailers());
            }
            let frame = match source {
                Source::Ready(message) => Some(Ok(match message.take() {
                    Some(message) => Frame::Data(message),
                    None => Frame::Trailers(Failure::new(Code::Ok, "").trailers()),
                })),
                Source::Live(exchange) => ready!(exchange.poll_frame(cx)),
            };
            match frame {
                Some(Ok(Frame::Data(data))) => {
                    if let Err(error) = self.meter.feed(&data) {
                        return Poll::Ready(framing(error).trailers());
                    }
                    self.bytes += data.len() as u64;
                    if let Some(tap) = &self.tap {
                        tap.response(&data);
                    }
                    self.data = data;
                }
                Some(Ok(Frame::Trailers(mut trailers))) => {
                    if let Source::Live(exchange) = source {
                        plane.finish(path, exchange, &mut trailers);
                    }
                    return Poll::Ready(trailers);
                }
                Some(Err(broken)) => {
                    let failure = match source {
                        Source::Live(exchange) => plane.broken(path, exchange, broken),
                        Source::Ready(_) => Failure::new(Code::Internal, "the response broke off"),
                    };
                    return Poll::Ready(failure.trailers());
                }
                None => {
                    let failure = Failure::new(
                        Code::Internal,
                        "the model server ended the response without a status",
                    );
                    return Poll::Ready(failure.trailers());
                }
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if std::mem::take(&mut self.direct) && self.data.len() <= DIRECT {
            return Poll::Ready(self.stream.send_data(std::mem::take(&mut self.data), false));
        }
        while !self.data.is_empty() {
            self.stream.reserve_capacity(self.data.len());
            let window = self.stream.capacity().min(self.data.len());
            if window > 0 {
                self.stream.send_data(self.data.split_to(window), false)?;
                continue;
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(outcome) => outcome.map(drop)?,
                None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Answers a request that is no gRPC call.
fn refuse(respond: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let _ = respond.send_response(response, true);
}

fn late() -> Failure {
    Failure::new(
        Code::DeadlineExceeded,
        "the deadline passed before the response was complete",
    )
}

fn response(headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    response
}

fn end(
    respond: &mut SendResponse<Bytes>,
    seen: Observation,
    plane: &Plane,
    door: Door,
    mut failure: Failure,
) {
    seen.end(failure.code);
    let headers = match door {
        Door::Clients => {
            failure.refused = None;
            failure.headers()
        }
        Door::Routers => {
            let mut headers = failure.headers();
            tell_load(plane, &mut headers);
            headers
        }
    };
    let _ = respond.send_response(response(headers), true);
}

/// Another router hears how busy this one is.
fn tell_load(plane: &Plane, headers: &mut HeaderMap) {
    let waiting = || plane.mesh().cache().usage().waiting_requests;
    if let Some(load) = plane.busy().and_then(|busy| busy.header(waiting)) {
        headers.insert(api::names::headers::LOAD, load);
    }
}
