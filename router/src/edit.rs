//! What is changed or checked in request messages as they pass: the concrete id is spliced in, and every message of a
//! stream must name the model that the first one named.

use std::io::Read as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use tonic::Code;

use crate::{
    body::framing,
    failure::Failure,
    wire::{
        framing::{PREFIX, Prefix},
        path::{FieldPath, Located, PathError, Spliced, locate, splice, text},
    },
};

/// Compression of messages that the router can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not compressed.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
    /// Any other.
    Unknown,
}

impl Encoding {
    /// From the value of `grpc-encoding`.
    pub fn of(value: &http::HeaderValue) -> Self {
        match value.as_bytes() {
            b"identity" => Self::Identity,
            b"gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            _ => Self::Unknown,
        }
    }

    /// Decompresses a whole message; the result is bounded by `limit`.
    pub fn decode(self, message: &[u8], limit: usize) -> Result<Bytes, Failure> {
        let mut out = Vec::new();
        // One byte more than allowed tells "too large" from "just as large".
        let bound = limit as u64 + 1;
        let read = match self {
            Self::Gzip => flate2::read::GzDecoder::new(message)
                .take(bound)
                .read_to_end(&mut out),
            Self::Deflate => flate2::read::ZlibDecoder::new(message)
                .take(bound)
                .read_to_end(&mut out),
            Self::Identity => {
                return Err(Failure::new(
                    Code::Internal,
                    "a message is marked as compressed, but grpc-encoding is not set",
                ));
            }
            Self::Unknown => {
                return Err(Failure::new(
                    Code::Unimplemented,
                    "cannot read the model id in a message with this grpc-encoding: use gzip, deflate or identity, \
                     or name the model in the mm-model-id header",
                ));
            }
        };
        if read.is_err() {
            return Err(Failure::invalid("a compressed message cannot be decompressed"));
        }
        if out.len() > limit {
            let text = format!("a decompressed message is larger than the limit of {limit} bytes");
            return Err(Failure::new(Code::ResourceExhausted, text));
        }
        Ok(out.into())
    }
}

/// The text at a path of the first message, as far as it has arrived; outer `None` = more bytes are needed.
pub fn read(path: &FieldPath, message: &[u8], total: usize) -> Result<Option<Option<String>>, Failure> {
    match locate(path, message, total).map_err(unreadable)? {
        Located::Incomplete => Ok(None),
        Located::At(site) => Ok(Some(text(&site, message).map_err(unreadable)?.map(str::to_owned))),
    }
}

fn unreadable(error: PathError) -> Failure {
    Failure::invalid(format!("cannot read the model id: {error}"))
}

/// What becomes of a message.
enum Edit {
    /// More of it is needed to know.
    Unknown,
    /// It stays as it is.
    Nothing,
    Splice(Spliced),
}

/// Edits a body as it passes.
#[derive(Debug)]
pub struct Editor {
    /// Every message must have this text at this path, or none.
    expect: Option<(FieldPath, String)>,
    /// Every message gets this text at this path.
    inject: Option<(FieldPath, String)>,
    encoding: Encoding,
    limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Bytes of a message whose head is not decided, and how many to wait for.
    Collect { held: BytesMut, wanted: usize },
    /// So many bytes of the message pass untouched.
    Pass { remaining: usize },
}

impl State {
    fn start() -> Self {
        Self::Collect {
            held: BytesMut::new(),
            wanted: PREFIX,
        }
    }
}

impl Editor {
    /// An editor; `None` when there is nothing to check or change.
    pub fn new(
        expect: Option<(FieldPath, String)>,
        inject: Option<(FieldPath, String)>,
        encoding: Encoding,
        limit: usize,
    ) -> Option<Self> {
        let idle = expect.is_none() && inject.is_none();
        (!idle).then(|| Self {
            expect,
            inject,
            encoding,
            limit,
            state: State::start(),
        })
    }

    /// Takes from `input` and gives the next piece to send; `None` when the input is used up.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Failure> {
        loop {
            match &mut self.state {
                _ if input.is_empty() => return Ok(None),
                State::Pass { remaining } => {
                    let piece = input.split_to((*remaining).min(input.len()));
                    *remaining -= piece.len();
                    if *remaining == 0 {
                        self.state = State::start();
                    }
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                State::Collect { held, wanted } => {
                    let whole = if held.is_empty() {
                        std::mem::take(input)
                    } else {
                        held.extend_from_slice(&std::mem::take(input));
                        if held.len() < *wanted {
                            return Ok(None);
                        }
                        held.split().freeze()
                    };
                    if let Some(piece) = self.head(whole, input)? {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// Decides on the head of a message. What it does not use goes back to `input`.
    fn head(&mut self, whole: Bytes, input: &mut Bytes) -> Result<Option<Bytes>, Failure> {
        let Some((head, rest)) = whole.split_first_chunk::<PREFIX>() else {
            self.state = State::Collect {
                held: BytesMut::from(whole),
                wanted: PREFIX,
            };
            return Ok(None);
        };
        let prefix = Prefix::parse(*head).map_err(framing)?;
        let end = PREFIX + prefix.length;
        let message = rest.get(..prefix.length.min(rest.len())).unwrap_or_default();
        if prefix.compressed {
            if message.len() < prefix.length {
                self.state = State::Collect {
                    held: BytesMut::from(whole),
                    wanted: end,
                };
                return Ok(None);
            }
            let plain = self.encoding.decode(message, self.limit)?;
            let edited = self.edit(&plain, plain.len())?;
            *input = whole.slice(end..);
            self.state = State::start();
            return Ok(Some(match edited {
                // Complete messages always decide; an unchanged one stays compressed.
                Edit::Unknown | Edit::Nothing => whole.slice(..end),
                Edit::Splice(spliced) => {
                    let tail = plain.get(spliced.replaced..).unwrap_or_default();
                    framed(&spliced, tail)
                }
            }));
        }
        match self.edit(message, prefix.length)? {
            Edit::Unknown => {
                let wanted = end.min(2 * whole.len());
                self.state = State::Collect {
                    held: BytesMut::from(whole),
                    wanted,
                };
                Ok(None)
            }
            Edit::Nothing => {
                *input = whole;
                self.state = State::Pass { remaining: end };
                Ok(None)
            }
            Edit::Splice(spliced) => {
                let used = PREFIX + spliced.replaced;
                *input = whole.slice(used.min(whole.len())..);
                let remaining = end - used;
                self.state = if remaining == 0 {
                    State::start()
                } else {
                    State::Pass { remaining }
                };
                Ok(Some(framed(&spliced, &[])))
            }
        }
    }

    fn edit(&self, message: &[u8], total: usize) -> Result<Edit, Failure> {
        if let Some((path, expected)) = &self.expect {
            match locate(path, message, total).map_err(unreadable)? {
                Located::Incomplete => return Ok(Edit::Unknown),
                Located::At(site) => {
                    let named = text(&site, message).map_err(unreadable)?.unwrap_or_default();
                    if !named.is_empty() && named != expected {
                        return Err(Failure::invalid(format!(
                            "a stream serves one model: it began with {expected:?}, a later message names {named:?}; \
                             open another stream for that"
                        )));
                    }
                }
            }
        }
        let Some((path, id)) = &self.inject else {
            return Ok(Edit::Nothing);
        };
        match locate(path, message, total).map_err(unreadable)? {
            // Where the id is missing it goes to the end: the whole message is needed to know that it is valid.
            Located::At(site) if site.found().is_none() && message.len() < total => Ok(Edit::Unknown),
            Located::At(site) => splice(path, &site, message, total, id)
                .map(|spliced| spliced.map_or(Edit::Nothing, Edit::Splice))
                .map_err(unreadable),
            Located::Incomplete => Ok(Edit::Unknown),
        }
    }
}

fn framed(spliced: &Spliced, tail: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + spliced.head.len() + tail.len());
    out.put_slice(
        &Prefix {
            compressed: false,
            length: spliced.total,
        }
        .to_bytes(),
    );
    out.put_slice(&spliced.head);
    out.put_slice(tail);
    out.freeze()
}

#[cfg(test)]
mod tests;
