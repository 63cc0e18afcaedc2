//! gRPC's length-prefixed messages: one byte that says "compressed", four bytes of length, the message.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before each message.
pub const PREFIX: usize = 5;

/// First bytes of a gRPC message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Compressed as `grpc-encoding` says.
    pub compressed: bool,
    /// Bytes of the message.
    pub length: usize,
}

/// Why framing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The first byte is neither 0 nor 1.
    #[error("invalid gRPC frame: flag byte is {0}, 0 or 1 expected")]
    Flag(u8),
    /// A message is longer than is allowed.
    #[error("message of {length} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Announced length.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The body ended within a message.
    #[error("the request body ended within a message")]
    Truncated,
}

impl Prefix {
    /// Reads the prefix of a message from its first five bytes.
    pub fn parse(bytes: [u8; PREFIX]) -> Result<Self, FramingError> {
        let [flag, length @ ..] = bytes;
        if flag > 1 {
            return Err(FramingError::Flag(flag));
        }
        Ok(Self {
            compressed: flag == 1,
            length: u32::from_be_bytes(length) as usize,
        })
    }

    /// The prefix as bytes; lengths are bounded by the message limit, which fits in 32 bits.
    pub fn to_bytes(self) -> [u8; PREFIX] {
        let [a, b, c, d] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        [u8::from(self.compressed), a, b, c, d]
    }
}

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + message.len());
    out.put_slice(
        &Prefix {
            compressed: false,
            length: message.len(),
        }
        .to_bytes(),
    );
    out.put_slice(message);
    out.freeze()
}

/// Follows the message boundaries of a body that passes by, to refuse a message over the limit when its prefix
/// arrives rather than when it has been buffered.
#[derive(Debug)]
pub struct Meter {
    limit: usize,
    prefix: [u8; PREFIX],
    have: usize,
    remaining: usize,
}

impl Meter {
    /// A meter for a body with messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            prefix: [0; PREFIX],
            have: 0,
            remaining: 0,
        }
    }

    /// Accounts for a chunk of the body.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), FramingError> {
        while !chunk.is_empty() {
            if self.remaining > 0 {
                let skip = self.remaining.min(chunk.len());
                self.remaining -= skip;
                chunk = chunk.get(skip..).unwrap_or_default();
                continue;
            }
            let (byte, rest) = chunk.split_first().ok_or(FramingError::Truncated)?;
            if let Some(slot) = self.prefix.get_mut(self.have) {
                *slot = *byte;
            }
            self.have += 1;
            chunk = rest;
            if self.have == PREFIX {
                let prefix = Prefix::parse(self.prefix)?;
                if prefix.length > self.limit {
                    return Err(FramingError::TooLarge {
                        length: prefix.length,
                        limit: self.limit,
                    });
                }
                (self.have, self.remaining) = (0, prefix.length);
            }
        }
        Ok(())
    }

    /// Says whether the body may end here.
    pub fn finish(&self) -> Result<(), FramingError> {
        if self.have == 0 && self.remaining == 0 {
            Ok(())
        } else {
            Err(FramingError::Truncated)
        }
    }
}

#[cfg(test)]
mod tests;
