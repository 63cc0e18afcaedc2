//! A stable name for a model.

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
    /// Models that were active before, the latest last.
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

/// A model that was active before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Model id.
    #[serde(
        rename = "m",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub model: String,
    /// When it became active, milliseconds since the epoch.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "is_default")]
    pub at: u64,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}
