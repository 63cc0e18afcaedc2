//! Records of models and vmodels: small, immutable, shared with readers.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use crate::model::{ModelId, ModelSpec};

use super::{Placed, RegistryError, Wish};

/// Longest type, in bytes. Real ones are words such as `rt:triton` or `sklearn:1`.
const MAX_TYPE_LEN: usize = 1024;
/// Longest path, in bytes: the longest object store keys with room for a URL around them.
const MAX_PATH_LEN: usize = 8 * 1024;
/// Longest key, in bytes. It is JSON with storage parameters and perhaps a schema.
const MAX_KEY_LEN: usize = 64 * 1024;

/// Stable name that points to a model. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VModelId(Arc<str>);

impl VModelId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for VModelId {
    fn from(id: &str) -> Self {
        Self(Arc::from(id))
    }
}

impl Deref for VModelId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for VModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A registered model.
#[derive(Clone, Debug)]
pub struct ModelRecord {
    /// What a runtime needs to load it. Never changes while the model is registered, and is another allocation
    /// after it was removed and registered again: its address identifies the registration.
    pub spec: Arc<ModelSpec>,
    /// Milliseconds since the epoch; behind the truth by up to an hour, and made up when it was never used.
    pub last_used: u64,
    /// Number of vmodels that have this model as active or target.
    pub refs: u32,
    /// One of them; the registry knows the others. Few models have any.
    pub(super) pointer: Option<VModelId>,
    /// It goes when the last vmodel stops pointing to it.
    pub auto_delete: bool,
    /// Where it is loaded, and where it could not be.
    pub placed: Placed,
    /// How many copies there shall be, and where.
    pub wish: Wish,
}

impl ModelRecord {
    pub(crate) fn new(spec: ModelSpec, auto_delete: bool, last_used: u64) -> Self {
        Self {
            spec: Arc::new(spec),
            last_used,
            refs: 0,
            pointer: None,
            auto_delete,
            placed: Placed::default(),
            wish: Wish::default(),
        }
    }

    /// First attribute in which `spec` differs, by its name in the protocol.
    pub(super) fn difference(&self, spec: &ModelSpec) -> Option<&'static str> {
        let ModelSpec { kind, path, key } = spec;
        [
            (*kind == self.spec.kind, "type"),
            (*path == self.spec.path, "path"),
            (*key == self.spec.key, "key"),
        ]
        .into_iter()
        .find_map(|(same, field)| (!same).then_some(field))
    }
}

/// A vmodel.
#[derive(Clone, Debug)]
pub struct VModelRecord {
    /// The model that serves.
    pub active: ModelId,
    /// The model that will serve once it is loaded; the active one when there is nothing to do.
    pub target: ModelId,
    /// Who may change it; empty = nobody in particular.
    pub owner: Box<str>,
    /// Why the target could not be loaded; the active model keeps serving.
    pub failed: Option<Arc<str>>,
    /// Identifies the transition among those of this vmodel: each has a larger number than the one before.
    pub transition: u64,
    /// Further models that get a part of the requests; the active one gets the rest.
    pub weights: Box<[Weight]>,
    /// Request header whose value keeps a client with one of the models; empty = each request is drawn by itself.
    pub sticky: Box<str>,
    /// Models that were active before, the last one first.
    pub history: Box<[Former]>,
}

/// A part of a vmodel's requests that goes to another model than the active one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The model.
    pub model: ModelId,
    /// 1 to 100; of all weights of a vmodel together at most 100.
    pub percent: u8,
}

/// A model that a vmodel served before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its id.
    pub model: ModelId,
    /// When it was replaced, in milliseconds since the epoch.
    pub until: u64,
    /// What it was registered with, so that it can come back when it has gone with its last reference.
    pub spec: Option<Arc<ModelSpec>>,
}

impl VModelRecord {
    /// The target waits to take over.
    pub fn in_transition(&self) -> bool {
        self.active != self.target
    }

    /// The model that gets a request, by a number from 0 to 99 that is drawn for it or stands for its client. Clients keep
    /// their model while the weights stay, and when one weight grows only those move whom that concerns.
    pub fn at(&self, draw: u64) -> &ModelId {
        let mut end = 0;
        for weight in &self.weights {
            end += u64::from(weight.percent);
            if draw < end {
                return &weight.model;
            }
        }
        &self.active
    }

    /// What [`super::Registry::finish`] and [`super::Registry::fail`] want to be told.
    pub fn transition(&self) -> u64 {
        self.transition
    }

    /// The models it points to, each once. Former ones are not among them: they may be gone.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        let target = self.in_transition().then_some(&self.target);
        let further = self.weights.iter().map(|weight| &weight.model);
        let further = further.filter(|model| **model != self.active && **model != self.target);
        std::iter::once(&self.active).chain(target).chain(further)
    }
}

/// Checks an id of a model or vmodel.
pub fn check_name(field: &'static str, name: &str) -> Result<(), RegistryError> {
    if name.is_empty() {
        return Err(RegistryError::Empty { field });
    }
    check_len(field, name, ModelId::MAX_LEN)?;
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, found)) => Err(RegistryError::ControlCharacter { field, found, at }),
        None => Ok(()),
    }
}

/// Checks what a model is registered with.
pub fn check_spec(spec: &ModelSpec) -> Result<(), RegistryError> {
    let ModelSpec { kind, path, key } = spec;
    if kind.is_empty() {
        return Err(RegistryError::Empty {
            field: "modelInfo.type",
        });
    }
    check_len("modelInfo.type", kind, MAX_TYPE_LEN)?;
    check_len("modelInfo.path", path, MAX_PATH_LEN)?;
    check_len("modelInfo.key", key, MAX_KEY_LEN)
}

fn check_len(field: &'static str, value: &str, max: usize) -> Result<(), RegistryError> {
    if value.len() > max {
        return Err(RegistryError::TooLong {
            field,
            len: value.len(),
            max,
        });
    }
    Ok(())
}
