//! What an inference engine must offer; everything above it is independent of the engine.

use std::{fmt, io, path::PathBuf};

use api::datatype::Datatype;

use super::{source::Source, tensor::Tensor};

/// Turns model files into models that run.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Name, for metadata and logs.
    fn name(&self) -> &'static str;

    /// V2's `platform` of its models: engine and format.
    fn platform(&self) -> &'static str;

    /// Name and, where it is known, version.
    fn description(&self) -> String {
        self.name().to_owned()
    }

    /// Whether it is known to have this operator; `ai.onnx` is written out.
    fn has_operator(&self, _domain: &str, _operator: &str) -> bool {
        false
    }

    /// Loads one model. Blocks for as long as that takes; an error leaves nothing behind.
    fn load(&self, source: &Source) -> Result<Box<dyn LoadedModel>, LoadError>;
}

/// A model in memory. Dropping it frees the memory.
pub trait LoadedModel: fmt::Debug + Send + Sync + 'static {
    /// Tensors that every request brings.
    fn inputs(&self) -> &[TensorInfo];

    /// Tensors that may be asked for.
    fn outputs(&self) -> &[TensorInfo];

    /// Memory the model holds.
    fn size_bytes(&self) -> u64;

    /// Whether a call of [`Self::run`] that begins now may have to wait for another one to end.
    fn is_busy(&self) -> bool {
        false
    }

    /// Runs on `inputs`, aligned with [`Self::inputs`] and already checked against them; answers the outputs
    /// with the indices `wanted`, in that order. Blocks for as long as that takes.
    fn run(&self, inputs: &[Tensor], wanted: &[usize]) -> Result<Vec<Tensor>, RunError>;
}

/// Declaration of a model's input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub datatype: Datatype,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
}

/// One dimension of a declared tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this extent.
    Fixed(usize),
    /// Any extent, but the same wherever this name is used within one request.
    Named(String),
    /// Any extent.
    Any,
}

impl Dim {
    /// The V2 form: -1 for whatever is not fixed.
    pub fn to_v2(&self) -> i64 {
        match self {
            Self::Fixed(extent) => i64::try_from(*extent).unwrap_or(i64::MAX),
            Self::Named(_) | Self::Any => -1,
        }
    }
}

/// A node whose operator the engine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOperator {
    /// Operator, for example `Einsum`.
    pub operator: String,
    /// Its domain; `ai.onnx` is written out.
    pub domain: String,
    /// The first node that needs it.
    pub node: String,
}

impl fmt::Display for MissingOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of domain {} (node {:?})",
            self.operator, self.domain, self.node
        )
    }
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is not an ONNX model, or not a whole one.
    #[error("{} is not a valid ONNX model: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The graph needs operators that the engine does not have.
    #[error("unsupported operator: {}; the model imports {opsets}", list(operators))]
    Operators {
        /// Every operator that is missing, once.
        operators: Vec<MissingOperator>,
        /// Operator sets of the model.
        opsets: String,
    },
    /// The graph uses something else that the engine does not have.
    #[error("unsupported model: {reason}")]
    Unsupported {
        /// What, and what would do instead.
        reason: String,
    },
    /// An external data file is missing or not allowed.
    #[error("external data of tensor {tensor:?}: {reason}")]
    ExternalData {
        /// The tensor that refers to it.
        tensor: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// The engine refused the graph.
    #[error("the engine cannot prepare the model: {reason}; the model imports {opsets}")]
    Prepare {
        /// The engine's reason.
        reason: String,
        /// Operator sets of the model.
        opsets: String,
    },
    /// The engine panicked, and the panic was contained.
    #[error("the engine failed on this model: {reason}")]
    Panic {
        /// The panic's message.
        reason: String,
    },
    /// The engine lacks something that another one has, or may have.
    #[error("{refusal}; {hint}")]
    Elsewhere {
        /// What it lacks.
        refusal: Box<LoadError>,
        /// Which engine to try, and how.
        hint: String,
    },
    /// Every engine refused the model.
    #[error("{}", each(refusals))]
    All {
        /// Names of the engines, and why each refused.
        refusals: Vec<(&'static str, LoadError)>,
    },
}

impl LoadError {
    /// Whether this says something about the engine rather than about the files: another engine may do better.
    pub fn is_about_engine(&self) -> bool {
        match self {
            Self::Operators { .. } | Self::Unsupported { .. } | Self::Prepare { .. } | Self::Panic { .. } => {
                true
            }
            Self::Elsewhere { refusal, .. } => refusal.is_about_engine(),
            Self::Read { .. } | Self::Corrupt { .. } | Self::ExternalData { .. } | Self::All { .. } => false,
        }
    }
}

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine refused these inputs.
    #[error("{reason}")]
    Refused {
        /// The engine's reason.
        reason: String,
    },
    /// The engine panicked, and the panic was contained.
    #[error("the engine failed: {reason}")]
    Panic {
        /// The panic's message.
        reason: String,
    },
}

/// An operator list can be as long as the graph; a status message cannot.
const MAX_LISTED: usize = 8;

fn each(refusals: &[(&'static str, LoadError)]) -> String {
    let texts = refusals
        .iter()
        .map(|(engine, error)| format!("{engine}: {error}"));
    texts.collect::<Vec<_>>().join("; ")
}

fn list(operators: &[MissingOperator]) -> String {
    let text = operators
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if operators.len() > MAX_LISTED {
        let more = operators.len() - MAX_LISTED;
        return format!("{text} and {more} more");
    }
    text
}
