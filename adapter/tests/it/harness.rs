//! Loads the models of `tests/models`, and reads what ONNX Runtime answered for them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use adapter::onnx::{EngineChoice, OnnxOptions, OnnxRuntime};
use api::{
    datatype::Datatype,
    inference::{
        InferTensorContents, ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor,
    },
    mmesh::LoadModelRequest,
};
use bytes::Bytes;
use serde_json::Value;

/// Capacity of a test runtime.
pub(crate) const CAPACITY: u64 = 64 << 20;

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

pub(crate) fn runtime() -> OnnxRuntime {
    runtime_with(|_| {})
}

/// The engines that every model is asked on.
pub(crate) const ENGINES: [EngineChoice; 2] = [EngineChoice::Builtin, EngineChoice::Ort];

/// ONNX Runtime's library as its Python package brings it, in the environment of the reference answers.
pub(crate) fn ort_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let made = Command::new(root.join("scripts/venv.sh"))
            .arg(root.join("e2e/clients/requirements.txt"))
            .output()
            .expect("scripts/venv.sh runs");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "scripts/venv.sh failed:\n{said}");
        let venv = String::from_utf8(made.stdout).unwrap();
        let pythons = std::fs::read_dir(Path::new(venv.trim()).join("lib")).unwrap();
        let capi = |python: PathBuf| python.join("site-packages/onnxruntime/capi");
        pythons
            .map(|python| capi(python.unwrap().path()))
            .find(|folder| folder.is_dir())
            .expect("the environment has the package onnxruntime")
    })
}

/// A runtime with this engine.
pub(crate) fn runtime_on(engine: EngineChoice) -> OnnxRuntime {
    runtime_with(|options| {
        options.engine = engine;
        options.ort_library = Some(ort_library().to_owned());
    })
}

/// A runtime with the built-in engine, whatever this machine has, unless `change` says otherwise.
pub(crate) fn runtime_with(change: impl FnOnce(&mut OnnxOptions)) -> OnnxRuntime {
    let mut options = OnnxOptions {
        engine: EngineChoice::Builtin,
        ..OnnxOptions::new(CAPACITY)
    };
    change(&mut options);
    OnnxRuntime::new(options).unwrap()
}

pub(crate) fn load_request(id: &str, path: impl AsRef<Path>) -> LoadModelRequest {
    LoadModelRequest {
        model_id: id.to_owned(),
        model_type: "onnx".to_owned(),
        model_path: path.as_ref().to_str().unwrap().to_owned(),
        model_key: String::new(),
    }
}

/// Request for a model of `tests/models`.
pub(crate) fn load_of(name: &str) -> LoadModelRequest {
    load_request(name, models().join(format!("{name}.onnx")))
}

/// A runtime in which this model of `tests/models` is loaded under its own name.
pub(crate) async fn loaded(name: &str) -> OnnxRuntime {
    loaded_on(EngineChoice::Builtin, name).await
}

/// The same with this engine.
pub(crate) async fn loaded_on(engine: EngineChoice, name: &str) -> OnnxRuntime {
    let runtime = runtime_on(engine);
    runtime.load(&load_of(name)).await.unwrap();
    runtime
}

/// One tensor of an expectation file.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Vec<Value>,
}

/// What a model is asked, and what it must answer.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) inputs: Vec<Expected>,
    pub(crate) outputs: Vec<Expected>,
}

pub(crate) fn case(name: &str) -> Case {
    let file = models().join(format!("{name}.json"));
    Case {
        inputs: read_tensors(&file, "inputs"),
        outputs: read_tensors(&file, "outputs"),
    }
}

/// Tensors of a request or an answer in V2's JSON form.
pub(crate) fn read_tensors(file: &Path, key: &str) -> Vec<Expected> {
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    value[key].as_array().unwrap().iter().map(expected).collect()
}

/// Elements of nested arrays, in order.
fn flatten(value: &Value, flat: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, flat)),
        value => flat.push(value.clone()),
    }
}

fn expected(value: &Value) -> Expected {
    let mut data = Vec::new();
    flatten(&value["data"], &mut data);
    Expected {
        name: value["name"].as_str().unwrap().to_owned(),
        datatype: value["datatype"].as_str().unwrap().parse().unwrap(),
        shape: value["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|extent| extent.as_i64().unwrap())
            .collect(),
        data,
    }
}

/// NaN and the infinities are text in the files.
pub(crate) fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .or_else(|| value.as_bool().map(f64::from))
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn raw(tensor: &Expected) -> Bytes {
    let mut raw = Vec::new();
    for value in &tensor.data {
        match tensor.datatype {
            Datatype::Bool | Datatype::Uint8 => raw.push(number(value) as u8),
            Datatype::Int8 => raw.extend((number(value) as i8).to_le_bytes()),
            Datatype::Int32 => raw.extend((number(value) as i32).to_le_bytes()),
            Datatype::Int64 => raw.extend((number(value) as i64).to_le_bytes()),
            Datatype::Fp16 => raw.extend(half(number(value)).to_le_bytes()),
            Datatype::Fp32 => raw.extend((number(value) as f32).to_le_bytes()),
            Datatype::Fp64 => raw.extend(number(value).to_le_bytes()),
            Datatype::Bytes => {
                let text = value.as_str().unwrap();
                raw.extend((text.len() as u32).to_le_bytes());
                raw.extend(text.as_bytes());
            }
            other => panic!("no test has {other}"),
        }
    }
    raw.into()
}

/// Half-precision bits of a number that has them exactly.
fn half(value: f64) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 63).unwrap() << 15;
    let exponent = u16::try_from((bits >> 52) & 0x7ff).unwrap() - 1023 + 15;
    let fraction = u16::try_from((bits >> 42) & 0x3ff).unwrap();
    sign | (exponent << 10) | fraction
}

pub(crate) fn half_value(bits: u16) -> f64 {
    let magnitude = f64::from(bits & 0x3ff) / 1024.0 + 1.0;
    let value = magnitude * f64::from(i32::from((bits >> 10) & 0x1f) - 15).exp2();
    if bits >> 15 == 1 { -value } else { value }
}

/// A request with raw contents.
pub(crate) fn raw_request(model: &str, inputs: &[Expected]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        id: "42".to_owned(),
        inputs: inputs.iter().map(input).collect(),
        raw_input_contents: inputs.iter().map(raw).collect(),
        ..ModelInferRequest::default()
    }
}

pub(crate) fn input(tensor: &Expected) -> InferInputTensor {
    InferInputTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.as_str().to_owned(),
        shape: tensor.shape.clone(),
        ..InferInputTensor::default()
    }
}

/// A request with typed contents.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn typed_request(model: &str, inputs: &[Expected]) -> ModelInferRequest {
    let mut request = raw_request(model, inputs);
    request.raw_input_contents.clear();
    for (input, tensor) in request.inputs.iter_mut().zip(inputs) {
        let numbers = || tensor.data.iter().map(number);
        let mut contents = InferTensorContents::default();
        match tensor.datatype {
            Datatype::Bool => contents.bool_contents = numbers().map(|v| v != 0.0).collect(),
            Datatype::Int8 | Datatype::Int32 => contents.int_contents = numbers().map(|v| v as i32).collect(),
            Datatype::Int64 => contents.int64_contents = numbers().map(|v| v as i64).collect(),
            Datatype::Uint8 => contents.uint_contents = numbers().map(|v| v as u32).collect(),
            Datatype::Fp32 => contents.fp32_contents = numbers().map(|v| v as f32).collect(),
            Datatype::Fp64 => contents.fp64_contents = numbers().collect(),
            Datatype::Bytes => {
                let text = |v: &Value| Bytes::from(v.as_str().unwrap().to_owned());
                contents.bytes_contents = tensor.data.iter().map(text).collect();
            }
            other => panic!("{other} has no typed contents"),
        }
        input.contents = Some(contents);
    }
    request
}

/// Compares an answer with what ONNX Runtime said, within 1e-5.
#[track_caller]
pub(crate) fn assert_answer(name: &str, response: &ModelInferResponse, expected: &[Expected]) {
    assert_eq!(response.model_name, name);
    assert_eq!(response.id, "42");
    assert_eq!(response.outputs.len(), expected.len(), "{name}");
    assert_eq!(response.raw_output_contents.len(), expected.len(), "{name}");
    for ((output, raw), expected) in response
        .outputs
        .iter()
        .zip(&response.raw_output_contents)
        .zip(expected)
    {
        let tensor = format!("{name}: {}", expected.name);
        assert_eq!(output.name, expected.name);
        assert_eq!(output.datatype, expected.datatype.as_str(), "{tensor}");
        assert_eq!(output.shape, expected.shape, "{tensor}");
        if expected.datatype == Datatype::Bytes {
            assert_eq!(*raw, self::raw(expected), "{tensor}");
            continue;
        }
        let got = numbers(expected.datatype, raw);
        assert_eq!(got.len(), expected.data.len(), "{tensor}");
        for (got, expected) in got.iter().zip(&expected.data) {
            let expected = number(expected);
            let bound = 1e-5 * expected.abs().max(1.0);
            let same = (got - expected).abs() <= bound || (got.is_nan() && expected.is_nan());
            assert!(same, "{tensor}: expected {expected}, got {got}");
        }
    }
}

/// Elements of a raw numeric tensor.
pub(crate) fn numbers(datatype: Datatype, raw: &[u8]) -> Vec<f64> {
    let size = datatype.size().unwrap();
    let element = |b: &[u8]| match datatype {
        Datatype::Bool | Datatype::Uint8 => f64::from(b[0]),
        Datatype::Int8 => f64::from(i8::from_le_bytes([b[0]])),
        Datatype::Int32 => f64::from(i32::from_le_bytes(b.try_into().unwrap())),
        Datatype::Int64 => i64::from_le_bytes(b.try_into().unwrap()) as f64,
        Datatype::Fp16 => half_value(u16::from_le_bytes(b.try_into().unwrap())),
        Datatype::Fp32 => f64::from(f32::from_le_bytes(b.try_into().unwrap())),
        Datatype::Fp64 => f64::from_le_bytes(b.try_into().unwrap()),
        other => panic!("no test has {other}"),
    };
    raw.chunks_exact(size).map(element).collect()
}
