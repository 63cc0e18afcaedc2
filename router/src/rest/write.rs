//! JSON text: strings, numbers, elements of raw tensors.

use api::{
    datatype::Datatype,
    inference::{InferParameter, infer_parameter::ParameterChoice},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes};
use half::{bf16, f16};

use super::{parameter::Parameters, raw, tensor};

/// A string in quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.put_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.put_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.put_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
}

/// `"key":` of an object, with the comma that separates it from the one before.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), None | Some(b'{' | b'[')) {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

/// Elements in brackets, separated by commas.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, value) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, value);
    }
    out.push(b']');
}

pub(super) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `"parameters":{..}` sorted by name, if there are any.
pub(super) fn parameters(out: &mut Vec<u8>, parameters: &Parameters) {
    if parameters.is_empty() {
        return;
    }
    key(out, "parameters");
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_str());
    out.push(b'{');
    for (name, value) in sorted {
        key(out, name);
        parameter(out, value);
    }
    out.push(b'}');
}

fn parameter(out: &mut Vec<u8>, value: &InferParameter) {
    match &value.parameter_choice {
        Some(ParameterChoice::BoolParam(value)) => out.put_slice(if *value { b"true" } else { b"false" }),
        Some(ParameterChoice::Int64Param(value)) => integer(out, *value),
        Some(ParameterChoice::Uint64Param(value)) => integer(out, *value),
        Some(ParameterChoice::StringParam(value)) => string(out, value),
        Some(ParameterChoice::DoubleParam(value)) if value.is_finite() => {
            out.put_slice(zmij::Buffer::new().format_finite(*value).as_bytes());
        }
        // JSON has no other way to say that there is no such number.
        Some(ParameterChoice::DoubleParam(_)) | None => out.put_slice(b"null"),
    }
}

/// A raw tensor that was checked against its shape.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    datatype: Datatype,
    rest: &'a [u8],
    base64: bool,
}

impl<'a> Elements<'a> {
    /// `base64` asks for base64 strings; strings that are not UTF-8 become base64 unasked.
    pub(super) fn new(
        raw: &'a Bytes,
        datatype: Datatype,
        shape: &[i64],
        base64: bool,
    ) -> Result<Self, String> {
        let expected = tensor::elements(shape).map_err(|error| error.to_string())?;
        let mut base64 = base64 && datatype == Datatype::Bytes;
        if let Some(size) = datatype.size() {
            if expected.checked_mul(size) != Some(raw.len()) {
                let got = raw.len();
                return Err(format!(
                    "shape {shape:?} of {datatype} takes {expected} times {size} bytes, the model answered {got}"
                ));
            }
        } else {
            let mut count = 0_usize;
            for element in raw::strings(raw) {
                base64 |= std::str::from_utf8(element?).is_err();
                count += 1;
            }
            if count != expected {
                return Err(format!(
                    "shape {shape:?} takes {expected} elements, the model answered {count}"
                ));
            }
        }
        Ok(Self {
            datatype,
            rest: raw,
            base64,
        })
    }

    /// Are strings written as base64?
    pub(super) fn is_base64(&self) -> bool {
        self.base64
    }

    /// Writes all that is left as a flat list.
    pub(super) fn flat(mut self, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'[');
        while !self.rest.is_empty() {
            self.next(out)?;
            out.push(b',');
        }
        if out.last() == Some(&b',') {
            out.pop();
        }
        out.push(b']');
        Ok(())
    }

    /// Writes the next elements as arrays of these dimensions.
    pub(super) fn nested(&mut self, dimensions: &[i64], out: &mut Vec<u8>) -> Result<(), String> {
        let Some((&size, inner)) = dimensions.split_first() else {
            return self.next(out);
        };
        out.push(b'[');
        for index in 0..size {
            if index > 0 {
                out.push(b',');
            }
            self.nested(inner, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        match self.datatype {
            Datatype::Bool => {
                let [value] = self.take()?;
                out.put_slice(if value == 0 { b"false" } else { b"true" });
            }
            Datatype::Uint8 => integer(out, u8::from_le_bytes(self.take()?)),
            Datatype::Uint16 => integer(out, u16::from_le_bytes(self.take()?)),
            Datatype::Uint32 => integer(out, u32::from_le_bytes(self.take()?)),
            Datatype::Uint64 => integer(out, u64::from_le_bytes(self.take()?)),
            Datatype::Int8 => integer(out, i8::from_le_bytes(self.take()?)),
            Datatype::Int16 => integer(out, i16::from_le_bytes(self.take()?)),
            Datatype::Int32 => integer(out, i32::from_le_bytes(self.take()?)),
            Datatype::Int64 => integer(out, i64::from_le_bytes(self.take()?)),
            Datatype::Fp16 => float(out, f16::from_le_bytes(self.take()?).to_f32())?,
            Datatype::Bf16 => float(out, bf16::from_le_bytes(self.take()?).to_f32())?,
            Datatype::Fp32 => float(out, f32::from_le_bytes(self.take()?))?,
            Datatype::Fp64 => double(out, f64::from_le_bytes(self.take()?))?,
            Datatype::Bytes => {
                let length = u32::from_le_bytes(self.take()?);
                let split = usize::try_from(length)
                    .ok()
                    .and_then(|length| self.rest.split_at_checked(length));
                let (element, rest) = split.ok_or_else(exhausted)?;
                self.rest = rest;
                match std::str::from_utf8(element) {
                    Ok(text) if !self.base64 => string(out, text),
                    _ => string(out, &BASE64_STANDARD.encode(element)),
                }
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (element, rest) = self.rest.split_first_chunk().ok_or_else(exhausted)?;
        self.rest = rest;
        Ok(*element)
    }
}

fn exhausted() -> String {
    "the model answered fewer bytes than its shape says".to_owned()
}

fn float(out: &mut Vec<u8>, value: f32) -> Result<(), String> {
    if !value.is_finite() {
        return Err(not_finite(f64::from(value)));
    }
    out.put_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    Ok(())
}

fn double(out: &mut Vec<u8>, value: f64) -> Result<(), String> {
    if !value.is_finite() {
        return Err(not_finite(value));
    }
    out.put_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    Ok(())
}

fn not_finite(value: f64) -> String {
    format!("JSON cannot carry {value}; ask for this output with the parameter binary_data")
}
