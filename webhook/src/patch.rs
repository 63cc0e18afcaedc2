//! JSON patches (RFC 6902) as far as defaulting needs them: three operations, written by us, minimal.

use serde::Serialize;
use serde_json::{Map, Value};

/// One operation. `path` is an RFC 6901 pointer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOperation {
    /// Adds a member that was absent.
    Add {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Replaces a value that is there.
    Replace {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes a member that is there.
    Remove {
        /// Where.
        path: String,
    },
}

/// A patch that does not fit its document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("patch operation {index} does not apply at `{path}`")]
pub struct PatchError {
    /// Position of the operation in the patch, from 0.
    pub index: usize,
    /// Its path.
    pub path: String,
}

/// Applies `patch` to `document`. On error the operations before the failing one have been applied.
pub fn apply(document: &mut Value, patch: &[PatchOperation]) -> Result<(), PatchError> {
    for (index, operation) in patch.iter().enumerate() {
        let (place, value, must_exist) = match operation {
            PatchOperation::Add { path, value } => (path, Some(value), false),
            PatchOperation::Replace { path, value } => (path, Some(value), true),
            PatchOperation::Remove { path } => (path, None, true),
        };
        apply_one(document, place, value, must_exist).ok_or_else(|| PatchError {
            index,
            path: place.clone(),
        })?;
    }
    Ok(())
}

fn apply_one(document: &mut Value, path: &str, value: Option<&Value>, must_exist: bool) -> Option<()> {
    let (parent, last) = path.rsplit_once('/')?;
    let parent = document.pointer_mut(parent)?;
    let key = last.replace("~1", "/").replace("~0", "~");
    match parent {
        Value::Object(members) => set_member(members, key, value, must_exist),
        Value::Array(elements) if must_exist => {
            let slot = elements.get_mut(key.parse::<usize>().ok()?)?;
            *slot = value?.clone();
            Some(())
        }
        _ => None,
    }
}

fn set_member(
    members: &mut Map<String, Value>,
    key: String,
    value: Option<&Value>,
    must_exist: bool,
) -> Option<()> {
    if must_exist && !members.contains_key(&key) {
        return None;
    }
    match value {
        Some(value) => {
            members.insert(key, value.clone());
        }
        None => {
            members.remove(&key);
        }
    }
    Some(())
}

/// Collects operations; knows how to write pointers.
#[derive(Debug, Default)]
pub(crate) struct Patch(Vec<PatchOperation>);

impl Patch {
    /// Sets the member `key` of the object at `parent`, which exists and holds `current` there.
    pub(crate) fn set(&mut self, parent: &str, key: &str, current: Option<&Value>, value: Value) {
        let path = format!("{parent}/{}", escape(key));
        self.0.push(match current {
            Some(_) => PatchOperation::Replace { path, value },
            None => PatchOperation::Add { path, value },
        });
    }

    /// Removes the member `key` of the object at `parent`.
    pub(crate) fn remove(&mut self, parent: &str, key: &str) {
        self.0.push(PatchOperation::Remove {
            path: format!("{parent}/{}", escape(key)),
        });
    }

    pub(crate) fn into_operations(self) -> Vec<PatchOperation> {
        self.0
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
