//! Every model of `tests/models` answers what ONNX Runtime answers.

use crate::harness::{assert_answer, case, load_of, models, raw_request, runtime, typed_request};

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
    assert!(names.len() > 20, "{}", names.len());
    names
}

#[tokio::test]
async fn every_model_answers_what_onnx_runtime_answers() {
    let runtime = runtime();
    let mut failures = Vec::new();
    for name in names() {
        let case = case(&name);
        let result = async {
            runtime.load(&load_of(&name)).await?;
            runtime.infer(raw_request(&name, &case.inputs)).await
        };
        match result.await {
            Ok(response) => {
                let compared = std::panic::catch_unwind(|| assert_answer(&name, &response, &case.outputs));
                if compared.is_err() {
                    failures.push(format!("{name}: wrong answer"));
                }
            }
            Err(status) => failures.push(format!("{name}: {}", status.message())),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
