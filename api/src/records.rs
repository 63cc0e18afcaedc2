//! What routers tell each other through the store that they share: JSON, in the fields and units of ModelMesh.
//!
//! | key, below the cluster's root | value |
//! |---|---|
//! | `registry/<model id>` | [`ModelRecord`] |
//! | `vmodels/<vmodel id>` | [`VModelRecord`] |
//! | `instances/<instance id>` | [`InstanceRecord`] |
//! | `leaderLatch/_<instance id>` | `_<instance id>` |
//! | `config/<parameter>` | plain text |
//!
//! As ModelMesh does, nothing is written for null, an empty text, list or map, 0 and false, and fields that are not
//! known here survive a rewrite. What only Stowage knows is in the one field `stowage` of each record.
//!
//! Reading is tolerant where Jackson, which wrote most existing records, is: null is as absent, a number or truth value
//! may be a text, of fields that are there twice the last counts.

mod instance;
mod lenient;
mod model;
mod vmodel;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use self::{
    instance::{InstanceExtra, InstanceRecord},
    model::{Failure, ModelExtra, ModelRecord},
    vmodel::{Switch, VModelExtra, VModelRecord, Weight},
};

/// Bytes in one unit of [`InstanceRecord::capacity`] and [`InstanceRecord::used`].
pub const UNIT: u64 = 8192;

/// Folders of the keys.
pub mod keys {
    /// Models.
    pub const REGISTRY: &str = "registry/";
    /// Stable names.
    pub const VMODELS: &str = "vmodels/";
    /// Routers that live, each bound to its session.
    pub const INSTANCES: &str = "instances/";
    /// Those who would lead; the one that was created first does.
    pub const LEADER: &str = "leaderLatch/";
    /// Parameters that can be changed at run time.
    pub const CONFIG: &str = "config/";
}

/// A value that cannot be understood. It says where, not what is there, since records hold model keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The key of the store whose value it is.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record at {:?} is {}", self.key, self.reason)
    }
}

impl std::error::Error for RecordError {}

/// What the store holds as JSON.
pub trait Record: Serialize + DeserializeOwned {
    /// Reads the value of `key`, which only names it in the error.
    fn parse(key: &str, value: &[u8]) -> Result<Self, RecordError> {
        let error = |reason: String| RecordError {
            key: key.to_owned(),
            reason,
        };
        if let Ok(record) = serde_json::from_slice(value) {
            return Ok(record);
        }
        // Slower, and forgives doubled fields. Texts of errors that hold a part of the value are ours to avoid.
        let value: Value = serde_json::from_slice(value)
            .map_err(|err| error(format!("no JSON: line {}, column {}", err.line(), err.column())))?;
        if !value.is_object() {
            return Err(error(format!("{}, not an object", lenient::name(&value))));
        }
        Self::deserialize(&value).map_err(|err| match culprit::<Self>(&value) {
            Some(field) => error(format!("not readable: field `{field}`: {err}")),
            None => error(format!("not readable: {err}")),
        })
    }

    /// The value to write.
    fn to_bytes(&self) -> Vec<u8> {
        // Maps have texts as keys and numbers are finite, so nothing can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The field that alone is not readable either.
fn culprit<T: DeserializeOwned>(value: &Value) -> Option<&str> {
    let unreadable = |(name, value): &(&String, &Value)| {
        let alone = Map::from_iter([((*name).clone(), (*value).clone())]);
        T::deserialize(Value::Object(alone)).is_err()
    };
    let (name, _) = value.as_object()?.iter().find(unreadable)?;
    Some(name)
}

impl Record for ModelRecord {}
impl Record for VModelRecord {}
impl Record for InstanceRecord {}

/// Fields that are not known here, kept for a rewrite.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(pub Map<String, Value>);

impl fmt::Debug for Unknown {
    /// Names alone: values may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// For `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
