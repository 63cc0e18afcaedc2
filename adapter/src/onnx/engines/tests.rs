use std::path::PathBuf;

use super::*;
use crate::onnx::{
    engine::{RunError, TensorInfo},
    tensor::Tensor,
};

/// An engine that refuses every model for the operator it lacks, or takes every model.
#[derive(Debug)]
struct Picky(&'static str, Option<(&'static str, &'static str)>);

impl Engine for Picky {
    fn name(&self) -> &'static str {
        self.0
    }

    fn platform(&self) -> &'static str {
        "picky_onnx"
    }

    fn load(&self, _source: &Source) -> Result<Box<dyn LoadedModel>, LoadError> {
        match self.1 {
            None => Ok(Box::new(Anything)),
            Some(("", _)) => Err(LoadError::Corrupt {
                path: PathBuf::from("m.onnx"),
                reason: "cut short".to_owned(),
            }),
            Some((domain, operator)) => Err(LoadError::Operators {
                operators: vec![MissingOperator {
                    operator: operator.to_owned(),
                    domain: domain.to_owned(),
                    node: "n".to_owned(),
                }],
                opsets: "operator sets ai.onnx 17".to_owned(),
            }),
        }
    }
}

#[derive(Debug)]
struct Anything;

impl LoadedModel for Anything {
    fn inputs(&self) -> &[TensorInfo] {
        &[]
    }

    fn outputs(&self) -> &[TensorInfo] {
        &[]
    }

    fn size_bytes(&self) -> u64 {
        1
    }

    fn run(&self, _inputs: &[Tensor], _wanted: &[usize]) -> Result<Vec<Tensor>, RunError> {
        Ok(Vec::new())
    }
}

fn load(engines: &Engines) -> Result<&'static str, String> {
    let source = Source {
        file: PathBuf::from("m.onnx"),
        file_bytes: 1,
        disk_bytes: 1,
    };
    match engines.load(&source) {
        Ok(loaded) => Ok(loaded.engine.name()),
        Err(error) => Err(error.to_string()),
    }
}

/// What is said where one engine lacks this operator and the other is not there.
fn refusal(domain: &'static str, operator: &'static str, absent: Absent) -> String {
    let engine = Arc::new(Picky("picky", Some((domain, operator))));
    load(&Engines::one(engine, Some(absent))).unwrap_err()
}

#[test]
fn a_hint_names_the_engine_that_may_have_the_operator() {
    for (domain, operator, absent, hint) in [
        (
            "ai.onnx",
            "Loop",
            Absent::Ort,
            "; ONNX Runtime may have it: --onnx-engine ort",
        ),
        (
            "ai.onnx.ml",
            "TreeEnsemble",
            Absent::OrtLibrary,
            "--onnx-runtime-library",
        ),
        (
            "ai.onnx",
            "Add",
            Absent::Builtin,
            "; the built-in engine has it: --onnx-engine builtin",
        ),
        ("ai.onnx.ml", "Scaler", Absent::Builtin, "--onnx-engine builtin"),
    ] {
        let text = refusal(domain, operator, absent);
        assert!(text.starts_with("unsupported operator: "), "{text}");
        assert!(text.contains(hint), "{hint:?} in {text}");
    }
}

#[test]
fn no_hint_leads_nowhere() {
    for (domain, operator, absent) in [
        ("org.example", "Add", Absent::Ort),
        ("org.example", "Add", Absent::OrtLibrary),
        ("org.example", "Add", Absent::Builtin),
        ("ai.onnx", "Transmogrify", Absent::Builtin),
    ] {
        let text = refusal(domain, operator, absent);
        assert!(!text.contains("--onnx"), "{text}");
    }
}

fn two(first: Picky, second: Picky) -> Engines {
    Engines {
        first: Arc::new(first),
        second: Some(Arc::new(second)),
        absent: None,
    }
}

#[test]
fn the_second_engine_gets_what_the_first_one_lacks() {
    let lacks = Some(("ai.onnx", "Loop"));
    assert_eq!(load(&two(Picky("a", None), Picky("b", None))), Ok("a"));
    assert_eq!(load(&two(Picky("a", lacks), Picky("b", None))), Ok("b"));
    let text = load(&two(Picky("a", lacks), Picky("b", lacks))).unwrap_err();
    assert!(text.contains("a: unsupported operator: Loop"), "{text}");
    assert!(text.contains("; b: unsupported operator: Loop"), "{text}");
}

#[test]
fn a_broken_file_is_not_tried_twice() {
    let text = load(&two(Picky("a", Some(("", ""))), Picky("b", None))).unwrap_err();
    assert_eq!(text, "m.onnx is not a valid ONNX model: cut short");
}
