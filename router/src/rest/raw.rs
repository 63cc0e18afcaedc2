//! Raw tensors: what the bytes hold, and raw bytes from typed protobuf contents.

use api::{datatype::Datatype, inference::InferTensorContents};
use bytes::{Buf as _, Bytes};

/// Elements of a raw BYTES tensor: each has its length before it.
pub(super) fn strings(mut raw: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    std::iter::from_fn(move || {
        if raw.is_empty() {
            return None;
        }
        let rest = raw;
        let element = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((element, rest)) = element else {
            let length = raw.len();
            // Nothing can be read after a broken element.
            raw = &[];
            return Some(Err(format!(
                "an element of BYTES does not fit into the {length} bytes that are left"
            )));
        };
        raw = rest;
        Some(Ok(element))
    })
}

/// Typed contents as raw bytes; an error says what does not fit.
pub(super) fn from_typed(contents: &InferTensorContents, datatype: Datatype) -> Result<Bytes, String> {
    fn flat<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Bytes {
        values
            .iter()
            .flat_map(|&value| bytes(value))
            .collect::<Vec<u8>>()
            .into()
    }
    fn narrow<T: Copy, U: TryFrom<T>, const N: usize>(
        values: &[T],
        datatype: Datatype,
        bytes: impl Fn(U) -> [u8; N],
    ) -> Result<Bytes, String> {
        let narrow =
            |&value| U::try_from(value).map_err(|_| format!("a value is out of the range of {datatype}"));
        let mut raw = Vec::with_capacity(values.len().saturating_mul(N));
        for value in values {
            raw.extend_from_slice(&bytes(narrow(value)?));
        }
        Ok(raw.into())
    }
    Ok(match datatype {
        Datatype::Bool => flat(&contents.bool_contents, |value| [u8::from(value)]),
        Datatype::Uint8 => narrow(&contents.uint_contents, datatype, u8::to_le_bytes)?,
        Datatype::Uint16 => narrow(&contents.uint_contents, datatype, u16::to_le_bytes)?,
        Datatype::Uint32 => flat(&contents.uint_contents, u32::to_le_bytes),
        Datatype::Uint64 => flat(&contents.uint64_contents, u64::to_le_bytes),
        Datatype::Int8 => narrow(&contents.int_contents, datatype, i8::to_le_bytes)?,
        Datatype::Int16 => narrow(&contents.int_contents, datatype, i16::to_le_bytes)?,
        Datatype::Int32 => flat(&contents.int_contents, i32::to_le_bytes),
        Datatype::Int64 => flat(&contents.int64_contents, i64::to_le_bytes),
        Datatype::Fp32 => flat(&contents.fp32_contents, f32::to_le_bytes),
        Datatype::Fp64 => flat(&contents.fp64_contents, f64::to_le_bytes),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!(
                "{datatype} has no typed contents in the protocol, only raw ones"
            ));
        }
        Datatype::Bytes => {
            let size = contents
                .bytes_contents
                .iter()
                .map(|element| element.remaining() + 4)
                .sum();
            let mut raw = Vec::with_capacity(size);
            for element in &contents.bytes_contents {
                let length = u32::try_from(element.len()).map_err(|_| "an element is too long".to_owned())?;
                raw.extend_from_slice(&length.to_le_bytes());
                raw.extend_from_slice(element);
            }
            raw.into()
        }
    })
}
