//! What is sent: one tensor, in every form.

use anyhow::Context;
use api::inference::{ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::workload::MODEL;

/// Name of the tensor.
const NAME: &str = "x";
/// Characters of a string; forty strings of a hundred make 4 kB.
const STRING: usize = 100;

/// Elements of the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Singles, all digits used.
    Fp32(usize),
    /// Text.
    Bytes(usize),
}

/// One column of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Shown in tables.
    pub name: &'static str,
    /// The tensor.
    pub kind: Kind,
    /// Calls at once.
    pub at_once: u32,
}

/// All of them.
pub const ALL: [Workload; 5] = [
    Workload {
        name: "FP32, 50 B, 32 at once",
        kind: Kind::Fp32(12),
        at_once: 32,
    },
    Workload {
        name: "FP32, 4 kB, 32 at once",
        kind: Kind::Fp32(1_000),
        at_once: 32,
    },
    Workload {
        name: "FP32, 4 kB, one at a time",
        kind: Kind::Fp32(1_000),
        at_once: 1,
    },
    Workload {
        name: "FP32, 600 kB, 32 at once",
        kind: Kind::Fp32(150_000),
        at_once: 32,
    },
    Workload {
        name: "BYTES, 4 kB, 32 at once",
        kind: Kind::Bytes(40),
        at_once: 32,
    },
];

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Of FP32.
    Fp32(Vec<f32>),
    /// Of BYTES.
    Bytes(Vec<String>),
}

/// An answer as JSON.
#[derive(Deserialize)]
struct AnswerJson {
    outputs: Vec<OutputJson>,
}

#[derive(Deserialize)]
struct OutputJson {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    #[serde(default)]
    data: Option<Value>,
}

impl Tensor {
    /// `seed` tells tensors apart.
    pub fn new(kind: Kind, seed: u32) -> Self {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 9
        };
        match kind {
            Kind::Fp32(count) => Self::Fp32(
                (0..count)
                    .map(|_| f32::from_bits(0x3f80_0000 | next()) - 1.5)
                    .collect(),
            ),
            Kind::Bytes(count) => Self::Bytes(
                (0..count)
                    .map(|_| format!("{:0width$}", next(), width = STRING))
                    .collect(),
            ),
        }
    }

    fn datatype(&self) -> &'static str {
        match self {
            Self::Fp32(_) => "FP32",
            Self::Bytes(_) => "BYTES",
        }
    }

    /// Elements; the shape is 1 times this.
    fn count(&self) -> usize {
        match self {
            Self::Fp32(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    fn data(&self) -> anyhow::Result<Value> {
        Ok(match self {
            Self::Fp32(values) => serde_json::to_value(values)?,
            Self::Bytes(values) => serde_json::to_value(values)?,
        })
    }

    fn raw(&self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Fp32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bytes(values) => {
                let mut raw = Vec::new();
                for value in values {
                    raw.extend_from_slice(&u32::try_from(value.len())?.to_le_bytes());
                    raw.extend_from_slice(value.as_bytes());
                }
                raw
            }
        })
    }

    /// A request in JSON. Written by hand, because a [`Value`] would print singles as doubles.
    pub fn json(&self) -> anyhow::Result<Vec<u8>> {
        let data = match self {
            Self::Fp32(values) => serde_json::to_string(values)?,
            Self::Bytes(values) => serde_json::to_string(values)?,
        };
        let (datatype, count) = (self.datatype(), self.count());
        Ok(format!(
            r#"{{"inputs":[{{"name":"{NAME}","shape":[1,{count}],"datatype":"{datatype}","data":{data}}}]}}"#
        )
        .into_bytes())
    }

    /// A request with the tensor after the JSON, and the length of the JSON; the answer is to be like it.
    pub fn binary(&self) -> anyhow::Result<(Vec<u8>, usize)> {
        let raw = self.raw()?;
        let mut body = serde_json::to_vec(&json!({
            "parameters": {"binary_data_output": true},
            "inputs": [{
                "name": NAME,
                "shape": [1, self.count()],
                "datatype": self.datatype(),
                "parameters": {"binary_data_size": raw.len()},
            }],
        }))?;
        let length = body.len();
        body.extend_from_slice(&raw);
        Ok((body, length))
    }

    /// A request in protobuf.
    pub fn message(&self) -> anyhow::Result<Vec<u8>> {
        Ok(ModelInferRequest {
            model_name: MODEL.into(),
            inputs: vec![InferInputTensor {
                name: NAME.into(),
                datatype: self.datatype().into(),
                shape: vec![1, i64::try_from(self.count())?],
                ..InferInputTensor::default()
            }],
            raw_input_contents: vec![self.raw()?.into()],
            ..ModelInferRequest::default()
        }
        .encode_to_vec())
    }

    /// Is this JSON the answer of a model whose output is its input? `binary` is what followed it.
    pub fn check_json(&self, json: &[u8], binary: Option<&[u8]>) -> anyhow::Result<()> {
        let answer: AnswerJson = serde_json::from_slice(json).context("read the answer")?;
        let [output] = &*answer.outputs else {
            anyhow::bail!("{} outputs", answer.outputs.len());
        };
        self.check_head(&output.name, &output.datatype, &output.shape)?;
        match (binary, &output.data) {
            (Some(raw), None) => anyhow::ensure!(raw == self.raw()?, "other bytes came back than were sent"),
            (None, Some(data)) => self.check_data(data)?,
            _ => anyhow::bail!("the tensor is not where it should be"),
        }
        Ok(())
    }

    fn check_data(&self, data: &Value) -> anyhow::Result<()> {
        match self {
            Self::Fp32(values) => {
                let answered = Vec::<f32>::deserialize(data)?;
                anyhow::ensure!(&answered == values, "other numbers came back than were sent");
            }
            Self::Bytes(_) => {
                anyhow::ensure!(data == &self.data()?, "other strings came back than were sent");
            }
        }
        Ok(())
    }

    fn check_head(&self, name: &str, datatype: &str, shape: &[usize]) -> anyhow::Result<()> {
        anyhow::ensure!(
            name == NAME && datatype == self.datatype() && shape == [1, self.count()],
            "the answer has output {name:?} of {datatype} and shape {shape:?}"
        );
        Ok(())
    }

    /// Is this message the answer of a model whose output is its input?
    pub fn check_message(&self, message: &[u8]) -> anyhow::Result<()> {
        let answer = ModelInferResponse::decode(message).context("read the answer")?;
        let [output] = &*answer.outputs else {
            anyhow::bail!("{} outputs", answer.outputs.len());
        };
        let shape: Result<Vec<_>, _> = output.shape.iter().map(|&size| usize::try_from(size)).collect();
        self.check_head(&output.name, &output.datatype, &shape?)?;
        let raw = answer.raw_output_contents.first().context("no raw contents")?;
        anyhow::ensure!(*raw == self.raw()?, "other bytes came back than were sent");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_as_large_as_they_are_called() {
        for (workload, bytes) in ALL.iter().zip([48, 4_000, 4_000, 600_000, 4_160]) {
            let tensor = Tensor::new(workload.kind, 1);
            assert_eq!(tensor.raw().unwrap().len(), bytes, "{}", workload.name);
            assert_ne!(tensor, Tensor::new(workload.kind, 2));
        }
    }

    #[test]
    fn wrong_answers_are_told() {
        for kind in [Kind::Fp32(3), Kind::Bytes(3)] {
            let (tensor, other) = (Tensor::new(kind, 1), Tensor::new(kind, 2));
            let answer = |tensor: &Tensor| {
                String::from_utf8(tensor.json().unwrap())
                    .unwrap()
                    .replace("inputs", "outputs")
                    .into_bytes()
            };
            tensor.check_json(&answer(&tensor), None).unwrap();
            tensor.check_json(&answer(&other), None).unwrap_err();
            let (body, length) = tensor.binary().unwrap();
            let (json, binary) = body.split_at(length);
            let json = String::from_utf8(json.to_vec())
                .unwrap()
                .replace("inputs", "outputs");
            tensor.check_json(json.as_bytes(), Some(binary)).unwrap();
            other.check_json(json.as_bytes(), Some(binary)).unwrap_err();
            tensor.check_json(json.as_bytes(), None).unwrap_err();
        }
    }
}
