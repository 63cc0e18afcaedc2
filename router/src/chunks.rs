//! A message in the pieces in which it arrived or was made, so that tensors pass without being copied together.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Pieces from this size on are kept as they arrived.
const SMALL: usize = 4 << 10;

/// Bytes in pieces, none of which is empty.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Chunks {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece.
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.length += part.len();
            self.parts.push_back(part);
        }
    }

    /// Appends a piece; small ones are put together, because each may keep a larger buffer of a connection alive.
    pub fn push_joined(&mut self, part: Bytes) {
        match self.parts.back_mut() {
            Some(last) if last.len() < SMALL && part.len() < SMALL => {
                self.length += part.len();
                let mut grown = std::mem::take(last).try_into_mut().unwrap_or_else(|shared| {
                    let mut copy = BytesMut::with_capacity(2 * SMALL);
                    copy.extend_from_slice(&shared);
                    copy
                });
                grown.extend_from_slice(&part);
                *last = grown.freeze();
            }
            _ => self.push(part),
        }
    }

    /// Appends the pieces of another one.
    pub fn append(&mut self, other: Self) {
        for part in other {
            self.push(part);
        }
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All as one piece; copies unless it is one.
    pub fn into_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.length)
    }

    /// Takes the first piece.
    pub fn pop(&mut self) -> Option<Bytes> {
        let part = self.parts.pop_front()?;
        self.length -= part.len();
        Some(part)
    }

    /// Takes the first `length` bytes without copying; `None`, and nothing taken, where there are fewer.
    pub fn split_to(&mut self, mut length: usize) -> Option<Self> {
        if length > self.length {
            return None;
        }
        let mut first = Self::new();
        while length > 0 {
            let mut part = self.pop()?;
            if part.len() > length {
                let rest = part.split_off(length);
                self.length += rest.len();
                self.parts.push_front(rest);
            }
            length -= part.len();
            first.push(part);
        }
        Some(first)
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        let mut chunks = Self::new();
        chunks.push(bytes);
        chunks
    }
}

impl From<Vec<u8>> for Chunks {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl IntoIterator for Chunks {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn advance(&mut self, count: usize) {
        assert!(self.split_to(count).is_some(), "advanced behind the end");
    }

    /// Copies only what is not in one piece.
    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let Some(mut taken) = self.split_to(length) else {
            panic!("copied behind the end");
        };
        if taken.parts.len() < 2 {
            return taken.pop().unwrap_or_default();
        }
        let mut joined = BytesMut::with_capacity(length);
        for part in taken {
            joined.extend_from_slice(&part);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(parts: &[&'static [u8]]) -> Chunks {
        let mut chunks = Chunks::new();
        for part in parts {
            chunks.push(Bytes::from_static(part));
        }
        chunks
    }

    #[test]
    fn one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![1, 2, 3, 4]);
        let mut chunks = Chunks::from(bytes.clone());
        chunks.push(Bytes::from_static(b"next"));
        assert_eq!(chunks.copy_to_bytes(3).as_ptr(), bytes.as_ptr());
        assert_eq!(chunks.copy_to_bytes(1).as_ptr(), bytes[3..].as_ptr());
        assert_eq!(chunks.into_bytes(), "next");
    }

    #[test]
    fn too_few_bytes_are_left_alone() {
        let mut short = chunks(&[b"ab", b"", b"c"]);
        assert!(short.split_to(4).is_none());
        assert_eq!(short.len(), 3);
        assert_eq!(short.split_to(0).map(Chunks::into_bytes), Some(Bytes::new()));
        assert_eq!(short.into_bytes(), "abc");
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole(parts: Vec<Vec<u8>>, cuts in prop::collection::vec(0_usize..20, 0..9)) {
            let whole = parts.concat();
            let mut chunks = Chunks::new();
            for part in parts {
                chunks.push(part.into());
            }
            prop_assert_eq!(chunks.len(), whole.len());
            let mut seen = Vec::new();
            for cut in cuts {
                let cut = cut.min(chunks.remaining());
                if cut % 2 == 0 {
                    seen.extend_from_slice(&chunks.copy_to_bytes(cut));
                } else {
                    let taken = chunks.split_to(cut).expect("there are enough");
                    for part in taken {
                        seen.extend_from_slice(&part);
                    }
                }
            }
            prop_assert_eq!(chunks.is_empty(), seen.len() == whole.len());
            seen.extend_from_slice(&chunks.into_bytes());
            prop_assert_eq!(seen, whole);
        }
    }
}
