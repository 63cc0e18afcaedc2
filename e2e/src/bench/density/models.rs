//! The models, and the calls to them.

use std::{fs, path::Path};

use anyhow::Context;
use api::inference::{ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor};
use bytes::Bytes;
use prost::Message;

use crate::{client::frame, onnx::Dense};

/// What every model is asked: one row of eight numbers.
const INPUT: [f32; Dense::INPUTS] = [1.0, 0.5, -1.0, 2.0, 0.25, 1.5, -0.5, 3.0];

/// Name of the model with this number.
pub fn name(number: usize) -> String {
    format!("model-{number:05}")
}

/// Number in a model's name, or in the id of its content (`model-00017@...`).
pub fn number(name: &str) -> Option<usize> {
    name.strip_prefix("model-")?.get(..5)?.parse().ok()
}

/// Writes the models of a folder; returns the bytes of one.
pub fn write(folder: &Path, count: usize) -> anyhow::Result<u64> {
    anyhow::ensure!(count <= 100_000, "names have five digits");
    let mut bytes = 0;
    for model in 0..count {
        let file = Dense::new(model as u64).file();
        bytes = file.len() as u64;
        let path = folder.join(name(model) + ".onnx");
        fs::write(&path, file).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(bytes)
}

/// A call to one model, encoded with its frame.
pub fn request(number: usize) -> Bytes {
    let input = InferInputTensor {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![1, 8],
        ..Default::default()
    };
    let request = ModelInferRequest {
        model_name: name(number),
        inputs: vec![input],
        raw_input_contents: vec![INPUT.iter().copied().flat_map(f32::to_le_bytes).collect()],
        ..Default::default()
    };
    frame(&request.encode_to_vec())
}

/// Fails unless `message` is the answer of this model and no other.
pub fn check(number: usize, message: &[u8]) -> anyhow::Result<()> {
    let answer = ModelInferResponse::decode(message).context("decode an answer")?;
    let wanted = Dense::new(number as u64).answer(&INPUT);
    let bytes: Vec<u8> = wanted.iter().copied().flat_map(f32::to_le_bytes).collect();
    anyhow::ensure!(
        answer.model_name == name(number) && answer.raw_output_contents == [bytes],
        "wrong answer of {}, wanted {wanted:?}: {answer:?}",
        name(number)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_lead_to_numbers() {
        for at in [0, 17, 19_999] {
            assert_eq!(number(&name(at)), Some(at));
            assert_eq!(number(&format!("{}@0123456789abcdef", name(at))), Some(at));
        }
        assert_eq!(number("other"), None);
    }
}
