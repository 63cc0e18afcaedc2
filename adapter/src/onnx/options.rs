//! What can be set.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::ort::LibraryError;

/// Which inference engines run models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// ONNX Runtime where its library is found, with the built-in engine for what it refuses; else the built-in one
    #[default]
    Auto,
    /// The engine that is compiled in; needs nothing installed
    Builtin,
    /// ONNX Runtime; its library must be there
    Ort,
}

/// How the runtime works. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct OnnxOptions {
    /// Memory that loaded models may take together; reported, and a single model that exceeds it is refused.
    pub capacity_bytes: u64,
    /// Loads that run at once.
    pub loading_concurrency: u32,
    /// Time a load may take.
    pub load_timeout: Duration,
    /// Size of a model about which nothing is known.
    pub default_model_bytes: u64,
    /// Factor from size on disk to predicted size in memory.
    pub size_multiplier: f64,
    /// Inferences that one model may run at once; `None` = no limit.
    pub per_model_concurrency: Option<u32>,
    /// Model paths must lie inside this folder; `None` = any path.
    pub models_root: Option<PathBuf>,
    /// Version that is reported.
    pub runtime_version: String,
    /// Largest gRPC message, both ways.
    pub max_message_bytes: usize,
    /// Which engines run models.
    pub engine: EngineChoice,
    /// ONNX Runtime's library, or the folder that holds it; `None` = beside the program, then where the system's
    /// loader looks.
    pub ort_library: Option<PathBuf>,
}

impl OnnxOptions {
    /// Default of [`Self::max_message_bytes`], the router's default too.
    pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
    /// Default of [`Self::size_multiplier`].
    pub const DEFAULT_SIZE_MULTIPLIER: f64 = 1.25;
    /// Default of [`Self::default_model_bytes`].
    pub const DEFAULT_MODEL_BYTES: u64 = 1_000_000;
    /// Default of [`Self::load_timeout`].
    pub const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_secs(30);

    /// The defaults, with this capacity.
    pub fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            loading_concurrency: 1,
            load_timeout: Self::DEFAULT_LOAD_TIMEOUT,
            default_model_bytes: Self::DEFAULT_MODEL_BYTES,
            size_multiplier: Self::DEFAULT_SIZE_MULTIPLIER,
            per_model_concurrency: None,
            models_root: None,
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            max_message_bytes: Self::DEFAULT_MAX_MESSAGE_BYTES,
            engine: EngineChoice::default(),
            ort_library: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let rules = [
            (self.capacity_bytes > 0, "capacity_bytes must be more than 0"),
            (
                self.loading_concurrency > 0,
                "loading_concurrency must be more than 0",
            ),
            (
                self.load_timeout >= Duration::from_millis(100),
                "load_timeout must be 100 ms or more",
            ),
            (
                self.default_model_bytes > 0,
                "default_model_bytes must be more than 0",
            ),
            (
                self.size_multiplier.is_finite() && self.size_multiplier > 0.0,
                "size_multiplier must be more than 0",
            ),
            (
                self.per_model_concurrency != Some(0),
                "per_model_concurrency must be more than 0",
            ),
            (
                self.max_message_bytes > 0,
                "max_message_bytes must be more than 0",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(OptionsError::Rule(rule)),
            None => Ok(()),
        }
    }
}

/// Options that make no sense, or that this machine cannot meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A value that makes no sense.
    #[error("{0}")]
    Rule(&'static str),
    /// ONNX Runtime was asked for and cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
}
