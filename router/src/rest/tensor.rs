//! `data` of a JSON tensor, parsed straight to raw little-endian bytes.

use api::datatype::Datatype;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use half::{bf16, f16};

use super::{
    decode::DecodeError,
    json::{Cursor, SyntaxError},
    number::Number,
};

/// The standard alphabet; padding may be left out, as some encoders do.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What `data` must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) datatype: Datatype,
    pub(super) shape: &'a [i64],
    /// Product of the shape.
    pub(super) elements: usize,
    /// Strings of a BYTES tensor are base64.
    pub(super) base64: bool,
    /// Largest number of raw bytes.
    pub(super) limit: usize,
}

/// Product of the dimensions; an error where one is negative or the product cannot be counted.
pub(super) fn elements(shape: &[i64]) -> Result<usize, DecodeError> {
    let invalid = |why: &str| DecodeError::Invalid(format!("shape {shape:?} {why}"));
    let dimensions: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let dimensions =
        dimensions.ok_or_else(|| invalid("has a negative dimension; the shape of data is always known"))?;
    if dimensions.contains(&0) {
        return Ok(0);
    }
    let product = dimensions
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    product.ok_or_else(|| invalid("has more elements than can be counted"))
}

/// Parses the array under the cursor.
pub(super) fn parse(cursor: &mut Cursor<'_>, expected: &Expected<'_>) -> Result<Vec<u8>, DecodeError> {
    match expected.datatype {
        Datatype::Bool => fixed(cursor, expected, |cursor, out| {
            out.push(u8::from(cursor.bool()?));
            Ok(())
        }),
        Datatype::Uint8 => integers::<u8, 1>(cursor, expected, u8::to_le_bytes),
        Datatype::Uint16 => integers::<u16, 2>(cursor, expected, u16::to_le_bytes),
        Datatype::Uint32 => integers::<u32, 4>(cursor, expected, u32::to_le_bytes),
        Datatype::Uint64 => integers::<u64, 8>(cursor, expected, u64::to_le_bytes),
        Datatype::Int8 => integers::<i8, 1>(cursor, expected, i8::to_le_bytes),
        Datatype::Int16 => integers::<i16, 2>(cursor, expected, i16::to_le_bytes),
        Datatype::Int32 => integers::<i32, 4>(cursor, expected, i32::to_le_bytes),
        Datatype::Int64 => integers::<i64, 8>(cursor, expected, i64::to_le_bytes),
        Datatype::Fp16 => floats(cursor, expected, |number| number.half().map(f16::to_le_bytes)),
        Datatype::Bf16 => floats(cursor, expected, |number| number.brain().map(bf16::to_le_bytes)),
        Datatype::Fp32 => floats(cursor, expected, |number| number.single().map(f32::to_le_bytes)),
        Datatype::Fp64 => floats(cursor, expected, |number| number.double().map(f64::to_le_bytes)),
        Datatype::Bytes => strings(cursor, expected),
    }
}

fn integers<T: TryFrom<i128>, const N: usize>(
    cursor: &mut Cursor<'_>,
    expected: &Expected<'_>,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, DecodeError> {
    fixed(cursor, expected, |cursor, out| {
        let number = cursor.number()?;
        let Some(value) = number.integer::<T>() else {
            return Err(out_of_range(&number, expected.datatype));
        };
        out.extend_from_slice(&bytes(value));
        Ok(())
    })
}

fn floats<const N: usize>(
    cursor: &mut Cursor<'_>,
    expected: &Expected<'_>,
    bytes: impl Fn(&Number<'_>) -> Option<[u8; N]>,
) -> Result<Vec<u8>, DecodeError> {
    fixed(cursor, expected, |cursor, out| {
        let number = cursor.number()?;
        let Some(value) = bytes(&number) else {
            return Err(out_of_range(&number, expected.datatype));
        };
        out.extend_from_slice(&value);
        Ok(())
    })
}

#[cold]
fn out_of_range(number: &Number<'_>, datatype: Datatype) -> DecodeError {
    let shown = number.shown();
    let integers = !matches!(
        datatype,
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64
    );
    DecodeError::Invalid(if integers && !number.is_integer() {
        format!("{shown} is not an integer, {datatype} takes only integers")
    } else {
        format!("{shown} is out of the range of {datatype}")
    })
}

/// Elements of one size.
fn fixed(
    cursor: &mut Cursor<'_>,
    expected: &Expected<'_>,
    mut element: impl FnMut(&mut Cursor<'_>, &mut Vec<u8>) -> Result<(), DecodeError>,
) -> Result<Vec<u8>, DecodeError> {
    let size = expected.datatype.size().unwrap_or(1);
    let mut out = Vec::with_capacity(room(cursor, size, expected)?);
    let nested = match opening(cursor)? {
        (0, _) if expected.shape.is_empty() => {
            element(cursor, &mut out)?;
            return Ok(out);
        }
        (0, _) => return Err(not_an_array()),
        (1, _) => false,
        _ => true,
    };
    walk(cursor, expected, nested, &mut |cursor| element(cursor, &mut out))?;
    Ok(out)
}

/// Elements that are strings, or arrays of byte values.
fn strings(cursor: &mut Cursor<'_>, expected: &Expected<'_>) -> Result<Vec<u8>, DecodeError> {
    // A length before each.
    let least = room(cursor, 4, expected)?;
    let mut out = Vec::with_capacity(least.saturating_mul(2).min(cursor.remaining()));
    let mut element = |cursor: &mut Cursor<'_>| {
        string(cursor, expected, &mut out)?;
        if out.len() > expected.limit {
            Err(too_large(expected))
        } else {
            Ok(())
        }
    };
    let rank = expected.shape.len();
    let nested = match opening(cursor)? {
        (0, Some(b'"')) if rank == 0 => {
            element(cursor)?;
            return Ok(out);
        }
        (0, _) => return Err(not_an_array()),
        // Strings one level down, or byte values two levels down, are a flat list.
        (1, _) => false,
        (2, Some(b'"')) => true,
        (2, _) => rank == 2 && expected.elements == 0,
        _ => true,
    };
    walk(cursor, expected, nested, &mut element)?;
    Ok(out)
}

/// Bytes for the elements, within the limit. An element takes a digit and a comma at least, so a small body cannot ask
/// for a large buffer; it is parsed anyway, because how many elements it has is worth an error that says so.
fn room(cursor: &Cursor<'_>, size: usize, expected: &Expected<'_>) -> Result<usize, DecodeError> {
    let possible = cursor.remaining() / 2 + 1;
    if expected.elements > possible {
        return Ok(possible.saturating_mul(size).min(expected.limit));
    }
    let bytes = expected
        .elements
        .checked_mul(size)
        .filter(|&bytes| bytes <= expected.limit);
    bytes.ok_or_else(|| too_large(expected))
}

fn string(cursor: &mut Cursor<'_>, expected: &Expected<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match cursor.peek() {
        Some(b'[') => cursor.array(|cursor| {
            let number = cursor.number()?;
            let byte = number.integer::<u8>();
            out.push(
                byte.ok_or_else(|| DecodeError::Invalid(format!("{} is not a byte value", number.shown())))?,
            );
            Ok::<_, DecodeError>(())
        })?,
        Some(b'"') => {
            let text = cursor.string()?;
            if expected.base64 {
                BASE64.decode_vec(text.as_bytes(), out).map_err(|error| {
                    DecodeError::Invalid(format!(
                        "an element is not base64, which content_type promises: {error}"
                    ))
                })?;
            } else {
                out.extend_from_slice(text.as_bytes());
            }
        }
        _ => {
            return Err(DecodeError::Invalid(
                "elements of BYTES are strings, or arrays of byte values from 0 to 255".to_owned(),
            ));
        }
    }
    let length = u32::try_from(out.len() - start - 4).map_err(|_| too_large(expected))?;
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}

/// How many brackets open before the first element, and how that begins; consumes nothing.
fn opening(cursor: &Cursor<'_>) -> Result<(usize, Option<u8>), SyntaxError> {
    let mut ahead = cursor.clone();
    let mut brackets = 0;
    // More brackets than that are too many whatever the shape.
    while brackets < super::decode::MAX_RANK + 2 && ahead.eat(b'[') {
        brackets += 1;
    }
    match ahead.peek() {
        None => ahead.error("data does not end"),
        first => Ok((brackets, first)),
    }
}

fn not_an_array() -> DecodeError {
    DecodeError::Invalid("data must be an array".to_owned())
}

/// Walks the array and counts; elements are consumed by `element`.
fn walk<F: FnMut(&mut Cursor<'_>) -> Result<(), DecodeError>>(
    cursor: &mut Cursor<'_>,
    expected: &Expected<'_>,
    nested: bool,
    element: &mut F,
) -> Result<(), DecodeError> {
    if nested {
        if expected.shape.len() < 2 {
            return Err(DecodeError::Invalid(format!(
                "data is nested, but shape {:?} has {} dimensions",
                expected.shape,
                expected.shape.len()
            )));
        }
        return level(cursor, expected, 0, element);
    }
    let count = row(cursor, expected.elements, element)?;
    if count == expected.elements {
        return Ok(());
    }
    let got = if count > expected.elements {
        "more".to_owned()
    } else {
        count.to_string()
    };
    Err(DecodeError::Invalid(format!(
        "shape {:?} takes {} elements, but data has {got}",
        expected.shape, expected.elements
    )))
}

/// One array of elements; stops after the first that is too many, and counts it.
fn row<F: FnMut(&mut Cursor<'_>) -> Result<(), DecodeError>>(
    cursor: &mut Cursor<'_>,
    most: usize,
    element: &mut F,
) -> Result<usize, DecodeError> {
    let mut count = 0;
    let done = cursor.array(|cursor| {
        count += 1;
        if count > most {
            Err(Stop::TooMany)
        } else {
            element(cursor).map_err(Stop::Error)
        }
    });
    match done {
        Ok(()) | Err(Stop::TooMany) => Ok(count),
        Err(Stop::Error(error)) => Err(error),
    }
}

enum Stop {
    TooMany,
    Error(DecodeError),
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Error(error.into())
    }
}

/// The array of one dimension and those in it. Recursion ends at the rank, which is bounded.
fn level<F: FnMut(&mut Cursor<'_>) -> Result<(), DecodeError>>(
    cursor: &mut Cursor<'_>,
    expected: &Expected<'_>,
    dimension: usize,
    element: &mut F,
) -> Result<(), DecodeError> {
    let shape = expected.shape;
    let size = shape
        .get(dimension)
        .and_then(|&size| usize::try_from(size).ok())
        .unwrap_or(0);
    if cursor.peek() != Some(b'[') {
        return Err(DecodeError::Invalid(format!(
            "data is nested to {dimension} levels somewhere, but shape {shape:?} has {}",
            shape.len()
        )));
    }
    let last = dimension + 1 == shape.len();
    let count = row(cursor, size, &mut |cursor| match cursor.peek() {
        _ if !last => level(cursor, expected, dimension + 1, element),
        Some(b'[') if expected.datatype != Datatype::Bytes => Err(DecodeError::Invalid(format!(
            "data is nested deeper than the {} levels of shape {shape:?}",
            shape.len()
        ))),
        _ => element(cursor),
    })?;
    if count == size {
        return Ok(());
    }
    let got = if count > size {
        "more".to_owned()
    } else {
        count.to_string()
    };
    Err(DecodeError::Invalid(format!(
        "dimension {dimension} of shape {shape:?} is {size}, but an array of data has {got} elements there"
    )))
}

#[cold]
fn too_large(expected: &Expected<'_>) -> DecodeError {
    DecodeError::TooLarge(format!(
        "{} of shape {:?} takes more than the limit of {} bytes",
        expected.datatype, expected.shape, expected.limit
    ))
}

#[cfg(test)]
mod tests;
