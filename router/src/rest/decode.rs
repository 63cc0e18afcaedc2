//! Body of an inference request to protobuf.
//!
//! Every tensor becomes an entry of `raw_input_contents`: JSON is parsed straight to raw bytes, and binary tensors
//! after the JSON are slices of the body.

use std::collections::HashMap;

use api::{
    datatype::Datatype,
    inference::{
        ModelInferRequest,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
};
use bytes::Bytes;
use thiserror::Error;

mod input;

use input::{Data, Input, parse_inputs};

pub use super::json::SyntaxError;
use super::{
    json::Cursor,
    parameter::{self, Parameters},
    tensor,
};

/// Most dimensions of a tensor; Triton and ONNX Runtime stop far below.
pub const MAX_RANK: usize = 32;

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Raw bytes of all tensors.
    pub max_raw_bytes: usize,
    /// Inputs, and outputs, of one request.
    pub max_tensors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_raw_bytes: super::DEFAULT_MAX_MESSAGE,
            max_tensors: 1024,
        }
    }
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It is not JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// It breaks a rule of the protocol.
    #[error("{0}")]
    Invalid(String),
    /// It is larger than a limit.
    #[error("{0}")]
    TooLarge(String),
}

impl DecodeError {
    /// Says where.
    pub(super) fn within(self, place: &str) -> Self {
        match self {
            Self::Syntax(error) => Self::Invalid(format!("{place}: {error}")),
            Self::Invalid(message) => Self::Invalid(format!("{place}: {message}")),
            Self::TooLarge(message) => Self::TooLarge(format!("{place}: {message}")),
        }
    }
}

/// A decoded request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Without `model_name` and `model_version`, which are in the URL.
    pub request: ModelInferRequest,
    /// How the client wants its answer.
    pub answer: Answer,
}

/// How the client wants its answer; models do not see this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `binary_data_output` of the request.
    pub binary: bool,
    /// Wishes per output.
    pub outputs: HashMap<String, AnswerOutput>,
}

/// How the client wants one output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerOutput {
    /// `binary_data`, if it is given.
    pub binary: Option<bool>,
    /// `content_type` is base64.
    pub base64: bool,
}

impl Answer {
    /// Should this output be binary?
    pub fn is_binary(&self, output: &str) -> bool {
        self.outputs
            .get(output)
            .and_then(|wish| wish.binary)
            .unwrap_or(self.binary)
    }

    /// Are all outputs to be binary?
    pub fn is_all_binary(&self) -> bool {
        self.binary && self.outputs.values().all(|wish| wish.binary != Some(false))
    }

    /// Should the strings of this output be base64?
    pub fn is_base64(&self, output: &str) -> bool {
        self.outputs.get(output).is_some_and(|wish| wish.base64)
    }
}

/// Decodes the body of `POST /v2/models/M/infer`. `header_length` is `Inference-Header-Content-Length`: the length of
/// the JSON, after which binary tensors follow.
pub fn infer_request(
    mut body: Bytes,
    header_length: Option<usize>,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let length = header_length.unwrap_or(body.len());
    if length > body.len() {
        return Err(DecodeError::Invalid(format!(
            "Inference-Header-Content-Length is {length}, but the body has {} bytes",
            body.len()
        )));
    }
    let json = body.split_to(length);
    Body::parse(&json, limits)?.finish(header_length.map(|_| body), limits)
}

/// The JSON part.
#[derive(Default)]
struct Body {
    id: Option<String>,
    parameters: Option<Parameters>,
    inputs: Option<Vec<Input>>,
    outputs: Option<Vec<InferRequestedOutputTensor>>,
    answer: Answer,
}

impl Body {
    fn parse(json: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        let mut cursor = Cursor::new(json);
        cursor.object(|cursor, key| body.field(cursor, key, limits))?;
        cursor.end()?;
        Ok(body)
    }

    fn field(&mut self, cursor: &mut Cursor<'_>, key: &str, limits: &Limits) -> Result<(), DecodeError> {
        match key {
            // Serializers of optional fields write null where nothing is meant.
            "id" | "parameters" | "outputs" if cursor.null()? => Ok(()),
            "id" => once(&mut self.id, cursor.string()?.into_owned(), key),
            "parameters" => {
                let mut parameters = parameter::parse(cursor)?;
                self.answer.binary =
                    parameter::take_bool(&mut parameters, "binary_data_output")?.unwrap_or(false);
                once(&mut self.parameters, parameters, key)
            }
            "inputs" => {
                let inputs = parse_inputs(cursor, limits)?;
                once(&mut self.inputs, inputs, key)
            }
            "outputs" => {
                let outputs = self.parse_outputs(cursor, limits)?;
                once(&mut self.outputs, outputs, key)
            }
            _ => Ok(cursor.skip()?),
        }
    }

    fn parse_outputs(
        &mut self,
        cursor: &mut Cursor<'_>,
        limits: &Limits,
    ) -> Result<Vec<InferRequestedOutputTensor>, DecodeError> {
        let mut outputs = Vec::new();
        cursor.array(|cursor| {
            let (mut name, mut parameters) = (None, None);
            let place = format!("outputs[{}]", outputs.len());
            let parsed = cursor.object(|cursor, key| match key {
                "name" => once(&mut name, cursor.string()?.into_owned(), key),
                "parameters" if cursor.null()? => Ok(()),
                "parameters" => once(&mut parameters, parameter::parse(cursor)?, key),
                _ => Ok::<_, DecodeError>(cursor.skip()?),
            });
            parsed.map_err(|error| error.within(&place))?;
            let name = name.ok_or_else(|| missing(&place, "name"))?;
            let mut parameters = parameters.unwrap_or_default();
            let wish = AnswerOutput {
                binary: parameter::take_bool(&mut parameters, "binary_data")
                    .map_err(|error| error.within(&format!("output {name:?}")))?,
                base64: parameter::is_base64(&parameters),
            };
            if self.answer.outputs.insert(name.clone(), wish).is_some() {
                return Err(DecodeError::Invalid(format!(
                    "output {name:?} is asked for twice"
                )));
            }
            outputs.push(InferRequestedOutputTensor { name, parameters });
            bounded(outputs.len(), limits, "outputs")
        })?;
        Ok(outputs)
    }

    /// Puts the tensors together, with the binary ones cut from `blobs`.
    fn finish(self, blobs: Option<Bytes>, limits: &Limits) -> Result<Decoded, DecodeError> {
        let inputs = self.inputs.ok_or_else(|| missing("the request", "inputs"))?;
        let mut blobs = Blobs {
            given: blobs.is_some(),
            rest: blobs.unwrap_or_default(),
        };
        let mut request = ModelInferRequest {
            id: self.id.unwrap_or_default(),
            parameters: self.parameters.unwrap_or_default(),
            inputs: Vec::with_capacity(inputs.len()),
            outputs: self.outputs.unwrap_or_default(),
            raw_input_contents: Vec::with_capacity(inputs.len()),
            ..ModelInferRequest::default()
        };
        for input in inputs {
            let raw = match input.data {
                Data::Parsed(raw) => Some(Bytes::from(raw)),
                Data::Binary(size) => {
                    let raw = blobs.take(size, &input.tensor.name)?;
                    check_raw(&raw, input.datatype, &input.tensor)?;
                    Some(raw)
                }
                Data::SharedMemory => None,
            };
            request.raw_input_contents.extend(raw);
            request.inputs.push(input.tensor);
        }
        if !blobs.rest.is_empty() {
            return Err(DecodeError::Invalid(format!(
                "{} bytes follow the last binary tensor; the body must end with it",
                blobs.rest.len()
            )));
        }
        let total: usize = request.raw_input_contents.iter().map(Bytes::len).sum();
        if total > limits.max_raw_bytes {
            let limit = limits.max_raw_bytes;
            return Err(DecodeError::TooLarge(format!(
                "the tensors take {total} bytes, more than the limit of {limit}"
            )));
        }
        Ok(Decoded {
            request,
            answer: self.answer,
        })
    }
}

/// What follows the JSON and is not used yet.
struct Blobs {
    given: bool,
    rest: Bytes,
}

impl Blobs {
    fn take(&mut self, size: usize, name: &str) -> Result<Bytes, DecodeError> {
        if !self.given {
            return Err(DecodeError::Invalid(format!(
                "input {name:?}: binary_data_size needs the header Inference-Header-Content-Length"
            )));
        }
        if size > self.rest.len() {
            return Err(DecodeError::Invalid(format!(
                "input {name:?}: binary_data_size is {size}, but only {} bytes are left of the body",
                self.rest.len()
            )));
        }
        Ok(self.rest.split_to(size))
    }
}

/// Binary data must be what shape and datatype say.
fn check_raw(raw: &[u8], datatype: Datatype, tensor: &InferInputTensor) -> Result<(), DecodeError> {
    let invalid = |why: String| Err(DecodeError::Invalid(format!("input {:?}: {why}", tensor.name)));
    let shape = &tensor.shape;
    let expected =
        tensor::elements(shape).map_err(|error| error.within(&format!("input {:?}", tensor.name)))?;
    match datatype.size() {
        Some(size) if expected.checked_mul(size) == Some(raw.len()) => Ok(()),
        Some(size) => invalid(format!(
            "binary_data_size is {}, but shape {shape:?} of {datatype} takes {expected} times {size} bytes",
            raw.len()
        )),
        None => match super::raw::strings(raw).try_fold(0_usize, |count, element| element.map(|_| count + 1))
        {
            Ok(count) if count == expected => Ok(()),
            Ok(count) => invalid(format!(
                "shape {shape:?} takes {expected} elements, but the binary data has {count}"
            )),
            Err(error) => invalid(format!("the binary data is broken: {error}")),
        },
    }
}

/// A field that is given twice has no meaning.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, key: &str) -> Result<(), DecodeError> {
    if slot.replace(value).is_some() {
        return Err(DecodeError::Invalid(format!("{key} is given twice")));
    }
    Ok(())
}

fn missing(place: &str, field: &str) -> DecodeError {
    DecodeError::Invalid(format!("{place}: {field} is missing"))
}

fn bounded(count: usize, limits: &Limits, what: &str) -> Result<(), DecodeError> {
    if count <= limits.max_tensors {
        return Ok(());
    }
    Err(DecodeError::TooLarge(format!(
        "more than {} {what}",
        limits.max_tensors
    )))
}

#[cfg(test)]
mod tests;
