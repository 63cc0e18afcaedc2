//! Tensors in V2's raw form, which is how they arrive and leave: little-endian elements in row-major order;
//! BYTES elements with a 4-byte length before each.

use api::{datatype::Datatype, inference::InferTensorContents};
use bytes::{BufMut as _, Bytes, BytesMut};

/// A tensor as it travels.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type.
    pub datatype: Datatype,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Elements in raw form.
    pub raw: Bytes,
}

/// Number of elements, or `None` where the product does not fit.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes it empty, whatever the rest would overflow to.
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1_usize, |count, extent| count.checked_mul(*extent))
}

/// What is wrong with raw BYTES.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// The data ends inside an element.
    #[error("element {element} ends after the data")]
    Truncated {
        /// Index of the element.
        element: usize,
    },
    /// The number of elements is not the shape's.
    #[error("expected {expected} elements, got {got}")]
    Count {
        /// Elements of the shape.
        expected: usize,
        /// Elements in the data, counted up to one more than expected.
        got: usize,
    },
}

/// Splits raw BYTES into its elements; they share the buffer.
pub fn split_bytes(raw: &Bytes, expected: usize) -> Result<Vec<Bytes>, BytesError> {
    // Every element takes at least its length, which bounds the reservation by the data.
    let mut elements = Vec::with_capacity(expected.min(raw.len() / 4));
    let mut rest = raw.clone();
    while !rest.is_empty() {
        if elements.len() == expected {
            return Err(BytesError::Count {
                expected,
                got: expected.saturating_add(1),
            });
        }
        let truncated = BytesError::Truncated {
            element: elements.len(),
        };
        let Some(length) = rest.first_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize) else {
            return Err(truncated);
        };
        let _length = rest.split_to(4);
        if rest.len() < length {
            return Err(truncated);
        }
        elements.push(rest.split_to(length));
    }
    if elements.len() == expected {
        Ok(elements)
    } else {
        Err(BytesError::Count {
            expected,
            got: elements.len(),
        })
    }
}

/// Joins elements into raw BYTES; `None` where one is longer than its length field can say.
pub fn join_bytes<T: AsRef<[u8]>>(elements: &[T]) -> Option<Bytes> {
    let total = elements.iter().map(|element| element.as_ref().len() + 4).sum();
    let mut raw = BytesMut::with_capacity(total);
    for element in elements {
        let element = element.as_ref();
        raw.put_u32_le(u32::try_from(element.len()).ok()?);
        raw.put_slice(element);
    }
    Some(raw.freeze())
}

/// What is wrong with typed contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// Elements in a field that is not the datatype's.
    #[error("{datatype} data belongs in {field}, but {other} is set")]
    WrongField {
        /// The tensor's datatype.
        datatype: Datatype,
        /// Where its elements belong.
        field: &'static str,
        /// A field that has elements.
        other: &'static str,
    },
    /// FP16 and BF16 have no typed field.
    #[error("{0} data can only be sent in raw_input_contents")]
    RawOnly(Datatype),
    /// An element is out of the datatype's range.
    #[error("element {element} is out of range for {datatype}")]
    Range {
        /// Index of the element.
        element: usize,
        /// The tensor's datatype.
        datatype: Datatype,
    },
}

/// Converts typed contents to raw form; answers the number of elements with it.
pub fn contents_to_raw(
    datatype: Datatype,
    contents: &InferTensorContents,
) -> Result<(usize, Bytes), ContentsError> {
    let field = field_of(datatype).ok_or(ContentsError::RawOnly(datatype))?;
    if let Some(other) = filled(contents).find(|name| *name != field) {
        return Err(ContentsError::WrongField {
            datatype,
            field,
            other,
        });
    }
    let ints = &contents.int_contents;
    let uints = &contents.uint_contents;
    Ok(match datatype {
        Datatype::Bool => {
            let raw = contents
                .bool_contents
                .iter()
                .map(|v| u8::from(*v))
                .collect::<Vec<_>>();
            (raw.len(), Bytes::from(raw))
        }
        Datatype::Int8 => narrow(datatype, ints, |v| i8::try_from(v).ok().map(i8::to_le_bytes))?,
        Datatype::Int16 => narrow(datatype, ints, |v| i16::try_from(v).ok().map(i16::to_le_bytes))?,
        Datatype::Int32 => narrow(datatype, ints, |v| Some(v.to_le_bytes()))?,
        Datatype::Int64 => narrow(datatype, &contents.int64_contents, |v| Some(v.to_le_bytes()))?,
        Datatype::Uint8 => narrow(datatype, uints, |v| u8::try_from(v).ok().map(u8::to_le_bytes))?,
        Datatype::Uint16 => narrow(datatype, uints, |v| u16::try_from(v).ok().map(u16::to_le_bytes))?,
        Datatype::Uint32 => narrow(datatype, uints, |v| Some(v.to_le_bytes()))?,
        Datatype::Uint64 => narrow(datatype, &contents.uint64_contents, |v| Some(v.to_le_bytes()))?,
        Datatype::Fp32 => narrow(datatype, &contents.fp32_contents, |v| Some(v.to_le_bytes()))?,
        Datatype::Fp64 => narrow(datatype, &contents.fp64_contents, |v| Some(v.to_le_bytes()))?,
        Datatype::Bytes => {
            let elements = &contents.bytes_contents;
            // A message of this size cannot have arrived; the range error is the honest one.
            let raw = join_bytes(elements).ok_or(ContentsError::Range { element: 0, datatype })?;
            (elements.len(), raw)
        }
        Datatype::Fp16 | Datatype::Bf16 => return Err(ContentsError::RawOnly(datatype)),
    })
}

fn narrow<T: Copy, const N: usize>(
    datatype: Datatype,
    values: &[T],
    convert: impl Fn(T) -> Option<[u8; N]>,
) -> Result<(usize, Bytes), ContentsError> {
    let mut raw = BytesMut::with_capacity(values.len() * N);
    for (element, value) in values.iter().enumerate() {
        raw.put_slice(&convert(*value).ok_or(ContentsError::Range { element, datatype })?);
    }
    Ok((values.len(), raw.freeze()))
}

fn field_of(datatype: Datatype) -> Option<&'static str> {
    Some(match datatype {
        Datatype::Bool => "bool_contents",
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => "int_contents",
        Datatype::Int64 => "int64_contents",
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => "uint_contents",
        Datatype::Uint64 => "uint64_contents",
        Datatype::Fp32 => "fp32_contents",
        Datatype::Fp64 => "fp64_contents",
        Datatype::Bytes => "bytes_contents",
        Datatype::Fp16 | Datatype::Bf16 => return None,
    })
}

fn filled(contents: &InferTensorContents) -> impl Iterator<Item = &'static str> {
    [
        ("bool_contents", contents.bool_contents.is_empty()),
        ("int_contents", contents.int_contents.is_empty()),
        ("int64_contents", contents.int64_contents.is_empty()),
        ("uint_contents", contents.uint_contents.is_empty()),
        ("uint64_contents", contents.uint64_contents.is_empty()),
        ("fp32_contents", contents.fp32_contents.is_empty()),
        ("fp64_contents", contents.fp64_contents.is_empty()),
        ("bytes_contents", contents.bytes_contents.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, empty)| (!empty).then_some(name))
}

#[cfg(test)]
mod tests;
