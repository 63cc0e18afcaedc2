//! gRPC on an HTTP/2 stream.

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};

/// Largest message that is collected; tests send up to 64 MiB.
const MAX_MESSAGE: usize = 80 << 20;

/// Head of every answer.
pub(super) fn head() -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Trailers of a call that went well.
pub(super) fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// A message with its prefix.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The whole body as it came in.
pub(super) async fn chunks(body: &mut RecvStream) -> Result<Vec<Bytes>, h2::Error> {
    let (mut chunks, mut length) = (Vec::with_capacity(1), 0_usize);
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        length += chunk.len();
        if length > MAX_MESSAGE {
            return Err(Reason::ENHANCE_YOUR_CALM.into());
        }
        body.flow_control().release_capacity(chunk.len())?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// Sends within the peer's windows.
pub(super) async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => room?,
                None => return Err(Reason::CANCEL.into()),
            },
            room => room,
        };
        stream.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

/// Reads a unary request, and answers with the same bytes.
pub(super) async fn unary_echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let chunks = chunks(&mut request.into_body()).await?;
    let mut stream = respond.send_response(head(), false)?;
    for chunk in chunks {
        send(&mut stream, chunk).await?;
    }
    stream.send_trailers(ok())
}

/// One message and success.
pub(super) async fn answer(mut respond: SendResponse<Bytes>, message: &[u8]) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(head(), false)?;
    send(&mut stream, frame(message)).await?;
    stream.send_trailers(ok())
}

/// A failure without messages: trailers only.
pub(super) fn fail(
    mut respond: SendResponse<Bytes>,
    code: &'static str,
    message: &'static str,
) -> Result<(), h2::Error> {
    let mut response = head();
    response
        .headers_mut()
        .insert("grpc-status", HeaderValue::from_static(code));
    response
        .headers_mut()
        .insert("grpc-message", HeaderValue::from_static(message));
    respond.send_response(response, true).map(drop)
}
