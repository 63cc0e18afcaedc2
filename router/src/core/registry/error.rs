//! What the registry refuses.

use crate::model::ModelId;

use super::VModelId;

/// Why a change was refused; nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A required field is empty.
    #[error("must provide non-empty {field}")]
    Empty {
        /// Name of the field.
        field: &'static str,
    },
    /// A field is too long.
    #[error("{field} has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// An id would break headers, logs or keys.
    #[error("{field} must not contain control characters, found {found:?} at byte {at}")]
    ControlCharacter {
        /// Name of the field.
        field: &'static str,
        /// The character.
        found: char,
        /// Where it is.
        at: usize,
    },
    /// The model exists with other attributes. Their values are not told: a key may be a secret.
    #[error("model {id} already exists with a different {field}")]
    ModelExists {
        /// Id of the model.
        id: ModelId,
        /// First attribute that differs.
        field: &'static str,
    },
    /// No such model.
    #[error("model {0} not found")]
    ModelNotFound(ModelId),
    /// A vmodel points to the model.
    #[error("Model {id} has referents")]
    Referenced {
        /// Id of the model.
        id: ModelId,
    },
    /// The target of a vmodel does not exist, and nothing was given to create it from.
    #[error("target model {0} not found; register it first or give modelInfo")]
    TargetNotFound(ModelId),
    /// Only an update was wanted, or a certain target, and there is no such vmodel.
    #[error("vmodel {id} not found, {wanted}")]
    VModelNotFound {
        /// Id of the vmodel.
        id: VModelId,
        /// What the request wanted of it.
        wanted: Wanted,
    },
    /// The vmodel has another target than the request expects.
    #[error("vmodel {id} has target model {target}, expected {expected}")]
    ExpectedTarget {
        /// Id of the vmodel.
        id: VModelId,
        /// The target it has.
        target: ModelId,
        /// The target that the request expected.
        expected: String,
    },
    /// The vmodel belongs to someone else.
    #[error("vmodel {id} already exists with different owner \"{owner}\"")]
    OtherOwner {
        /// Id of the vmodel.
        id: VModelId,
        /// Its owner.
        owner: Box<str>,
    },
    /// Weights that cannot be.
    #[error(
        "weights of {models} models add up to {total}: at most {max} models are allowed, each with 1 to 100, at most 100 together"
    )]
    Weights {
        /// Their sum.
        total: u32,
        /// How many there are.
        models: usize,
        /// The limit of that.
        max: usize,
    },
    /// A model has two parts of a vmodel's requests.
    #[error("model {0} is named twice: once in weights is enough, and the active model gets what is left")]
    WeightTwice(ModelId),
    /// What keeps a client with one model is no header.
    #[error("sticky header {header:?} is no valid header name")]
    Sticky {
        /// What was given.
        header: String,
    },
    /// A limit is reached.
    #[error("the registry holds {max} {what}, which is its limit")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// Why a vmodel had to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `updateOnly`.
    Update,
    /// `expectedTargetModelId`.
    Target,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Update => "and updateOnly is set",
            Self::Target => "and expectedTargetModelId is another model than targetModelId",
        })
    }
}
