//! Element types: V2's and ONNX Runtime's.

use api::datatype::Datatype;
use ort::value::{TensorElementType, ValueType};

use crate::onnx::engine::{Dim, TensorInfo};

/// V2's name of an element type; `None` for those that V2 lacks.
pub(super) fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// Element type and dimensions of a model's input or output; the error says why V2 cannot carry it.
pub(super) fn tensor_info(name: &str, value: &ValueType) -> Result<TensorInfo, String> {
    let ValueType::Tensor {
        ty,
        shape,
        dimension_symbols,
    } = value
    else {
        return Err(format!("{name:?} is no tensor, and V2 carries nothing else"));
    };
    let Some(datatype) = datatype(*ty) else {
        return Err(format!("{name:?} has elements of type {ty}, which V2 lacks"));
    };
    let symbols = dimension_symbols
        .iter()
        .map(String::as_str)
        .chain(std::iter::repeat(""));
    let dim = |(extent, symbol): (&i64, &str)| match usize::try_from(*extent) {
        Ok(extent) => Dim::Fixed(extent),
        Err(_) if symbol.is_empty() => Dim::Any,
        Err(_) => Dim::Named(symbol.to_owned()),
    };
    Ok(TensorInfo {
        name: name.to_owned(),
        datatype,
        dims: shape.iter().zip(symbols).map(dim).collect(),
    })
}
