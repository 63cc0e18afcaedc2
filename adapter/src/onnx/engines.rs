//! The engines of a runtime, in the order in which a model is tried with them.

use std::{path::Path, sync::Arc};

use super::{
    engine::{Engine, LoadError, LoadedModel, MissingOperator},
    options::EngineChoice,
    ort::{LibraryError, OrtEngine},
    source::Source,
    tract::TractEngine,
};

/// A model, and the engine that runs it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) model: Box<dyn LoadedModel>,
    pub(super) engine: Arc<dyn Engine>,
}

/// One or two engines.
#[derive(Debug)]
pub(super) struct Engines {
    first: Arc<dyn Engine>,
    /// Tried with what the first one refuses.
    second: Option<Arc<dyn Engine>>,
    /// What is not there, for those who meet a limit of the engine that is.
    absent: Option<Absent>,
}

/// An engine that a model is not tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    /// Its library was not found.
    OrtLibrary,
    /// It was not asked for.
    Ort,
    /// It was not asked for.
    Builtin,
}

/// Domains whose operators ONNX Runtime brings along.
const ORT_DOMAINS: [&str; 3] = ["ai.onnx", "ai.onnx.ml", "com.microsoft"];

impl Engines {
    /// The engines that `choice` means on this machine. `library` must be usable where it is named.
    pub(super) fn new(choice: EngineChoice, library: Option<&Path>) -> Result<Self, LibraryError> {
        let builtin = || Arc::new(TractEngine::new()) as Arc<dyn Engine>;
        let ort = || OrtEngine::new(library).map(|engine| Arc::new(engine) as Arc<dyn Engine>);
        Ok(match choice {
            EngineChoice::Builtin => Self::one(builtin(), Some(Absent::Ort)),
            EngineChoice::Ort => Self::one(ort()?, Some(Absent::Builtin)),
            EngineChoice::Auto => match ort() {
                Ok(ort) => Self {
                    first: ort,
                    second: Some(builtin()),
                    absent: None,
                },
                Err(error) if library.is_some() => return Err(error),
                Err(error) => {
                    if !matches!(error, LibraryError::NotFound { .. }) {
                        tracing::warn!(error = %error, "ONNX Runtime not used");
                    }
                    Self::one(builtin(), Some(Absent::OrtLibrary))
                }
            },
        })
    }

    /// This engine and no other.
    pub(super) fn only(engine: Arc<dyn Engine>) -> Self {
        Self::one(engine, None)
    }

    fn one(first: Arc<dyn Engine>, absent: Option<Absent>) -> Self {
        Self {
            first,
            second: None,
            absent,
        }
    }

    /// Name of the preferred engine.
    pub(super) fn name(&self) -> &'static str {
        self.first.name()
    }

    /// All of them, for people.
    pub(super) fn description(&self) -> String {
        match &self.second {
            None => self.first.description(),
            Some(second) => format!("{}, then {}", self.first.description(), second.description()),
        }
    }

    /// Loads a model with the first engine that takes it.
    pub(super) fn load(&self, source: &Source) -> Result<Loaded, LoadError> {
        let refusal = match self.first.load(source) {
            Ok(model) => return Ok(loaded(model, &self.first)),
            Err(error) if error.is_about_engine() => error,
            Err(error) => return Err(error),
        };
        let Some(second) = &self.second else {
            return Err(self.with_hint(refusal));
        };
        match second.load(source) {
            Ok(model) => {
                let (file, engine) = (source.file.display(), second.name());
                tracing::info!(%file, engine, reason = %refusal, "model runs on the second engine");
                Ok(loaded(model, second))
            }
            Err(error) => Err(LoadError::All {
                refusals: vec![(self.first.name(), refusal), (second.name(), error)],
            }),
        }
    }

    fn with_hint(&self, refusal: LoadError) -> LoadError {
        let hint = match &refusal {
            LoadError::Operators { operators, .. } => self.hint(operators),
            _ => None,
        };
        match hint {
            None => refusal,
            Some(hint) => LoadError::Elsewhere {
                refusal: Box::new(refusal),
                hint: hint.to_owned(),
            },
        }
    }

    /// Where operators are that this engine lacks.
    fn hint(&self, missing: &[MissingOperator]) -> Option<&'static str> {
        // What ONNX Runtime has depends on its version, so nothing is promised about it.
        let is_ort = || missing.iter().all(|m| ORT_DOMAINS.contains(&m.domain.as_str()));
        match self.absent? {
            Absent::Ort => is_ort().then_some("ONNX Runtime may have it: --onnx-engine ort"),
            Absent::OrtLibrary => is_ort().then_some(
                "ONNX Runtime may have it: install it (pip install onnxruntime) and name its library with \
                 --onnx-runtime-library",
            ),
            Absent::Builtin => {
                let builtin = TractEngine::new();
                let has = |m: &MissingOperator| builtin.has_operator(&m.domain, &m.operator);
                let has = missing.iter().all(has);
                has.then_some("the built-in engine has it: --onnx-engine builtin, or auto for both")
            }
        }
    }
}

fn loaded(model: Box<dyn LoadedModel>, engine: &Arc<dyn Engine>) -> Loaded {
    Loaded {
        model,
        engine: Arc::clone(engine),
    }
}
