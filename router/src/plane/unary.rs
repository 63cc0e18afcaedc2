//! Calls with one message each way that the router makes itself: REST, and the parts of a call to several models.

use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use tonic::{Code, Status};

use super::{Incoming, Plane, Reply, grpc_headers, uri};
use crate::{
    body::{RequestBody, framing},
    failure::{self, Failure},
    observe::Observation,
    request::Routing,
    upstream::Frame,
    wire::framing::{PREFIX, Prefix, frame},
};

impl Plane {
    /// A unary call of `method` (a full path) with an encoded message; gives metadata and message of the response.
    pub async fn unary(
        &self,
        method: &str,
        metadata: HeaderMap,
        message: Bytes,
    ) -> Result<(HeaderMap, Bytes), Status> {
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
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(method)?;
        *request.headers_mut() = headers;
        let body = RequestBody::complete(frame(&message), limit, self.budget.clone())?;
        let incoming = Box::new(Incoming {
            parts: request.into_parts().0,
            body,
            routing,
            deadline: Some(deadline),
        });
        let mut seen = Observation::start(&self.metrics, method, &incoming.parts.headers);
        seen.request_bytes(message.len() as u64);
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
        }
        seen.end(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        outcome
    }

    /// Reads a response with one message to its end.
    pub(super) async fn collect(&self, method: &str, reply: Reply) -> Result<(HeaderMap, Bytes), Failure> {
        let (head, mut exchange) = match reply {
            Reply::Ready(headers, framed) => return Ok((headers, message(framed)?)),
            Reply::Live(head, exchange) => (head, exchange),
        };
        if head.end {
            return Err(status(&head.headers));
        }
        let limit = self.options.message_limit + PREFIX;
        let (mut first, mut more) = (Bytes::new(), BytesMut::new());
        loop {
            match std::future::poll_fn(|cx| exchange.poll_frame(cx)).await {
                Some(Ok(Frame::Data(data))) => {
                    let length = first.len() + more.len() + data.len();
                    if length > limit {
                        let text = format!("the response is larger than the limit of {limit} bytes");
                        return Err(Failure::new(Code::ResourceExhausted, text));
                    }
                    if first.is_empty() {
                        first = data;
                    } else {
                        more.extend_from_slice(&data);
                    }
                }
                Some(Ok(Frame::Trailers(mut trailers))) => {
                    self.translate_status(method, &mut trailers);
                    if failure::code(&trailers) != Some(Code::Ok) {
                        return Err(status(&trailers));
                    }
                    break;
                }
                Some(Err(broken)) => return Err(self.broken(method, broken)),
                None => {
                    return Err(Failure::new(
                        Code::Internal,
                        "the response ended without a status",
                    ));
                }
            }
        }
        if !more.is_empty() {
            let mut joined = BytesMut::with_capacity(first.len() + more.len());
            joined.extend_from_slice(&first);
            joined.extend_from_slice(&more);
            first = joined.freeze();
        }
        Ok((head.headers, message(first)?))
    }
}

fn status(headers: &HeaderMap) -> Failure {
    let code = failure::code(headers)
        .filter(|code| *code != Code::Ok)
        .unwrap_or(Code::Internal);
    Failure::new(code, failure::message(headers))
}

/// The one message of a response.
fn message(mut framed: Bytes) -> Result<Bytes, Failure> {
    let head = framed.first_chunk::<PREFIX>().copied();
    let head = head.ok_or_else(|| Failure::new(Code::Internal, "the response has no message"))?;
    let prefix = Prefix::parse(head).map_err(framing)?;
    framed.advance(PREFIX);
    if prefix.compressed || prefix.length != framed.len() {
        return Err(Failure::new(
            Code::Internal,
            "the response is not one uncompressed message",
        ));
    }
    Ok(framed)
}
