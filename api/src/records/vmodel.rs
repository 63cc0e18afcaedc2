//! A stable name for a model.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Unknown, is_default, lenient};

/// A stable name, the model that serves it, and the one that will.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VModelRecord {
    /// Who may change it; empty = nobody in particular.
    #[serde(
        rename = "o",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub owner: String,
    /// Id of the model that serves.
    #[serde(
        rename = "amid",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub active: String,
    /// Id of the model that will serve once it is loaded; equal to the active one when there is nothing to do.
    #[serde(
        rename = "tmid",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub target: String,
    /// The target could not be loaded; the active one keeps serving.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "is_default")]
    pub failed: bool,
    /// What only Stowage knows.
    #[serde(
        rename = "stowage",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "is_default"
    )]
    pub extra: VModelExtra,
    /// Fields of others.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Stowage's own part of a [`VModelRecord`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VModelExtra {
    /// Models that share the calls; empty = the active one has them all.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub weights: Vec<Weight>,
    /// Name of the request header by which calls stay with one model; empty = each call is drawn anew.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub sticky: String,
    /// Number of the transition under way, or of the last one; each has a larger one than the one before.
    #[serde(
        rename = "t",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub transition: u64,
    /// Models that were active before, the latest first.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub history: Vec<Switch>,
    /// Why the target could not be loaded.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub error: String,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// One of the models that share a vmodel's calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weight {
    /// Model id.
    #[serde(
        rename = "m",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub model: String,
    /// Its part of the calls, in percent.
    #[serde(
        rename = "p",
        deserialize_with = "lenient::small",
        skip_serializing_if = "is_default"
    )]
    pub percent: u32,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A model that was active before, with what brings it back when it is no longer registered.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Model id.
    #[serde(
        rename = "m",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub model: String,
    /// When it was replaced, milliseconds since the epoch.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "is_default")]
    pub at: u64,
    /// Type, as registered; empty = not known.
    #[serde(
        rename = "type",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub kind: String,
    /// Path in the storage.
    #[serde(
        rename = "mPath",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub path: String,
    /// Parameters of the storage and the schema. May hold secrets: it is never shown.
    #[serde(
        rename = "encKey",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub key: String,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("model", &self.model)
            .field("at", &self.at)
            .field("kind", &self.kind)
            .field("path", &self.path)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
