//! Finds, replaces or inserts the string at a field path of an encoded protobuf message.
//!
//! A path is a list of field numbers: all but the last are embedded messages, the last is a string. The first
//! occurrence wins. The rest of the message is neither decoded nor copied. (Semantics: ModelMesh's id extraction and
//! injection.)

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// Deepest path: a bound for recursion and for the bookkeeping of enclosing lengths.
pub const MAX_DEPTH: usize = 16;

/// Why a message cannot be read along a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The bytes are no protobuf message, or use groups.
    #[error("the message is not valid protobuf")]
    Malformed,
    /// The field is there with another wire type.
    #[error("the field that should hold the model id is not a string")]
    NotAString,
    /// The string is not UTF-8.
    #[error("the model id is not UTF-8")]
    NotUtf8,
}

/// Field numbers down to a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Box<[u32]>);

impl FieldPath {
    /// A path of one to [`MAX_DEPTH`] valid field numbers; `None` otherwise.
    pub fn new(fields: &[u32]) -> Option<Self> {
        let valid = |field: &u32| (1..=(1 << 29) - 1).contains(field);
        (!fields.is_empty() && fields.len() <= MAX_DEPTH && fields.iter().all(valid))
            .then(|| Self(fields.into()))
    }

    /// The field numbers.
    pub fn fields(&self) -> &[u32] {
        &self.0
    }
}

/// Where a string is, or where it would have to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The length varints that enclose the string, outermost first; the last is the string's own when it was found.
    lengths: Vec<Length>,
    /// Content of the string, or the empty range at which to insert.
    value: Range<usize>,
    /// Path parts that do not exist yet; 0 = the string was found.
    missing: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Length {
    at: Range<usize>,
    value: usize,
}

impl Site {
    /// Content of the string in the message; `None` when the message does not have it.
    pub fn found(&self) -> Option<Range<usize>> {
        (self.missing == 0).then(|| self.value.clone())
    }
}

/// What is known of a message of which a prefix has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// Decided.
    At(Site),
    /// More bytes are needed.
    Incomplete,
}

/// Looks for `path` in a message of `total` bytes of which `prefix` has arrived.
pub fn locate(path: &FieldPath, prefix: &[u8], total: usize) -> Result<Located, PathError> {
    if prefix.len() > total {
        return Err(PathError::Malformed);
    }
    let mut site = Site {
        lengths: Vec::new(),
        value: total..total,
        missing: path.0.len(),
    };
    let mut cursor = Cursor { bytes: prefix, at: 0 };
    let (mut depth, mut end) = (0, total);
    loop {
        if cursor.at == end {
            // The innermost message that exists has no such field: it would be appended at its end.
            site.value = end..end;
            site.missing = path.0.len() - depth;
            return Ok(Located::At(site));
        }
        let Some(tag) = cursor.varint(end)? else {
            return cursor.incomplete(end);
        };
        let (field, wire_type) = (tag.0 >> 3, tag.0 & 7);
        let wanted = path.0.get(depth).is_some_and(|want| u64::from(*want) == field);
        if wanted && wire_type != 2 {
            return Err(PathError::NotAString);
        }
        match wire_type {
            0 => {
                if cursor.varint(end)?.is_none() {
                    return cursor.incomplete(end);
                }
            }
            1 => cursor.at = cursor.at.saturating_add(8),
            5 => cursor.at = cursor.at.saturating_add(4),
            2 => {
                let Some((length, at)) = cursor.varint(end)? else {
                    return cursor.incomplete(end);
                };
                let length = usize::try_from(length).map_err(|_| PathError::Malformed)?;
                let stop = cursor
                    .at
                    .checked_add(length)
                    .filter(|stop| *stop <= end)
                    .ok_or(PathError::Malformed)?;
                if wanted {
                    site.lengths.push(Length { at, value: length });
                    if depth + 1 == path.0.len() {
                        if stop > prefix.len() {
                            return Ok(Located::Incomplete);
                        }
                        site.value = cursor.at..stop;
                        site.missing = 0;
                        return Ok(Located::At(site));
                    }
                    depth += 1;
                    end = stop;
                } else {
                    cursor.at = stop;
                }
            }
            _ => return Err(PathError::Malformed),
        }
        if cursor.at > end {
            return Err(PathError::Malformed);
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// A varint of the message that stops at `end`, and where it stands; `None` when the bytes end within it.
    fn varint(&mut self, end: usize) -> Result<Option<(u64, Range<usize>)>, PathError> {
        let start = self.at;
        let bytes = self
            .bytes
            .get(start..end.min(self.bytes.len()))
            .unwrap_or_default();
        let mut value = 0_u64;
        for (i, byte) in bytes.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                return Err(PathError::Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.at = start + i + 1;
                return Ok(Some((value, start..self.at)));
            }
        }
        if bytes.len() >= 10 {
            Err(PathError::Malformed)
        } else {
            Ok(None)
        }
    }

    /// The bytes ended within a tag or length: more may come, unless the message ends there.
    fn incomplete(&self, end: usize) -> Result<Located, PathError> {
        if self.bytes.len() >= end {
            Err(PathError::Malformed)
        } else {
            Ok(Located::Incomplete)
        }
    }
}

/// The text that a site found in a message.
pub fn text<'a>(site: &Site, message: &'a [u8]) -> Result<Option<&'a str>, PathError> {
    let Some(range) = site.found() else {
        return Ok(None);
    };
    let bytes = message.get(range).ok_or(PathError::Malformed)?;
    std::str::from_utf8(bytes)
        .map(Some)
        .map_err(|_| PathError::NotUtf8)
}

/// A message of which the first bytes were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spliced {
    /// Stands for the first `replaced` bytes of the message.
    pub head: Bytes,
    /// How many bytes of the old message `head` stands for.
    pub replaced: usize,
    /// Length of the new message.
    pub total: usize,
}

/// Puts `id` at `site` of a message of `total` bytes; `None` when it stands there already.
///
/// `prefix` must reach at least to the end of the site, as it does after [`locate`] decided.
pub fn splice(
    path: &FieldPath,
    site: &Site,
    prefix: &[u8],
    total: usize,
    id: &str,
) -> Result<Option<Spliced>, PathError> {
    let cut = site.value.end;
    let before = prefix.get(..site.value.start).ok_or(PathError::Malformed)?;
    if let Some(old) = site.found()
        && prefix.get(old).ok_or(PathError::Malformed)? == id.as_bytes()
    {
        return Ok(None);
    }
    // What takes the place of the old content: the id itself, wrapped in the parents that do not exist yet.
    let content = wrap(path.0.get(path.0.len() - site.missing..).unwrap_or_default(), id);
    // Enclosing lengths, innermost first: each grows by what its content grew, its own width included.
    let mut growth = signed(content.len()) - signed(site.value.len());
    let mut lengths = Vec::with_capacity(site.lengths.len());
    for length in site.lengths.iter().rev() {
        let new = usize::try_from(signed(length.value) + growth).map_err(|_| PathError::Malformed)?;
        growth += signed(varint_len(new)) - signed(length.at.len());
        lengths.push((length.at.clone(), new));
    }
    let mut head = BytesMut::with_capacity(before.len() + content.len() + 5 * lengths.len());
    let mut copied = 0;
    for (at, new) in lengths.into_iter().rev() {
        head.put_slice(before.get(copied..at.start).ok_or(PathError::Malformed)?);
        put_varint(&mut head, new as u64);
        copied = at.end;
    }
    head.put_slice(before.get(copied..).ok_or(PathError::Malformed)?);
    head.put_slice(&content);
    let total = usize::try_from(signed(total) + growth).map_err(|_| PathError::Malformed)?;
    Ok(Some(Spliced {
        head: head.freeze(),
        replaced: cut,
        total,
    }))
}

/// Messages are far below the range in which this could wrap: they are bounded by the message limit.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX / 4)
}

fn wrap(missing: &[u32], id: &str) -> Bytes {
    let mut inner = Bytes::copy_from_slice(id.as_bytes());
    for field in missing.iter().rev() {
        let mut outer = BytesMut::with_capacity(inner.len() + 10);
        put_varint(&mut outer, u64::from(*field) << 3 | 2);
        put_varint(&mut outer, inner.len() as u64);
        outer.put_slice(&inner);
        inner = outer.freeze();
    }
    inner
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests;
