//! Protobuf of an inference answer to the body of a response.

use api::{
    datatype::Datatype,
    inference::{
        InferParameter, ModelInferResponse, infer_parameter::ParameterChoice,
        model_infer_response::InferOutputTensor,
    },
};
use bytes::{BufMut as _, Bytes};
use thiserror::Error;

use super::{decode::Answer, raw, write};
use crate::chunks::Chunks;

/// An answer that a model should not have given, or that JSON cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// One output is wrong.
    #[error("output {name:?}: {why}")]
    Output {
        /// Its name.
        name: String,
        /// The rule.
        why: String,
    },
    /// Raw contents belong to outputs one by one.
    #[error("the model answered {outputs} outputs, but raw contents of {raw}")]
    Count {
        /// Outputs.
        outputs: usize,
        /// Raw contents.
        raw: usize,
    },
}

/// A body.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// JSON, and binary tensors after it, each in the pieces that it was in.
    pub body: Chunks,
    /// Length of the JSON if binary tensors follow it.
    pub json_length: Option<usize>,
}

/// Encodes an answer as the client wants it.
pub fn infer_response(response: &ModelInferResponse, answer: &Answer) -> Result<Encoded, EncodeError> {
    let tensors = tensors(response)?;
    let written = tensors
        .iter()
        .filter(|tensor| !answer.is_binary(&tensor.output.name));
    let size: usize = written.map(|tensor| tensor.raw.len()).sum();
    let mut out = Vec::with_capacity(size.saturating_mul(3).saturating_add(256));
    let mut blobs = Vec::new();
    out.push(b'{');
    write::key(&mut out, "model_name");
    write::string(&mut out, &response.model_name);
    if !response.model_version.is_empty() {
        write::key(&mut out, "model_version");
        write::string(&mut out, &response.model_version);
    }
    if !response.id.is_empty() {
        write::key(&mut out, "id");
        write::string(&mut out, &response.id);
    }
    write::parameters(&mut out, &response.parameters);
    write::key(&mut out, "outputs");
    out.push(b'[');
    for (index, tensor) in tensors.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let binary = answer.is_binary(&tensor.output.name);
        if binary {
            blobs.push(tensor.raw.clone());
        }
        output(&mut out, tensor, binary, answer).map_err(|why| tensor.error(why))?;
    }
    out.put_slice(b"]}");
    let json_length = (!blobs.is_empty()).then_some(out.len());
    let mut body = Chunks::from(out);
    for blob in blobs {
        body.push(blob);
    }
    Ok(Encoded { body, json_length })
}

/// One output, all as raw bytes.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub(super) output: &'a InferOutputTensor,
    pub(super) datatype: Datatype,
    pub(super) raw: Bytes,
    shared_memory: bool,
}

impl Tensor<'_> {
    pub(super) fn error(&self, why: String) -> EncodeError {
        EncodeError::Output {
            name: self.output.name.clone(),
            why,
        }
    }

    pub(super) fn elements(&self, base64: bool) -> Result<write::Elements<'_>, String> {
        write::Elements::new(&self.raw, self.datatype, &self.output.shape, base64)
    }
}

/// The outputs of an answer.
pub(super) fn tensors(response: &ModelInferResponse) -> Result<Vec<Tensor<'_>>, EncodeError> {
    let (outputs, raw) = (response.outputs.len(), response.raw_output_contents.len());
    let is_shared = |output: &InferOutputTensor| output.parameters.contains_key("shared_memory_region");
    // Outputs in shared memory have no raw contents, or empty ones: model servers differ.
    let aligned = raw == outputs;
    if raw > 0
        && !aligned
        && raw
            != response
                .outputs
                .iter()
                .filter(|output| !is_shared(output))
                .count()
    {
        return Err(EncodeError::Count { outputs, raw });
    }
    let mut contents = response.raw_output_contents.iter();
    let mut tensors = Vec::with_capacity(outputs);
    for output in &response.outputs {
        let shared_memory = is_shared(output);
        let fail = |why: String| EncodeError::Output {
            name: output.name.clone(),
            why,
        };
        let datatype = output.datatype.parse();
        let datatype = datatype.map_err(|error: api::datatype::UnknownDatatype| fail(error.to_string()))?;
        let next = if raw > 0 && (aligned || !shared_memory) {
            contents.next()
        } else {
            None
        };
        let raw = match (next, &output.contents) {
            _ if shared_memory => Bytes::new(),
            (Some(raw), _) => raw.clone(),
            (None, Some(typed)) => raw::from_typed(typed, datatype).map_err(fail)?,
            // An empty tensor may be left out as a whole.
            (None, None) => Bytes::new(),
        };
        tensors.push(Tensor {
            output,
            datatype,
            raw,
            shared_memory,
        });
    }
    Ok(tensors)
}

fn output(out: &mut Vec<u8>, tensor: &Tensor<'_>, binary: bool, answer: &Answer) -> Result<(), String> {
    let InferOutputTensor {
        name,
        datatype,
        shape,
        parameters,
        contents: _,
    } = tensor.output;
    let choice = |choice| InferParameter {
        parameter_choice: Some(choice),
    };
    let mut parameters = parameters.clone();
    let elements = if tensor.shared_memory {
        None
    } else {
        Some(tensor.elements(answer.is_base64(name))?)
    };
    if binary && !tensor.shared_memory {
        let size = i64::try_from(tensor.raw.len()).unwrap_or(i64::MAX);
        parameters.insert(
            "binary_data_size".to_owned(),
            choice(ParameterChoice::Int64Param(size)),
        );
    } else if elements.as_ref().is_some_and(write::Elements::is_base64) {
        parameters.insert(
            "content_type".to_owned(),
            choice(ParameterChoice::StringParam("base64".to_owned())),
        );
    }
    out.push(b'{');
    write::key(out, "name");
    write::string(out, name);
    write::key(out, "datatype");
    write::string(out, datatype);
    write::key(out, "shape");
    write::list(out, shape, |out, &size| write::integer(out, size));
    write::parameters(out, &parameters);
    if let Some(elements) = elements.filter(|_| !binary) {
        write::key(out, "data");
        elements.flat(out)?;
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests;
