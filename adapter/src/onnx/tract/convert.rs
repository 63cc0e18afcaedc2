//! Between V2's raw tensors and the engine's.

use std::borrow::Cow;

use api::datatype::Datatype;
use bytes::Bytes;
use tract_onnx::{pb::tensor_proto::DataType, tract_hir::internal::*};

use crate::onnx::tensor::{self, Tensor as V2Tensor};

/// V2's name of an engine type.
pub(super) fn datatype(datum_type: DatumType) -> Option<Datatype> {
    Some(match datum_type {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        // Shapes are symbolic inside the engine, and integers when they leave it.
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        DatumType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// V2's name of an ONNX element type.
pub(super) fn onnx_datatype(elem_type: i32) -> Option<Datatype> {
    let elem_type = DataType::try_from(elem_type).ok()?;
    datatype(DatumType::try_from(elem_type).ok()?)
}

/// The engine's type of a V2 datatype.
fn datum_type(datatype: Datatype) -> Option<DatumType> {
    Some(match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bytes => DatumType::String,
        Datatype::Bf16 => return None,
    })
}

/// Fixed-size elements from little-endian bytes; `$from` makes one of them.
macro_rules! elements {
    ($raw:expr, $size:literal, $from:expr) => {{
        let (chunks, rest) = $raw.as_chunks::<$size>();
        ensure!(rest.is_empty(), "raw data ends inside an element");
        chunks.iter().map(|chunk| $from(*chunk)).collect::<Vec<_>>()
    }};
}

/// A V2 tensor as the engine's.
pub(super) fn from_v2(input: &V2Tensor) -> TractResult<Tensor> {
    let (shape, raw) = (input.shape.as_slice(), &input.raw);
    Ok(match input.datatype {
        Datatype::Bool => array(shape, raw.iter().map(|byte| *byte != 0).collect())?,
        Datatype::Uint8 => array(shape, raw.to_vec())?,
        Datatype::Int8 => array(shape, elements!(raw, 1, i8::from_le_bytes))?,
        Datatype::Uint16 => array(shape, elements!(raw, 2, u16::from_le_bytes))?,
        Datatype::Int16 => array(shape, elements!(raw, 2, i16::from_le_bytes))?,
        Datatype::Uint32 => array(shape, elements!(raw, 4, u32::from_le_bytes))?,
        Datatype::Int32 => array(shape, elements!(raw, 4, i32::from_le_bytes))?,
        Datatype::Uint64 => array(shape, elements!(raw, 8, u64::from_le_bytes))?,
        Datatype::Int64 => array(shape, elements!(raw, 8, i64::from_le_bytes))?,
        Datatype::Fp16 => array(shape, elements!(raw, 2, f16::from_le_bytes))?,
        Datatype::Fp32 => array(shape, elements!(raw, 4, f32::from_le_bytes))?,
        Datatype::Fp64 => array(shape, elements!(raw, 8, f64::from_le_bytes))?,
        Datatype::Bf16 => bail!("the engine has no BF16"),
        Datatype::Bytes => {
            let count = tensor::element_count(shape).context("shape overflows")?;
            let elements = tensor::split_bytes(raw, count)?;
            let strings = elements
                .iter()
                .map(|element| Ok(std::str::from_utf8(element)?.to_owned()));
            array(shape, strings.collect::<TractResult<Vec<String>>>()?)?
        }
    })
}

fn array<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into())
}

/// Raw little-endian bytes of fixed-size elements.
macro_rules! raw {
    ($tensor:expr, $type:ty) => {{
        let elements = $tensor.try_as_plain_ram()?.as_slice::<$type>()?;
        let mut raw = Vec::with_capacity(size_of_val(elements));
        for element in elements {
            raw.extend_from_slice(&element.to_le_bytes());
        }
        Bytes::from(raw)
    }};
}

/// An engine's tensor as V2's, with this datatype.
pub(super) fn to_v2(value: &Tensor, datatype: Datatype) -> TractResult<V2Tensor> {
    let wanted = datum_type(datatype).context("no such type")?;
    let value = if value.datum_type() == wanted {
        Cow::Borrowed(value)
    } else {
        value.cast_to_dt(wanted)?
    };
    let raw = match datatype {
        Datatype::Bool => {
            let elements = value.try_as_plain_ram()?.as_slice::<bool>()?;
            elements.iter().map(|element| u8::from(*element)).collect()
        }
        Datatype::Uint8 => raw!(value, u8),
        Datatype::Int8 => raw!(value, i8),
        Datatype::Uint16 => raw!(value, u16),
        Datatype::Int16 => raw!(value, i16),
        Datatype::Uint32 => raw!(value, u32),
        Datatype::Int32 => raw!(value, i32),
        Datatype::Uint64 => raw!(value, u64),
        Datatype::Int64 => raw!(value, i64),
        Datatype::Fp16 => raw!(value, f16),
        Datatype::Fp32 => raw!(value, f32),
        Datatype::Fp64 => raw!(value, f64),
        Datatype::Bytes => {
            let elements = value.try_as_plain_ram()?.as_slice::<String>()?;
            tensor::join_bytes(elements).context("a string is longer than 4 GiB")?
        }
        Datatype::Bf16 => bail!("the engine has no BF16"),
    };
    Ok(V2Tensor {
        datatype,
        shape: value.shape().to_vec(),
        raw,
    })
}
