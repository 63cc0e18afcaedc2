//! Checks a V2 request against a model's declared tensors, before anything runs.

use api::{
    datatype::Datatype,
    inference::{ModelInferRequest, model_infer_request::InferInputTensor},
};
use bytes::Bytes;

use super::{
    engine::{Dim, TensorInfo},
    tensor::{self, BytesError, ContentsError, Tensor},
};

/// Why a request does not fit the model. The text names tensor, expected and got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum CheckError {
    #[error("unknown input {name:?}; the model's inputs are {}", quoted(known))]
    UnknownInput { name: String, known: Vec<String> },
    #[error("input {name:?} is missing; the model's inputs are {}", quoted(known))]
    MissingInput { name: String, known: Vec<String> },
    #[error("input {name:?} is there twice")]
    DuplicateInput { name: String },
    #[error("unknown output {name:?}; the model's outputs are {}", quoted(known))]
    UnknownOutput { name: String, known: Vec<String> },
    #[error("output {name:?} is asked for twice")]
    DuplicateOutput { name: String },
    #[error("input {name:?}: expected datatype {expected}, got {got:?}")]
    Datatype {
        name: String,
        expected: Datatype,
        got: String,
    },
    #[error("input {name:?}: expected shape {expected}, got {got:?}")]
    Shape {
        name: String,
        expected: String,
        got: Vec<i64>,
    },
    #[error(
        "input {name:?}: dimension {axis} ({dim:?}) is {got}, but {expected} in input {other:?}; they must agree"
    )]
    Disagree {
        name: String,
        axis: usize,
        dim: String,
        got: usize,
        expected: usize,
        other: String,
    },
    #[error("input {name:?}: shape {shape:?} has more elements than can be addressed")]
    TooLarge { name: String, shape: Vec<i64> },
    #[error(
        "input {name:?}: shape {shape:?} of {datatype} takes {expected} bytes, got {got} in raw_input_contents"
    )]
    RawLength {
        name: String,
        shape: Vec<i64>,
        datatype: Datatype,
        expected: usize,
        got: usize,
    },
    #[error("input {name:?}: shape {shape:?} has {expected} elements, got {got}")]
    Count {
        name: String,
        shape: Vec<i64>,
        expected: usize,
        got: usize,
    },
    #[error("input {name:?}: {error}")]
    Bytes { name: String, error: BytesError },
    #[error("input {name:?}: element {element} is not valid UTF-8, which ONNX strings must be")]
    Utf8 { name: String, element: usize },
    #[error("input {name:?}: {error}")]
    Contents { name: String, error: ContentsError },
    #[error("input {name:?}: BOOL element {element} is {got}, expected 0 or 1")]
    Bool { name: String, element: usize, got: u8 },
    #[error("raw_input_contents has {got} entries for {expected} inputs")]
    RawEntries { expected: usize, got: usize },
    #[error("input {name:?} has typed contents beside raw_input_contents; use one of the two for all inputs")]
    Mixed { name: String },
}

/// A request that fits: inputs in the model's order, and indices of the outputs to answer.
#[derive(Debug)]
pub struct Checked {
    /// Aligned with the model's inputs.
    pub inputs: Vec<Tensor>,
    /// Indices into the model's outputs, in the order asked for.
    pub outputs: Vec<usize>,
}

/// Checks `request` against the model's declared tensors and puts it in the model's order.
pub fn check(
    inputs: &[TensorInfo],
    outputs: &[TensorInfo],
    request: &ModelInferRequest,
) -> Result<Checked, CheckError> {
    let raw = &request.raw_input_contents;
    if !raw.is_empty() {
        if raw.len() != request.inputs.len() {
            return Err(CheckError::RawEntries {
                expected: request.inputs.len(),
                got: raw.len(),
            });
        }
        if let Some(mixed) = request.inputs.iter().find(|input| has_contents(input)) {
            return Err(CheckError::Mixed {
                name: clip(&mixed.name),
            });
        }
    }
    let mut ordered: Vec<Option<Tensor>> = vec![None; inputs.len()];
    for (index, input) in request.inputs.iter().enumerate() {
        let Some(position) = inputs.iter().position(|info| info.name == input.name) else {
            return Err(CheckError::UnknownInput {
                name: clip(&input.name),
                known: names(inputs),
            });
        };
        // `position` comes from an iteration over `inputs`, which has the length of `ordered`.
        let slot = &mut ordered[position];
        if slot.is_some() {
            return Err(CheckError::DuplicateInput {
                name: input.name.clone(),
            });
        }
        *slot = Some(check_input(&inputs[position], input, raw.get(index))?);
    }
    let mut tensors = Vec::with_capacity(inputs.len());
    for (info, tensor) in inputs.iter().zip(ordered) {
        let missing = || CheckError::MissingInput {
            name: info.name.clone(),
            known: names(inputs),
        };
        tensors.push(tensor.ok_or_else(missing)?);
    }
    check_agreement(inputs, &tensors)?;
    Ok(Checked {
        inputs: tensors,
        outputs: wanted(outputs, request)?,
    })
}

fn wanted(outputs: &[TensorInfo], request: &ModelInferRequest) -> Result<Vec<usize>, CheckError> {
    if request.outputs.is_empty() {
        return Ok((0..outputs.len()).collect());
    }
    let mut wanted = Vec::with_capacity(request.outputs.len().min(outputs.len()));
    for output in &request.outputs {
        let Some(position) = outputs.iter().position(|info| info.name == output.name) else {
            return Err(CheckError::UnknownOutput {
                name: clip(&output.name),
                known: names(outputs),
            });
        };
        if wanted.contains(&position) {
            return Err(CheckError::DuplicateOutput {
                name: output.name.clone(),
            });
        }
        wanted.push(position);
    }
    Ok(wanted)
}

fn check_input(
    info: &TensorInfo,
    input: &InferInputTensor,
    raw: Option<&Bytes>,
) -> Result<Tensor, CheckError> {
    let name = || info.name.clone();
    if input.datatype != info.datatype.as_str() {
        return Err(CheckError::Datatype {
            name: name(),
            expected: info.datatype,
            got: clip(&input.datatype),
        });
    }
    let shape = check_shape(info, &input.shape)?;
    let too_large = || CheckError::TooLarge {
        name: name(),
        shape: input.shape.clone(),
    };
    let count = tensor::element_count(&shape).ok_or_else(too_large)?;
    let raw = if let Some(raw) = raw {
        if let Some(size) = info.datatype.size() {
            let expected = count.checked_mul(size).ok_or_else(too_large)?;
            if raw.len() != expected {
                let (shape, datatype, got) = (input.shape.clone(), info.datatype, raw.len());
                return Err(CheckError::RawLength {
                    name: name(),
                    shape,
                    datatype,
                    expected,
                    got,
                });
            }
        }
        raw.clone()
    } else {
        let empty = api::inference::InferTensorContents::default();
        let contents = input.contents.as_ref().unwrap_or(&empty);
        let (got, raw) = tensor::contents_to_raw(info.datatype, contents)
            .map_err(|error| CheckError::Contents { name: name(), error })?;
        if got != count {
            let shape = input.shape.clone();
            return Err(CheckError::Count {
                name: name(),
                shape,
                expected: count,
                got,
            });
        }
        raw
    };
    check_elements(info, &raw, count)?;
    Ok(Tensor {
        datatype: info.datatype,
        shape,
        raw,
    })
}

fn check_shape(info: &TensorInfo, got: &[i64]) -> Result<Vec<usize>, CheckError> {
    let mismatch = || CheckError::Shape {
        name: info.name.clone(),
        expected: shape_text(&info.dims),
        got: got.iter().copied().take(MAX_RANK_SHOWN).collect(),
    };
    if got.len() != info.dims.len() {
        return Err(mismatch());
    }
    let mut shape = Vec::with_capacity(got.len());
    for (dim, extent) in info.dims.iter().zip(got) {
        let extent = usize::try_from(*extent).map_err(|_| mismatch())?;
        if let Dim::Fixed(expected) = dim
            && *expected != extent
        {
            return Err(mismatch());
        }
        shape.push(extent);
    }
    Ok(shape)
}

/// Values that the raw form can carry but the datatype cannot.
fn check_elements(info: &TensorInfo, raw: &Bytes, count: usize) -> Result<(), CheckError> {
    match info.datatype {
        Datatype::Bool => match raw.iter().position(|byte| *byte > 1) {
            Some(element) => {
                let got = raw.get(element).copied().unwrap_or_default();
                Err(CheckError::Bool {
                    name: info.name.clone(),
                    element,
                    got,
                })
            }
            None => Ok(()),
        },
        Datatype::Bytes => {
            let elements = tensor::split_bytes(raw, count).map_err(|error| CheckError::Bytes {
                name: info.name.clone(),
                error,
            })?;
            match elements
                .iter()
                .position(|element| std::str::from_utf8(element).is_err())
            {
                Some(element) => Err(CheckError::Utf8 {
                    name: info.name.clone(),
                    element,
                }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Dimensions of the same name must have the same extent.
fn check_agreement(inputs: &[TensorInfo], tensors: &[Tensor]) -> Result<(), CheckError> {
    let mut seen: Vec<(&str, usize, &str)> = Vec::new();
    for (info, tensor) in inputs.iter().zip(tensors) {
        for (axis, (dim, extent)) in info.dims.iter().zip(&tensor.shape).enumerate() {
            let Dim::Named(dim) = dim else { continue };
            match seen.iter().find(|(known, ..)| known == dim) {
                Some((_, expected, other)) if expected != extent => {
                    return Err(CheckError::Disagree {
                        name: info.name.clone(),
                        axis,
                        dim: dim.clone(),
                        got: *extent,
                        expected: *expected,
                        other: (*other).to_owned(),
                    });
                }
                Some(_) => {}
                None => seen.push((dim, *extent, &info.name)),
            }
        }
    }
    Ok(())
}

fn has_contents(input: &InferInputTensor) -> bool {
    use prost::Message as _;
    input
        .contents
        .as_ref()
        .is_some_and(|contents| contents.encoded_len() > 0)
}

fn shape_text(dims: &[Dim]) -> String {
    let dims = dims.iter().map(|dim| dim.to_v2().to_string()).collect::<Vec<_>>();
    format!("[{}]", dims.join(", "))
}

/// Longest part of a request's own text that an error repeats.
const MAX_QUOTED: usize = 64;
/// Longest part of a request's own shape that an error repeats.
const MAX_RANK_SHOWN: usize = 16;

fn clip(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

fn names(infos: &[TensorInfo]) -> Vec<String> {
    infos.iter().map(|info| info.name.clone()).collect()
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}
