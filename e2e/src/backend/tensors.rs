//! `ModelInfer` of a model whose outputs are its inputs: names, datatypes, shapes and contents, raw or typed.
//!
//! Nothing is decoded: the messages of request and answer have the same fields with the same contents, only some of
//! their numbers differ.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::Request;

use super::wire;

/// Bytes before each gRPC message.
const FRAME_PREFIX: usize = 5;
/// Wire type of everything that has a length before it, as all fields of both messages have.
const LENGTH_DELIMITED: u8 = 2;
/// Fields of `ModelInferRequest` that have another number, or none, in `ModelInferResponse`.
const REQUESTED_OUTPUTS: u8 = 6;
const RAW_INPUTS: u8 = 7;
const RAW_OUTPUTS: u8 = 6;

pub(super) async fn infer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let chunks = wire::chunks(&mut request.into_body()).await?;
    let framed = join(chunks);
    let answer = framed
        .get(FRAME_PREFIX..)
        .and_then(|message| answer(&framed.slice_ref(message)));
    let Some(pieces) = answer else {
        return wire::fail(respond, "3", "not a ModelInferRequest");
    };
    let length = pieces.iter().map(Bytes::len).sum::<usize>();
    let mut stream = respond.send_response(wire::head(), false)?;
    wire::send(&mut stream, prefix(length)).await?;
    for piece in pieces {
        wire::send(&mut stream, piece).await?;
    }
    stream.send_trailers(wire::ok())
}

fn join(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() == 1 {
        return chunks.remove(0);
    }
    let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in &chunks {
        joined.extend_from_slice(chunk);
    }
    joined.freeze()
}

fn prefix(length: usize) -> Bytes {
    let mut prefix = BytesMut::with_capacity(FRAME_PREFIX);
    prefix.put_u8(0);
    prefix.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    prefix.freeze()
}

/// The answer in pieces: slices of the request, but for the tags of raw contents.
fn answer(message: &Bytes) -> Option<Vec<Bytes>> {
    const RAW_OUTPUTS_TAG: &[u8] = &[RAW_OUTPUTS << 3 | LENGTH_DELIMITED];
    let mut pieces = Vec::with_capacity(3);
    let mut rest = message.clone();
    // Fields that go on as they are, up to the one that is looked at.
    let mut kept = 0;
    let mut at = 0;
    while at < rest.len() {
        let tag = *rest.get(at)?;
        if tag & 7 != LENGTH_DELIMITED {
            return None;
        }
        let mut after = rest.get(at + 1..)?;
        let length = prost::decode_length_delimiter(&mut after).ok()?;
        let end = (rest.len() - after.len()).checked_add(length)?;
        if end > rest.len() {
            return None;
        }
        match tag >> 3 {
            REQUESTED_OUTPUTS => {
                pieces.push(rest.slice(kept..at));
                kept = end;
            }
            RAW_INPUTS => {
                pieces.push(rest.slice(kept..at));
                pieces.push(Bytes::from_static(RAW_OUTPUTS_TAG));
                kept = at + 1;
            }
            _ => {}
        }
        at = end;
    }
    rest.advance(kept);
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    Some(pieces)
}
