//! Which engine runs a model, what is said where one lacks something, and every datatype on both.

use std::path::Path;

use adapter::onnx::{EngineChoice, OnnxRuntime, OptionsError};
use api::{
    datatype::Datatype,
    inference::{
        ModelInferRequest, ModelMetadataRequest, grpc_inference_service_server::GrpcInferenceService as _,
        model_infer_request::InferInputTensor,
    },
};
use bytes::Bytes;
use tonic::{Code, Request};
use tract_onnx::pb::tensor_proto::DataType;

use crate::{
    harness::{ENGINES, case, load_request, loaded_on, ort_library, raw_request, runtime_on},
    identity,
};

async fn platform(runtime: &OnnxRuntime, model: &str) -> String {
    let request = ModelMetadataRequest {
        name: model.to_owned(),
        version: String::new(),
    };
    let metadata = runtime.model_metadata(Request::new(request)).await.unwrap();
    metadata.into_inner().platform
}

#[tokio::test]
async fn models_say_which_engine_they_run_on() {
    for (engine, expected) in [
        (EngineChoice::Builtin, "tract_onnx"),
        (EngineChoice::Ort, "onnxruntime_onnx"),
        (EngineChoice::Auto, "onnxruntime_onnx"),
    ] {
        let runtime = loaded_on(engine, "linear").await;
        assert_eq!(platform(&runtime, "linear").await, expected);
    }
    let engines = |engine| runtime_on(engine).engines();
    assert_eq!(engines(EngineChoice::Builtin), "the built-in engine (tract)");
    let version = ort_library_version();
    assert_eq!(engines(EngineChoice::Ort), format!("ONNX Runtime {version}"));
    assert_eq!(
        engines(EngineChoice::Auto),
        format!("ONNX Runtime {version}, then the built-in engine (tract)")
    );
}

/// The version that the package's file has in its name.
fn ort_library_version() -> String {
    let files = std::fs::read_dir(ort_library()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let version = |name: String| name.strip_prefix("libonnxruntime.so.").map(str::to_owned);
    names.filter_map(version).max_by_key(String::len).unwrap()
}

#[tokio::test]
async fn a_named_library_must_be_usable_unless_the_builtin_engine_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let make = |engine| {
        let mut options = adapter::onnx::OnnxOptions::new(1 << 30);
        options.engine = engine;
        options.ort_library = Some(folder.path().to_owned());
        OnnxRuntime::new(options)
    };
    for engine in [EngineChoice::Auto, EngineChoice::Ort] {
        let error = make(engine).unwrap_err();
        assert!(matches!(error, OptionsError::Library(_)), "{error}");
        let text = error.to_string();
        let parts = [
            folder.path().to_str().unwrap(),
            "libonnxruntime.so",
            "pip install onnxruntime",
            "--onnx-runtime-library",
            "ORT_DYLIB_PATH",
        ];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    make(EngineChoice::Builtin).unwrap();
}

/// An operator that ONNX Runtime has and the built-in engine lacks, and one the other way round would be here if there
/// were one: all that the built-in engine has are from ONNX Runtime's own sets.
#[tokio::test]
async fn what_one_engine_lacks_the_other_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    // A contributed operator that echoes its input.
    identity::write_node(&file, DataType::Float, "com.microsoft", "SampleOp");
    let request = load_request("echo", &file);
    let status = runtime_on(EngineChoice::Builtin)
        .load(&request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    for part in [
        "SampleOp of domain com.microsoft",
        "ONNX Runtime may have it: --onnx-engine ort",
    ] {
        assert!(status.message().contains(part), "{status}");
    }
    for engine in [EngineChoice::Ort, EngineChoice::Auto] {
        let runtime = runtime_on(engine);
        runtime.load(&request).await.unwrap();
        assert_eq!(platform(&runtime, "echo").await, "onnxruntime_onnx");
    }
}

#[tokio::test]
async fn an_operator_that_no_engine_has_is_named_by_each() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    identity::write_node(&file, DataType::Float, "", "Transmogrify");
    let request = load_request("unsupported", &file);
    let status = runtime_on(EngineChoice::Auto).load(&request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    for part in [
        "onnxruntime: unsupported operator: ",
        "tract: unsupported operator: ",
    ] {
        assert!(status.message().contains(part), "{status}");
    }
    let status = runtime_on(EngineChoice::Ort).load(&request).await.unwrap_err();
    assert!(status.message().contains("unsupported operator: "), "{status}");
    assert!(!status.message().contains("--onnx-engine"), "{status}");
}

/// V2's datatypes with ONNX's names of them.
const DATATYPES: [(Datatype, DataType); 14] = [
    (Datatype::Bool, DataType::Bool),
    (Datatype::Int8, DataType::Int8),
    (Datatype::Int16, DataType::Int16),
    (Datatype::Int32, DataType::Int32),
    (Datatype::Int64, DataType::Int64),
    (Datatype::Uint8, DataType::Uint8),
    (Datatype::Uint16, DataType::Uint16),
    (Datatype::Uint32, DataType::Uint32),
    (Datatype::Uint64, DataType::Uint64),
    (Datatype::Fp16, DataType::Float16),
    (Datatype::Bf16, DataType::Bfloat16),
    (Datatype::Fp32, DataType::Float),
    (Datatype::Fp64, DataType::Double),
    (Datatype::Bytes, DataType::String),
];

/// Three elements in raw form, no two bytes of a number alike.
fn elements(datatype: Datatype) -> Bytes {
    match datatype {
        Datatype::Bool => Bytes::from_static(&[1, 0, 1]),
        Datatype::Bytes => {
            let texts = ["", "z", "Zürich"];
            let element =
                |text: &&str| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat();
            texts.iter().flat_map(element).collect()
        }
        sized => (1_u8..).take(3 * sized.size().unwrap()).collect(),
    }
}

fn identity_request(datatype: Datatype, raw: Bytes) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "identity".to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: datatype.as_str().to_owned(),
            shape: vec![3],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![raw],
        ..ModelInferRequest::default()
    }
}

#[tokio::test]
async fn every_datatype_passes_through_every_engine() {
    for engine in ENGINES {
        for (datatype, elem_type) in DATATYPES {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("model.onnx");
            identity::write(&file, elem_type);
            let runtime = runtime_on(engine);
            let loaded = runtime.load(&load_request("identity", &file)).await;
            if engine == EngineChoice::Builtin && datatype == Datatype::Bf16 {
                let status = loaded.unwrap_err();
                assert_eq!(status.code(), Code::FailedPrecondition);
                assert!(status.message().contains("BF16"), "{status}");
                assert!(status.message().contains("--onnx-engine ort"), "{status}");
                continue;
            }
            loaded.unwrap_or_else(|status| panic!("{engine:?} {datatype}: {status}"));
            let raw = elements(datatype);
            // Behind a byte, so that the numbers do not begin where numbers usually do.
            let shifted = Bytes::from([&[0], &raw[..]].concat()).slice(1..);
            for raw in [raw, shifted] {
                let response = runtime.infer(identity_request(datatype, raw.clone())).await;
                let response = response.unwrap_or_else(|status| panic!("{engine:?} {datatype}: {status}"));
                let output = &response.outputs[0];
                assert_eq!(
                    (output.datatype.as_str(), &output.shape[..]),
                    (datatype.as_str(), &[3][..])
                );
                assert_eq!(response.raw_output_contents[0], raw, "{engine:?} {datatype}");
            }
        }
    }
}

#[tokio::test]
async fn a_nul_in_a_string_is_refused_where_the_engine_cannot_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    identity::write(&file, DataType::String);
    let runtime = runtime_on(EngineChoice::Ort);
    runtime.load(&load_request("identity", &file)).await.unwrap();
    let raw = Bytes::from_static(b"\0\0\0\0\x03\0\0\0a\0b\0\0\0\0");
    let status = runtime
        .infer(identity_request(Datatype::Bytes, raw))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("element 1 holds a NUL"), "{status}");
}

#[tokio::test]
async fn both_engines_declare_the_same_tensors() {
    for name in [
        "logistic_zipmap",
        "mixed_columns",
        "forest_double",
        "conv",
        "svc",
        "one_hot_strings",
    ] {
        let mut declared = Vec::new();
        for engine in ENGINES {
            let runtime = loaded_on(engine, name).await;
            let request = ModelMetadataRequest {
                name: name.to_owned(),
                version: String::new(),
            };
            let metadata = runtime.model_metadata(Request::new(request)).await.unwrap();
            let metadata = metadata.into_inner();
            let tensor = |t: &api::inference::model_metadata_response::TensorMetadata| {
                // Extents of outputs are what each engine infers.
                (t.name.clone(), t.datatype.clone(), t.shape.len())
            };
            let inputs = metadata
                .inputs
                .iter()
                .map(|t| (t.name.clone(), t.datatype.clone(), t.shape.clone()));
            declared.push((
                inputs.collect::<Vec<_>>(),
                metadata.outputs.iter().map(tensor).collect::<Vec<_>>(),
            ));
        }
        assert_eq!(declared[0], declared[1], "{name}");
    }
}

#[tokio::test]
async fn wrong_requests_get_the_same_answer_from_both_engines() {
    let mut said = Vec::new();
    for engine in ENGINES {
        let runtime = loaded_on(engine, "linear").await;
        let mut inputs = case("linear").inputs;
        inputs[0].shape[1] += 1;
        let status = runtime.infer(raw_request("linear", &inputs)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        said.push(status.message().to_owned());
    }
    assert_eq!(said[0], said[1]);
}

#[test]
fn a_process_has_one_library() {
    let first = runtime_on(EngineChoice::Ort);
    let copy = tempfile::tempdir().unwrap();
    let name = format!("libonnxruntime.so.{}", ort_library_version());
    std::fs::copy(ort_library().join(&name), copy.path().join(&name)).unwrap();
    let mut options = first.options().clone();
    options.ort_library = Some(Path::to_path_buf(copy.path()));
    let error = OnnxRuntime::new(options).unwrap_err().to_string();
    assert!(error.contains("which this process has loaded"), "{error}");
}
