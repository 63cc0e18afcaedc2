//! The second engine: ONNX Runtime, loaded from its shared library when the process starts.
//!
//! ```text
//! library ─► environment: one per process, with the threads that all models share
//! source ──► file: the checks that hold for every engine, external data ─► OrtModel ─► sessions ─► tensors
//! ```
//!
//! ONNX Runtime is C++: what it does with a model that passed our checks is not contained by Rust. It reports failures
//! as errors, and panics of its binding are caught here.

mod element;
mod environment;
mod file;
mod library;
mod model;
mod reason;
mod sessions;
mod tensors;

use std::path::Path;

pub use self::library::LibraryError;
use self::{environment::Runtime, file::ModelFile, model::OrtModel};
use super::{
    engine::{Engine, LoadError, LoadedModel},
    source::Source,
};

/// The engine. Cheap to clone; all of a process share one library and its threads.
#[derive(Clone, Debug)]
pub struct OrtEngine {
    runtime: Runtime,
}

impl OrtEngine {
    /// Loads the library at `named`, which may also be its folder; without a name, the first one that is found. A
    /// process can load one only. Blocks while it is loaded.
    pub fn new(named: Option<&Path>) -> Result<Self, LibraryError> {
        let path = library::find(named)?;
        let runtime = environment::open(&path)?;
        Ok(Self { runtime })
    }

    /// The library that is loaded.
    pub fn library(&self) -> &Path {
        self.runtime.library()
    }
}

impl Engine for OrtEngine {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn platform(&self) -> &'static str {
        "onnxruntime_onnx"
    }

    fn description(&self) -> String {
        match self.runtime.version() {
            Some(version) => format!("ONNX Runtime {version}"),
            None => "ONNX Runtime".to_owned(),
        }
    }

    fn load(&self, source: &Source) -> Result<Box<dyn LoadedModel>, LoadError> {
        let file = ModelFile::read(&source.file)?;
        for output in &file.inspected.unmapped {
            tracing::warn!(
                file = %source.file.display(),
                output,
                "ZipMap taken out, the output is the tensor of probabilities"
            );
        }
        let model = reason::contained(|| OrtModel::new(&self.runtime, file))
            .map_err(|reason| LoadError::Panic { reason })??;
        Ok(Box::new(model))
    }
}
