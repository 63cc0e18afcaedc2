//! Bodies: read within limits, decompressed within limits, compressed.

use std::{
    io::{self, Read, Write as _},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Code;

use super::{failure::Failure, metadata::Coding};

/// How many times what has arrived a body may be given room for, where it announced that much: a large one gets its
/// buffer at once, and a client that only announces gets little.
const AHEAD: usize = 16;
/// Bytes that a body may take without asking.
const UNIT: usize = 64 << 10;

/// Memory for the bodies of all requests.
#[derive(Debug)]
pub(super) struct Budget(Semaphore);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)))
    }

    /// The part of one request; given back when it is dropped.
    pub(super) fn share(&self) -> Share<'_> {
        Share {
            budget: &self.0,
            held: None,
        }
    }
}

/// What one request has of the budget.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Semaphore,
    held: Option<SemaphorePermit<'a>>,
}

impl Share<'_> {
    /// Makes room for a body of that many bytes, if others left it.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let held = self.held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing =
            u32::try_from((bytes / UNIT).saturating_sub(held)).map_err(|_| Failure::overloaded())?;
        if missing == 0 {
            return Ok(());
        }
        let more = self
            .budget
            .try_acquire_many(missing)
            .map_err(|_| Failure::overloaded())?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes within `timeout`. Memory grows only with what arrives.
pub(super) async fn read(
    body: Body,
    limit: usize,
    timeout: Duration,
    share: &mut Share<'_>,
) -> Result<Bytes, Failure> {
    // What does not fit is larger than any limit.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit));
    }
    let read = tokio::time::timeout(timeout, collect(body, announced, limit, share)).await;
    read.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} seconds", timeout.as_secs_f32());
        let failure = Failure::with_http(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, message);
        Err(failure.header(header::CONNECTION, HeaderValue::from_static("close")))
    })
}

async fn collect(
    mut body: Body,
    announced: usize,
    limit: usize,
    share: &mut Share<'_>,
) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::invalid("the body ended early"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let have = first.len() + rest.len();
        if data.len() > limit.saturating_sub(have) {
            return Err(too_large(limit));
        }
        share.grow(have + data.len())?;
        if have == 0 {
            // Often the only one; then nothing is copied.
            first = data;
            continue;
        }
        // One buffer, because many small frames would each keep a larger buffer of the connection alive.
        let length = have + data.len();
        if rest.capacity() < length {
            let wanted = room(length, announced, limit);
            share.grow(wanted)?;
            rest.reserve_exact(wanted - rest.len());
        }
        rest.extend_from_slice(&std::mem::take(&mut first));
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

/// Room for a body of which `length` bytes have arrived.
fn room(length: usize, announced: usize, limit: usize) -> usize {
    let wanted = if announced >= length && announced / AHEAD <= length {
        announced
    } else {
        2 * length
    };
    wanted.clamp(length, limit.max(length))
}

fn too_large(limit: usize) -> Failure {
    Failure::too_large(format!("the body is larger than the limit of {limit} bytes"))
}

/// Decompresses to at most `limit` bytes, however small the body is.
pub(super) fn decompress(coding: Coding, body: &[u8], limit: usize) -> Result<Bytes, Failure> {
    let decoded = match coding {
        Coding::Gzip => inflate(MultiGzDecoder::new(body), limit),
        Coding::Deflate if is_zlib(body) => inflate(ZlibDecoder::new(body), limit),
        Coding::Deflate => inflate(DeflateDecoder::new(body), limit),
    };
    let decoded =
        decoded.map_err(|error| Failure::invalid(format!("the body is not {}: {error}", coding.name())))?;
    if decoded.len() > limit {
        return Err(Failure::too_large(format!(
            "the body is larger than the limit of {limit} bytes when decompressed"
        )));
    }
    Ok(decoded.into())
}

fn inflate(decoder: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut out)?;
    Ok(out)
}

/// The two bytes that every zlib stream begins with.
fn is_zlib(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => first & 15 == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0,
        _ => false,
    }
}

/// Compresses; fast rather than small, since the client waits.
pub(super) fn compress(coding: Coding, body: &[u8]) -> io::Result<Bytes> {
    let out = Vec::with_capacity(body.len() / 2);
    let out = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()?
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()?
        }
    };
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_what_has_arrived() {
        for (length, announced, expected) in [
            // Nothing announced: doubled, up to the limit.
            (100, 0, 200),
            (900, 0, 1000),
            // Announced and plausible: at once.
            (100, 1000, 1000),
            (100, 150, 150),
            // Announced far ahead.
            (10, 1000, 20),
            // More than was announced.
            (100, 99, 200),
        ] {
            assert_eq!(room(length, announced, 1000), expected, "{length} of {announced}");
        }
    }
}
