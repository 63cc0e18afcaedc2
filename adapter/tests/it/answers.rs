//! Every model of `tests/models` and `examples/` answers what Python's ONNX Runtime answered, on both engines.

use std::path::{Path, PathBuf};

use adapter::onnx::OnnxRuntime;
use api::inference::model_infer_request::InferRequestedOutputTensor;

use crate::harness::{
    Case, ENGINES, assert_answer, case, load_of, load_request, loaded_on, models, raw_request, read_tensors,
    runtime_on, typed_request,
};

/// Names of the models that have expectations.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(models()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    assert!(names.len() > 60, "{}", names.len());
    names
}

#[tokio::test]
async fn every_model_answers_what_onnx_runtime_answers() {
    for engine in ENGINES {
        let runtime = runtime_on(engine);
        for name in names() {
            let case = case(&name);
            runtime
                .load(&load_of(&name))
                .await
                .unwrap_or_else(|status| panic!("{engine:?} {name}: {status}"));
            let response = runtime.infer(raw_request(&name, &case.inputs)).await;
            assert_answer(
                &name,
                &response.unwrap_or_else(|status| panic!("{engine:?} {name}: {status}")),
                &case.outputs,
            );
        }
    }
}

#[tokio::test]
async fn the_examples_answer_what_is_written_beside_them() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for (name, path, expected) in [
        ("iris", "iris.onnx", "iris"),
        ("wine", "wine", "wine"),
        ("breast-cancer", "breast-cancer/2/model.onnx", "breast-cancer"),
        ("breast-cancer", "breast-cancer/1", "breast-cancer.v1"),
        ("diabetes", "diabetes.onnx", "diabetes"),
        ("digits", "digits", "digits"),
        ("digits-cnn", "digits-cnn", "digits-cnn"),
    ] {
        let requests = |file: String| -> PathBuf { examples.join("requests").join(file) };
        let case = Case {
            inputs: read_tensors(&requests(format!("{name}.json")), "inputs"),
            outputs: read_tensors(&requests(format!("{expected}.expected.json")), "outputs"),
        };
        for engine in ENGINES {
            let runtime = runtime_on(engine);
            runtime
                .load(&load_request(expected, examples.join("models").join(path)))
                .await
                .unwrap();
            let response = runtime.infer(raw_request(expected, &case.inputs)).await.unwrap();
            assert_answer(expected, &response, &case.outputs);
        }
    }
}

#[tokio::test]
async fn typed_contents_are_the_same_as_raw_ones() {
    for name in [
        "logistic_strings",
        "forest_double",
        "mixed_columns",
        "one_hot_ints",
        "transpose_int8",
        "transpose_uint8",
        "transpose_int32",
        "transpose_bool",
        "transpose_string",
    ] {
        let case = case(name);
        for engine in ENGINES {
            let runtime = loaded_on(engine, name).await;
            let response = runtime.infer(typed_request(name, &case.inputs)).await.unwrap();
            assert_answer(name, &response, &case.outputs);
        }
    }
}

#[tokio::test]
async fn each_request_brings_its_own_batch() {
    for engine in ENGINES {
        check_batches(&loaded_on(engine, "forest_regressor").await).await;
    }
}

async fn check_batches(runtime: &OnnxRuntime) {
    let case = case("forest_regressor");
    for rows in [1, 3, 5] {
        let (mut inputs, mut outputs) = (case.inputs.clone(), case.outputs.clone());
        for tensor in inputs.iter_mut().chain(&mut outputs) {
            let width = usize::try_from(tensor.shape[1]).unwrap();
            tensor.shape[0] = rows;
            tensor.data.truncate(usize::try_from(rows).unwrap() * width);
        }
        let response = runtime
            .infer(raw_request("forest_regressor", &inputs))
            .await
            .unwrap();
        assert_answer("forest_regressor", &response, &outputs);
    }
    let mut inputs = case.inputs.clone();
    inputs[0].shape[0] = 0;
    inputs[0].data.clear();
    let response = runtime
        .infer(raw_request("forest_regressor", &inputs))
        .await
        .unwrap();
    assert_eq!(response.outputs[0].shape, [0, 1]);
    assert!(response.raw_output_contents[0].is_empty());
}

#[tokio::test]
async fn only_requested_outputs_are_answered_in_the_order_asked_for() {
    for engine in ENGINES {
        check_selection(&loaded_on(engine, "logistic_strings").await).await;
    }
}

async fn check_selection(runtime: &OnnxRuntime) {
    let case = case("logistic_strings");
    let ask = |names: &[&str]| {
        let mut request = raw_request("logistic_strings", &case.inputs);
        let output = |name: &&str| InferRequestedOutputTensor {
            name: (*name).to_owned(),
            ..Default::default()
        };
        request.outputs = names.iter().map(output).collect();
        request
    };
    let (label, scores) = (case.outputs[0].name.as_str(), case.outputs[1].name.as_str());
    let response = runtime.infer(ask(&[scores])).await.unwrap();
    assert_answer("logistic_strings", &response, &case.outputs[1..]);
    let response = runtime.infer(ask(&[scores, label])).await.unwrap();
    let swapped = [case.outputs[1].clone(), case.outputs[0].clone()];
    assert_answer("logistic_strings", &response, &swapped);
}
