//! ONNX Runtime under load, with models that others made up, and with external data.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use adapter::onnx::{
    EngineChoice, OnnxRuntime,
    engine::{Engine as _, LoadError},
    ort::OrtEngine,
    source,
    tensor::Tensor,
};
use api::datatype::Datatype;
use prost::Message as _;
use tonic::Code;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, tensor_proto::DataType};

use crate::{
    harness::{assert_answer, case, load_request, loaded_on, models, ort_library, raw_request, runtime_on},
    identity, memory,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_to_one_model_at_the_same_time_get_their_own_answers() {
    let runtime = loaded_on(EngineChoice::Ort, "forest_regressor").await;
    let case = Arc::new(case("forest_regressor"));
    let rows = case.inputs[0].shape[0];
    let mut tasks = Vec::new();
    for task in 0..16 {
        let (runtime, case) = (runtime.clone(), Arc::clone(&case));
        tasks.push(tokio::spawn(async move {
            for round in 0..50 {
                // Each asks for another row.
                let row = usize::try_from((task + round) % rows).unwrap();
                let one = |tensor: &crate::harness::Expected| {
                    let mut tensor = tensor.clone();
                    let width = usize::try_from(tensor.shape[1]).unwrap();
                    tensor.shape[0] = 1;
                    tensor.data = tensor.data[row * width..(row + 1) * width].to_vec();
                    tensor
                };
                let inputs = case.inputs.iter().map(one).collect::<Vec<_>>();
                let outputs = case.outputs.iter().map(one).collect::<Vec<_>>();
                let response = runtime
                    .infer(raw_request("forest_regressor", &inputs))
                    .await
                    .unwrap();
                assert_answer("forest_regressor", &response, &outputs);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // All calls are over, so this does not wait for one.
    runtime.unload("forest_regressor").await.unwrap();
}

/// Calls that take long enough for the others to lose patience, so that the model gets further sessions.
#[test]
fn long_calls_to_one_model_do_not_take_turns_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    memory::write_matrix_model(&file);
    let source = source::resolve(None, file.to_str().unwrap()).unwrap();
    let model = OrtEngine::new(Some(ort_library()))
        .unwrap()
        .load(&source)
        .unwrap();
    let rows = 1024;
    let input = |value: f32| Tensor {
        datatype: Datatype::Fp32,
        shape: vec![rows, 512],
        raw: value.to_le_bytes().repeat(rows * 512).into(),
    };
    let alone = |value: f32| model.run(&[input(value)], &[0]).unwrap();
    let expected = (1..=6_u8).map(|value| alone(value.into())).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (value, expected) in (1..=6_u8).zip(&expected) {
            let model = &model;
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(model.run(&[input(value.into())], &[0]).unwrap(), *expected);
                }
            });
        }
    });
    assert!(!model.is_busy());
}

#[tokio::test]
async fn zip_maps_become_tensors() {
    for name in ["logistic_zipmap", "logistic_strings"] {
        let runtime = loaded_on(EngineChoice::Ort, name).await;
        let case = case(name);
        let response = runtime.infer(raw_request(name, &case.inputs)).await.unwrap();
        assert_answer(name, &response, &case.outputs);
        assert_eq!(response.outputs[1].datatype, "FP32");
    }
}

async fn refused(runtime: &OnnxRuntime, path: &Path, part: &str) {
    let status = runtime.load(&load_request("bad", path)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(status.message().contains(part), "{part:?} in {status}");
    assert!(runtime.loaded().is_empty());
}

#[tokio::test]
async fn external_data_stays_in_the_models_folder() {
    let runtime = runtime_on(EngineChoice::Ort);
    let path = models().join("external");
    runtime.load(&load_request("fine", &path)).await.unwrap();
    runtime.unload("fine").await.unwrap();
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("secret"), [0; 64]).unwrap();
    symlink("../secret", folder.join("link")).unwrap();
    let bytes = fs::read(path.join("model.onnx")).unwrap();
    for (location, part) in [
        ("../secret", "must be a relative path"),
        ("/etc/hostname", "must be a relative path"),
        ("link", "leads outside of the model's folder"),
        ("missing", "No such file"),
    ] {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        model.graph.as_mut().unwrap().initializer[0].external_data = vec![StringStringEntryProto {
            key: "location".to_owned(),
            value: location.to_owned(),
        }];
        fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
        refused(&runtime, &folder, part).await;
    }
}

#[tokio::test]
async fn broken_files_are_refused_and_the_runtime_goes_on() {
    let runtime = runtime_on(EngineChoice::Ort);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let whole = fs::read(models().join("conv.onnx")).unwrap();
    for content in [
        &b"this is no model, whatever its name says"[..],
        b"",
        &whole[..whole.len() / 3],
        &whole[..whole.len() - 1],
    ] {
        fs::write(&file, content).unwrap();
        refused(&runtime, &file, "is not a valid ONNX model").await;
    }
    // Valid as a file, wrong as a graph: ONNX Runtime says what is wrong.
    let changed = |change: &dyn Fn(&mut ModelProto)| {
        let mut model = ModelProto::decode(whole.as_slice()).unwrap();
        change(&mut model);
        fs::write(&file, model.encode_to_vec()).unwrap();
    };
    changed(&|model| model.opset_import.clear());
    refused(&runtime, &file, "the engine cannot prepare the model").await;
    changed(&|model| model.graph.as_mut().unwrap().initializer[0].dims = vec![1 << 40]);
    refused(&runtime, &file, "the engine cannot prepare the model").await;
    changed(&|model| model.graph.as_mut().unwrap().node[0].input[0] = "ghost".to_owned());
    refused(&runtime, &file, "nothing makes").await;
    fs::write(&file, &whole).unwrap();
    runtime.load(&load_request("good", &file)).await.unwrap();
}

#[test]
fn a_refused_model_is_about_the_engine_only_where_another_one_may_do_better() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    fs::write(&file, "no model").unwrap();
    let source = source::resolve(None, file.to_str().unwrap()).unwrap();
    let error = OrtEngine::new(Some(ort_library()))
        .unwrap()
        .load(&source)
        .unwrap_err();
    assert!(
        matches!(error, LoadError::Corrupt { .. }) && !error.is_about_engine(),
        "{error}"
    );
    identity::write_node(&file, DataType::Float, "org.example", "Transmogrify");
    let source = source::resolve(None, file.to_str().unwrap()).unwrap();
    let error = OrtEngine::new(Some(ort_library()))
        .unwrap()
        .load(&source)
        .unwrap_err();
    assert!(
        matches!(error, LoadError::Operators { .. }) && error.is_about_engine(),
        "{error}"
    );
}
