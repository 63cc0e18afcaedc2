//! Estimators and pipelines that are trained and converted here and now answer what ONNX Runtime answers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use adapter::onnx::EngineChoice;
use serde_json::Value;

use crate::harness::{Case, ENGINES, check_answer, load_request, raw_request, read_requests, runtime_on};

/// What `train.py` makes, once for all tests of this binary.
static TRAINED: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let requirements = root.join("tests/estimators/requirements.txt");
    let venv = Command::new(root.join("../scripts/venv.sh"))
        .arg(&requirements)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&venv.stderr);
    assert!(
        venv.status.success(),
        "scripts/venv.sh could not make the Python environment of {}; it needs python3 with venv and a package index: {said}",
        requirements.display()
    );
    let python = PathBuf::from(String::from_utf8(venv.stdout).unwrap().trim()).join("bin/python");
    let trained = Command::new(python)
        .arg(root.join("tests/estimators/train.py"))
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trained.stderr);
    assert!(trained.status.success(), "train.py failed: {said}");
    folder
});

/// One model that was trained.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) title: String,
    /// V2 datatypes of the inputs, or `mixed`.
    pub(crate) inputs: String,
    pub(crate) file: PathBuf,
    pub(crate) requests: Vec<Case>,
}

/// All models, in the order of the table.
pub(crate) fn trained() -> Vec<Trained> {
    let folder = TRAINED.path();
    let index: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let model = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let name = text("name");
        Trained {
            file: folder.join(format!("{name}.onnx")),
            requests: read_requests(&folder.join(format!("{name}.json"))),
            name,
            group: text("group"),
            title: text("title"),
            inputs: text("inputs"),
        }
    };
    index.iter().map(model).collect()
}

/// Operators of the standard, by domain.
pub(crate) fn standard_operators() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(TRAINED.path().join("operators.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Models that an engine refuses, with a part of its message.
const REFUSED: [(EngineChoice, &str, &str); 1] =
    [(EngineChoice::Builtin, "KNNImputer", "Compress can not be typed")];

/// Why an engine refuses the model with this title, if it does.
pub(crate) fn refusal(engine: EngineChoice, title: &str) -> Option<&'static str> {
    let mut refused = REFUSED.iter();
    let found = refused.find(|(refusing, refused, _)| *refusing == engine && *refused == title);
    found.map(|(_, _, reason)| *reason)
}

#[tokio::test]
async fn every_estimator_answers_what_onnx_runtime_answers() {
    let models = trained();
    assert!(models.len() > 150, "{}", models.len());
    let mut failures = String::new();
    for engine in ENGINES {
        let runtime = runtime_on(engine);
        for model in &models {
            let told = format!("{} ({}, model {})", model.title, model.inputs, model.name);
            let mut fail = |what: &str| writeln!(failures, "{engine:?} | {told} | {what}").unwrap();
            let loaded = runtime.load(&load_request(&model.name, &model.file)).await;
            match (loaded, refusal(engine, &model.title)) {
                (Ok(_), None) => {}
                (Ok(_), Some(_)) => {
                    fail("is not refused any more: take it off the list");
                    continue;
                }
                (Err(status), Some(reason)) if status.message().contains(reason) => continue,
                (Err(status), _) => {
                    fail(status.message());
                    continue;
                }
            }
            for case in &model.requests {
                let result = match runtime.infer(raw_request(&model.name, &case.inputs)).await {
                    Ok(response) => check_answer(&response, &case.outputs),
                    Err(status) => Err(status.message().to_owned()),
                };
                if let Err(reason) = result {
                    fail(&reason);
                    break;
                }
            }
            runtime.unload(&model.name).await.unwrap();
        }
    }
    let count = failures.lines().count();
    assert_eq!(count, 0, "{count} of {} failed:\n{failures}", models.len());
}

#[tokio::test]
async fn a_request_without_rows_is_no_failure_of_the_engine() {
    let mut failures = String::new();
    for engine in ENGINES {
        let runtime = runtime_on(engine);
        for model in trained() {
            if refusal(engine, &model.title).is_some() {
                continue;
            }
            runtime
                .load(&load_request(&model.name, &model.file))
                .await
                .unwrap();
            let mut inputs = model.requests[0].inputs.clone();
            for input in &mut inputs {
                input.shape[0] = 0;
                input.data.clear();
            }
            // Some graphs need a row; that is the request's fault then, and said so.
            let result = runtime.infer(raw_request(&model.name, &inputs)).await;
            if let Some(status) = result
                .err()
                .filter(|status| status.code() == tonic::Code::Internal)
            {
                writeln!(failures, "{engine:?} | {} | {}", model.title, status.message()).unwrap();
            }
            runtime.unload(&model.name).await.unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
