//! Between V2's raw tensors and ONNX Runtime's. Inputs are views of the request's bytes where these are aligned;
//! outputs are copied once.

use std::fmt;

use api::datatype::Datatype;
use bytes::Bytes;
use half::{bf16, f16};
use ort::{
    session::SessionInputValue,
    value::{DynValue, PrimitiveTensorElementType, Tensor as OrtTensor, TensorRef, ValueType},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes as _};

use super::{element, reason::reason};
use crate::onnx::{
    engine::RunError,
    tensor::{self, Tensor},
};

// V2's raw form is little-endian, and its bytes are taken for numbers as they are.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "numbers would have to be turned around"
);

/// The engine's error as the answer to a request.
pub(super) fn refused<R>(error: &ort::Error<R>) -> RunError {
    RunError::Refused {
        reason: reason(error),
    }
}

fn broken(reason: &str) -> RunError {
    RunError::Refused {
        reason: reason.to_owned(),
    }
}

/// A checked V2 tensor as an input of a session.
pub(super) fn input(tensor: &Tensor) -> Result<SessionInputValue<'_>, RunError> {
    let (shape, raw) = (tensor.shape.as_slice(), &tensor.raw);
    match tensor.datatype {
        Datatype::Bool => {
            let elements =
                <[bool]>::try_ref_from_bytes(raw).map_err(|_| broken("a BOOL element is neither 0 nor 1"))?;
            TensorRef::from_array_view((shape, elements)).map(Into::into)
        }
        Datatype::Uint8 => numbers::<u8>(shape, raw),
        Datatype::Uint16 => numbers::<u16>(shape, raw),
        Datatype::Uint32 => numbers::<u32>(shape, raw),
        Datatype::Uint64 => numbers::<u64>(shape, raw),
        Datatype::Int8 => numbers::<i8>(shape, raw),
        Datatype::Int16 => numbers::<i16>(shape, raw),
        Datatype::Int32 => numbers::<i32>(shape, raw),
        Datatype::Int64 => numbers::<i64>(shape, raw),
        Datatype::Fp16 => numbers::<f16>(shape, raw),
        Datatype::Bf16 => numbers::<bf16>(shape, raw),
        Datatype::Fp32 => numbers::<f32>(shape, raw),
        Datatype::Fp64 => numbers::<f64>(shape, raw),
        Datatype::Bytes => return strings(shape, raw),
    }
    .map_err(|error| refused(&error))
}

fn numbers<'a, T>(shape: &'a [usize], raw: &'a [u8]) -> ort::Result<SessionInputValue<'a>>
where
    T: PrimitiveTensorElementType + FromBytes + Immutable + KnownLayout + Clone + fmt::Debug + 'static,
{
    if let Ok(elements) = <[T]>::ref_from_bytes(raw) {
        return TensorRef::from_array_view((shape, elements)).map(Into::into);
    }
    // A message puts its tensors wherever they come to lie.
    let elements = raw.chunks_exact(size_of::<T>());
    let elements = elements.filter_map(|element| T::read_from_bytes(element).ok());
    OrtTensor::from_array((shape, elements.collect::<Vec<_>>())).map(Into::into)
}

fn strings(shape: &[usize], raw: &Bytes) -> Result<SessionInputValue<'static>, RunError> {
    let count = tensor::element_count(shape).ok_or_else(|| broken("the shape overflows"))?;
    let elements = tensor::split_bytes(raw, count).map_err(|error| broken(&error.to_string()))?;
    let mut strings = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let text = std::str::from_utf8(element).map_err(|_| broken("a string is not UTF-8"))?;
        if text.contains('\0') {
            return Err(broken(&format!(
                "element {index} holds a NUL, at which ONNX Runtime would end it"
            )));
        }
        strings.push(text.to_owned());
    }
    OrtTensor::from_string_array((shape, strings.as_slice()))
        .map(Into::into)
        .map_err(|error| refused(&error))
}

/// An output of a session as a V2 tensor.
pub(super) fn output(value: &DynValue) -> Result<Tensor, RunError> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(broken("the model answered something that is no tensor"));
    };
    let Some(datatype) = element::datatype(*ty) else {
        return Err(broken(&format!(
            "the model answered elements of type {ty}, which V2 lacks"
        )));
    };
    match datatype {
        Datatype::Bool => extract::<bool>(datatype, value),
        Datatype::Uint8 => extract::<u8>(datatype, value),
        Datatype::Uint16 => extract::<u16>(datatype, value),
        Datatype::Uint32 => extract::<u32>(datatype, value),
        Datatype::Uint64 => extract::<u64>(datatype, value),
        Datatype::Int8 => extract::<i8>(datatype, value),
        Datatype::Int16 => extract::<i16>(datatype, value),
        Datatype::Int32 => extract::<i32>(datatype, value),
        Datatype::Int64 => extract::<i64>(datatype, value),
        Datatype::Fp16 => extract::<f16>(datatype, value),
        Datatype::Bf16 => extract::<bf16>(datatype, value),
        Datatype::Fp32 => extract::<f32>(datatype, value),
        Datatype::Fp64 => extract::<f64>(datatype, value),
        Datatype::Bytes => {
            let (shape, strings) = value.try_extract_strings().map_err(|error| refused(&error))?;
            let raw = tensor::join_bytes(&strings).ok_or_else(|| broken("a string is longer than 4 GiB"))?;
            Ok(Tensor {
                datatype,
                shape: extents(shape),
                raw,
            })
        }
    }
}

fn extract<T>(datatype: Datatype, value: &DynValue) -> Result<Tensor, RunError>
where
    T: PrimitiveTensorElementType + IntoBytes + Immutable,
{
    let (shape, elements) = value.try_extract_tensor::<T>().map_err(|error| refused(&error))?;
    Ok(Tensor {
        datatype,
        shape: extents(shape),
        raw: Bytes::copy_from_slice(elements.as_bytes()),
    })
}

/// Extents of a value that exists, which are never negative.
fn extents(shape: &[i64]) -> Vec<usize> {
    shape
        .iter()
        .map(|extent| usize::try_from(*extent).unwrap_or(0))
        .collect()
}
