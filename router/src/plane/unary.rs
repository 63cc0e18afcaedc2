//! Calls with one message each way that the router makes itself: REST, and the parts of a call to several models.

use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use tonic::{Code, Status};

use super::{Incoming, Plane, Reply, grpc_headers, uri};
use crate::{
    body::{RequestBody, framing},
    chunks::Chunks,
    failure::{self, Failure},
    observe::Observation,
    request::Routing,
    upstream::Frame,
    wire::framing::{PREFIX, Prefix},
};

/// Copying so much costs less than a piece of its own.
const SMALL: usize = 16 << 10;

impl Plane {
    /// A unary call of `method` (a full path) with an encoded message; gives metadata and message of the response.
    pub async fn unary(
        &self,
        method: &str,
        metadata: HeaderMap,
        message: Chunks,
    ) -> Result<(HeaderMap, Chunks), Status> {
        let longest = self.options.longest_call;
        let headers = grpc_headers(metadata);
        let routing = Routing::of(&headers)?;
        let timeout = routing.timeout.unwrap_or(longest).min(longest);
        let deadline = Instant::now() + timeout;
        let limit = self.options.message_limit;
        if message.len() > limit {
            let text = format!(
                "message of {} bytes is larger than the limit of {limit} bytes",
                message.len()
            );
            return Err(Status::resource_exhausted(text));
        }
        let length = message.len();
        let framed = frame_chunks(message);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(method)?;
        *request.headers_mut() = headers;
        let body = RequestBody::complete(framed, limit, self.budget.clone())?;
        let mut incoming = Box::new(Incoming {
            parts: request.into_parts().0,
            body,
            routing,
            deadline: Some(deadline),
        });
        let mut seen = Observation::start(&self.metrics, method, &incoming.parts.headers);
        seen.show(self.observers(), method, &incoming.parts.headers);
        incoming.body.watch(seen.tap());
        seen.request_bytes(length as u64);
        let work = async {
            let reply = self.call(incoming).await?;
            if let Reply::Live(head, exchange) = &reply {
                seen.answered(method, head, exchange);
            }
            self.collect(method, reply).await
        };
        let outcome = match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(outcome) => outcome.map_err(Status::from),
            Err(_) => Err(Status::deadline_exceeded(
                "the deadline passed before the response",
            )),
        };
        if let Ok((_, message)) = &outcome {
            seen.response_bytes(message.len() as u64);
            if let Some(tap) = seen.tap() {
                let prefix = Prefix {
                    compressed: false,
                    length: message.len(),
                };
                tap.response(&prefix.to_bytes());
                message.clone().into_iter().for_each(|chunk| tap.response(&chunk));
            }
        }
        seen.end(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        outcome
    }

    /// Reads a response with one message to its end.
    pub(super) async fn collect(&self, method: &str, reply: Reply) -> Result<(HeaderMap, Chunks), Failure> {
        let (head, mut exchange) = match reply {
            Reply::Ready(headers, framed) => return Ok((headers, message(framed.into())?)),
            Reply::Live(head, exchange) => (head, exchange),
        };
        if head.end {
            return Err(status(&head.headers));
        }
        let limit = self.options.message_limit + PREFIX;
        let mut framed = Chunks::new();
        loop {
            match std::future::poll_fn(|cx| exchange.poll_frame(cx)).await {
                Some(Ok(Frame::Data(data))) => {
                    if framed.len() + data.len() > limit {
                        let text = format!("the response is larger than the limit of {limit} bytes");
                        return Err(Failure::new(Code::ResourceExhausted, text));
                    }
                    framed.push_joined(data);
                }
                Some(Ok(Frame::Trailers(mut trailers))) => {
                    self.finish(method, &exchange, &mut trailers);
                    if failure::code(&trailers) != Some(Code::Ok) {
                        return Err(status(&trailers));
                    }
                    break;
                }
                Some(Err(broken)) => return Err(self.broken(method, &exchange, broken)),
                None => {
                    return Err(Failure::new(
                        Code::Internal,
                        "the response ended without a status",
                    ));
                }
            }
        }
        Ok((head.headers, message(framed)?))
    }
}

fn status(headers: &HeaderMap) -> Failure {
    let code = failure::code(headers)
        .filter(|code| *code != Code::Ok)
        .unwrap_or(Code::Internal);
    Failure::new(code, failure::message(headers))
}

/// A message with its prefix: in one piece with the first one of the message where that is small, so that the model's
/// name is found there.
fn frame_chunks(mut message: Chunks) -> Chunks {
    let length = message.len();
    let first = message.pop().unwrap_or_default();
    let prefix = Prefix {
        compressed: false,
        length,
    };
    let mut framed = Chunks::new();
    if first.len() <= SMALL {
        let mut joined = BytesMut::with_capacity(PREFIX + first.len());
        joined.extend_from_slice(&prefix.to_bytes());
        joined.extend_from_slice(&first);
        framed.push(joined.freeze());
    } else {
        framed.push(Bytes::copy_from_slice(&prefix.to_bytes()));
        framed.push(first);
    }
    framed.append(message);
    framed
}

/// The one message of a response.
fn message(mut framed: Chunks) -> Result<Chunks, Failure> {
    let mut head = [0; PREFIX];
    framed
        .try_copy_to_slice(&mut head)
        .map_err(|_| Failure::new(Code::Internal, "the response has no message"))?;
    let prefix = Prefix::parse(head).map_err(framing)?;
    if prefix.compressed || prefix.length != framed.len() {
        return Err(Failure::new(
            Code::Internal,
            "the response is not one uncompressed message",
        ));
    }
    Ok(framed)
}
