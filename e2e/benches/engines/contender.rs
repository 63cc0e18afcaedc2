//! What is compared: engines in this process, and a process in Python.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use adapter::onnx::{
    engine::{Engine, LoadedModel},
    ort::OrtEngine,
    source,
    tract::TractEngine,
};
use anyhow::Context;
use e2e::{bench::sheet::median, process};

use super::{
    input::{Answer, Input},
    python::Python,
};

/// An engine with the model that it has loaded.
pub(super) enum Contender {
    Here {
        name: &'static str,
        engine: Box<dyn Engine>,
        model: Option<Box<dyn LoadedModel>>,
    },
    Python(Python),
}

/// The name under which Python's numbers stand; the others are compared with it.
pub(super) const PYTHON: &str = "onnxruntime in Python";
/// Calls before anything is measured.
const WARM_UP: usize = 3;

/// All of them. The library of `onnxruntime` is Python's own, so that both measure the same one.
pub(super) fn all() -> anyhow::Result<Vec<Contender>> {
    let venv = venv()?;
    let here = |name, engine: Box<dyn Engine>| Contender::Here {
        name,
        engine,
        model: None,
    };
    let ort = OrtEngine::new(Some(&library(&venv)?))?;
    Ok(vec![
        here("builtin", Box::new(TractEngine::new())),
        here("onnxruntime", Box::new(ort)),
        Contender::Python(Python::start(&venv.join("bin/python"))?),
    ])
}

impl Contender {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Here { name, .. } => name,
            Self::Python(_) => PYTHON,
        }
    }

    /// Loads a model from `path` within `examples/models`, and forgets the one before.
    pub(super) fn load(&mut self, name: &str, path: &str) -> anyhow::Result<()> {
        let models = process::root().join("examples/models");
        let source = source::resolve(Some(&models), path)?;
        match self {
            Self::Here { engine, model, .. } => *model = Some(engine.load(&source)?),
            Self::Python(python) => python.load(&source.file).with_context(|| name.to_owned())?,
        }
        Ok(())
    }

    /// All outputs, in the order of the model.
    pub(super) fn answer(&mut self, input: &Input) -> anyhow::Result<Vec<Answer>> {
        match self {
            Self::Here { model, .. } => {
                let model = loaded(model.as_deref())?;
                let outputs = model.run(&[input.tensor()], &wanted(model))?;
                outputs.iter().map(Answer::of_tensor).collect()
            }
            Self::Python(python) => python.answer(input),
        }
    }

    /// Calls for `time`, and tells the median time of a call.
    pub(super) fn median_us(&mut self, input: &Input, time: Duration) -> anyhow::Result<f64> {
        match self {
            Self::Here { model, .. } => {
                let model = loaded(model.as_deref())?;
                let (inputs, wanted) = ([input.tensor()], wanted(model));
                for _ in 0..WARM_UP {
                    model.run(&inputs, &wanted)?;
                }
                let mut times = Vec::new();
                let end = Instant::now() + time;
                loop {
                    let started = Instant::now();
                    std::hint::black_box(model.run(&inputs, &wanted)?);
                    times.push(started.elapsed().as_secs_f64() * 1e6);
                    if Instant::now() >= end {
                        return Ok(median(times));
                    }
                }
            }
            Self::Python(python) => python.median_us(input, time, WARM_UP),
        }
    }
}

fn loaded(model: Option<&dyn LoadedModel>) -> anyhow::Result<&dyn LoadedModel> {
    model.context("no model is loaded")
}

fn wanted(model: &dyn LoadedModel) -> Vec<usize> {
    (0..model.outputs().len()).collect()
}

fn venv() -> anyhow::Result<PathBuf> {
    let output = Command::new("scripts/venv.sh")
        .arg("e2e/clients/requirements.txt")
        .output()
        .context("run scripts/venv.sh")?;
    anyhow::ensure!(
        output.status.success(),
        "scripts/venv.sh: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The folder with the library of the Python package.
fn library(venv: &std::path::Path) -> anyhow::Result<PathBuf> {
    let mut pythons = fs::read_dir(venv.join("lib"))?.filter_map(Result::ok);
    pythons
        .find_map(|python| {
            let folder = python.path().join("site-packages/onnxruntime/capi");
            folder.is_dir().then_some(folder)
        })
        .context("the environment has no onnxruntime")
}
