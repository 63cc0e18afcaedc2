//! Inputs, and answers that can be compared.

use std::{fs, path::PathBuf};

use adapter::onnx::tensor::{Tensor, split_bytes};
use anyhow::Context;
use api::datatype::Datatype;
use bytes::Bytes;
use e2e::process;
use serde::Deserialize;
use tempfile::TempDir;

/// How far numbers of two engines may be apart.
const TOLERANCE: f64 = 1e-4;

/// The input of an example request, its rows repeated. All example models take one tensor of FP32.
pub(super) struct Input {
    /// Name in the graph.
    pub(super) name: String,
    /// Rows first.
    pub(super) shape: Vec<usize>,
    raw: Bytes,
    /// The same bytes, for another process.
    file: PathBuf,
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Request {
    inputs: Vec<RequestInput>,
}

#[derive(Deserialize)]
struct RequestInput {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: serde_json::Value,
}

impl Input {
    pub(super) fn of_example(model: &str, batch: usize) -> anyhow::Result<Self> {
        let path = process::root().join(format!("examples/requests/{model}.json"));
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let mut request: Request = serde_json::from_slice(&text)?;
        let input = request.inputs.pop().context("a request without inputs")?;
        anyhow::ensure!(input.datatype == "FP32", "the input is {}", input.datatype);
        let mut values = Vec::new();
        flatten(&input.data, &mut values)?;
        let (&rows, row) = input.shape.split_first().context("the input is a scalar")?;
        let width: usize = row.iter().product();
        anyhow::ensure!(
            rows > 0 && values.len() == rows * width,
            "data does not fit its shape"
        );
        let repeated = values.iter().cycle().take(batch * width);
        let raw: Vec<u8> = repeated.flat_map(|value| value.to_le_bytes()).collect();
        let folder = TempDir::new()?;
        let file = folder.path().join("input");
        fs::write(&file, &raw)?;
        Ok(Self {
            name: input.name,
            shape: [&[batch], row].concat(),
            raw: raw.into(),
            file,
            _folder: folder,
        })
    }

    pub(super) fn tensor(&self) -> Tensor {
        Tensor {
            datatype: Datatype::Fp32,
            shape: self.shape.clone(),
            raw: self.raw.clone(),
        }
    }

    /// Where the bytes are.
    pub(super) fn file(&self) -> &std::path::Path {
        &self.file
    }
}

fn flatten(data: &serde_json::Value, out: &mut Vec<f32>) -> anyhow::Result<()> {
    match data {
        serde_json::Value::Array(items) => items.iter().try_for_each(|item| flatten(item, out)),
        value => {
            out.push(f32::deserialize(value)?);
            Ok(())
        }
    }
}

/// One output.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

impl Answer {
    pub(super) fn of_tensor(tensor: &Tensor) -> anyhow::Result<Self> {
        let (singles, _) = tensor.raw.as_chunks::<4>();
        let (longs, _) = tensor.raw.as_chunks::<8>();
        Ok(match tensor.datatype {
            Datatype::Fp32 => Self::Numbers(
                singles
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes).into())
                    .collect(),
            ),
            Datatype::Int64 => Self::Numbers(
                longs
                    .iter()
                    .map(|bytes| i64::from_le_bytes(*bytes) as f64)
                    .collect(),
            ),
            Datatype::Bytes => {
                let texts = split_bytes(&tensor.raw, tensor.shape.iter().product())?;
                let texts = texts.iter().map(|text| String::from_utf8(text.to_vec()));
                Self::Texts(texts.collect::<Result<_, _>>()?)
            }
            other => anyhow::bail!("an output of {other}, which no example model has"),
        })
    }
}

/// Are these the same outputs?
pub(super) fn same(left: &[Answer], right: &[Answer]) -> anyhow::Result<()> {
    anyhow::ensure!(
        left.len() == right.len(),
        "{} and {} outputs",
        left.len(),
        right.len()
    );
    for pair in left.iter().zip(right) {
        let equal = match pair {
            (Answer::Numbers(left), Answer::Numbers(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| (left - right).abs() <= TOLERANCE * right.abs().max(1.0))
            }
            (Answer::Texts(left), Answer::Texts(right)) => left == right,
            _ => false,
        };
        anyhow::ensure!(equal, "{:?} and {:?}", pair.0, pair.1);
    }
    Ok(())
}
