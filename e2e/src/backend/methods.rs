//! `/stowage.test.Echo/*`: what a proxy can get wrong. Messages are any bytes.
//!
//! | method | what it does |
//! |---|---|
//! | `Unary` | echoes the message; every request header `h` comes back as header `saw-h`; trailer `x-trailer: last` |
//! | `ClientStream` | one answer: the bodies of all messages, one behind the other |
//! | `ServerStream` | the message, `x-count` times (3) |
//! | `Bidi` | each message when it arrives |
//! | `Fail` | no message; status from `x-code` (9) and `x-message`, details from `x-details-bin` |
//! | `FailLate` | as `Fail`, after one echoed message |
//! | `Slow` | answers after `x-delay-ms`, or never; counts callers that go away |
//! | `Cancelled` | how many did, as decimal text |

use std::{future::poll_fn, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use super::{Stats, wire};

/// Start of these methods' paths.
pub const PREFIX: &str = "/stowage.test.Echo/";

/// Bytes before each gRPC message.
const FRAME_PREFIX: usize = 5;

pub(super) async fn call(
    method: &str,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    stats: &Stats,
) -> Result<(), h2::Error> {
    match method {
        "Unary" => unary(request, respond).await,
        "ClientStream" => client_stream(request, respond).await,
        "ServerStream" => server_stream(request, respond).await,
        "Bidi" => bidi(request, respond).await,
        "Fail" => fail(request, respond).await,
        "FailLate" => fail_late(request, respond).await,
        "Slow" => slow(request, respond, stats).await,
        "Cancelled" => {
            let count = stats.cancelled.load(std::sync::atomic::Ordering::Relaxed);
            wire::answer(respond, count.to_string().as_bytes()).await
        }
        _ => wire::fail(respond, "12", "unknown method"),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

async fn unary(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let chunks = wire::chunks(&mut body).await?;
    let mut response = wire::head();
    for (name, value) in &head.headers {
        if let Ok(name) = HeaderName::try_from(format!("saw-{name}")) {
            response.headers_mut().append(name, value.clone());
        }
    }
    let mut stream = respond.send_response(response, false)?;
    for chunk in chunks {
        wire::send(&mut stream, chunk).await?;
    }
    let mut trailers = wire::ok();
    trailers.insert("x-trailer", HeaderValue::from_static("last"));
    stream.send_trailers(trailers)
}

async fn client_stream(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let chunks = wire::chunks(&mut request.into_body()).await?;
    let mut rest = Bytes::from(chunks.concat());
    let mut bodies = BytesMut::with_capacity(rest.len());
    while rest.len() >= FRAME_PREFIX {
        rest.advance(1);
        let length = rest.get_u32() as usize;
        let end = length.min(rest.len());
        bodies.extend_from_slice(&rest.split_to(end));
    }
    wire::answer(respond, &bodies).await
}

async fn server_stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let count = number(request.headers(), "x-count").unwrap_or(3);
    let chunks = wire::chunks(&mut request.into_body()).await?;
    let mut stream = respond.send_response(wire::head(), false)?;
    for _ in 0..count {
        for chunk in &chunks {
            wire::send(&mut stream, chunk.clone()).await?;
        }
    }
    stream.send_trailers(wire::ok())
}

async fn bidi(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut stream = respond.send_response(wire::head(), false)?;
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        let length = chunk.len();
        wire::send(&mut stream, chunk).await?;
        // Only now, so that back pressure of the answer reaches the sender.
        body.flow_control().release_capacity(length)?;
    }
    stream.send_trailers(wire::ok())
}

/// Status as the request asks for it.
fn status(headers: &HeaderMap) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = headers
        .get("x-code")
        .cloned()
        .unwrap_or(HeaderValue::from_static("9"));
    trailers.insert("grpc-status", code);
    for (from, to) in [
        ("x-message", "grpc-message"),
        ("x-details-bin", "grpc-status-details-bin"),
    ] {
        if let Some(value) = headers.get(from) {
            trailers.insert(to, value.clone());
        }
    }
    trailers
}

async fn fail(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    wire::chunks(&mut body).await?;
    let mut response: Response<()> = wire::head();
    response.headers_mut().extend(status(&head.headers));
    respond.send_response(response, true).map(drop)
}

async fn fail_late(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut stream = respond.send_response(wire::head(), false)?;
    for chunk in wire::chunks(&mut body).await? {
        wire::send(&mut stream, chunk).await?;
    }
    stream.send_trailers(status(&head.headers))
}

async fn slow(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    stats: &Stats,
) -> Result<(), h2::Error> {
    let delay = number(request.headers(), "x-delay-ms").map(Duration::from_millis);
    let wait = async {
        match delay {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending().await,
        }
    };
    let gone: Result<Reason, h2::Error> = tokio::select! {
        () = wait => return wire::unary_echo(request, respond).await,
        gone = poll_fn(|cx| respond.poll_reset(cx)) => gone,
    };
    Stats::add(&stats.cancelled);
    gone.map(drop)
}
