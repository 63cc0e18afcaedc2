//! A router that lives.

use serde::{Deserialize, Serialize};

use super::{Unknown, is_default, lenient};

/// A router that lives, and how much room it has. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceRecord {
    /// When its process started.
    #[serde(
        rename = "startTime",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub start: u64,
    /// Build number; 0 = not known. Newer builds are preferred.
    #[serde(
        rename = "vers",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub version: u64,
    /// Where it runs, the node's address as a rule.
    #[serde(
        rename = "loc",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub location: String,
    /// Zone of the node.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub zone: String,
    /// What it can serve, sorted.
    #[serde(deserialize_with = "lenient::texts", skip_serializing_if = "is_default")]
    pub labels: Vec<String>,
    /// Last use of what is evicted next; [`InstanceRecord::EMPTY`] when it has no model. Read it with
    /// [`InstanceRecord::oldest`].
    #[serde(
        rename = "lruTime",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub lru: u64,
    /// Number of models.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub count: u32,
    /// Room for models in units of [`UNIT`](super::UNIT) bytes, the reserve for unloads subtracted.
    #[serde(
        rename = "cap",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub capacity: u64,
    /// Used of it, in the same units.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "is_default")]
    pub used: u64,
    /// Loads that it does at a time.
    #[serde(
        rename = "lThreads",
        deserialize_with = "lenient::small",
        skip_serializing_if = "is_default"
    )]
    pub loading_threads: u32,
    /// Loads that it does now or has queued.
    #[serde(
        rename = "lInProg",
        deserialize_with = "lenient::small",
        skip_serializing_if = "is_default"
    )]
    pub loading: u32,
    /// Requests per minute over the last minutes.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub rpm: u32,
    /// It is leaving.
    #[serde(
        rename = "shutdown",
        deserialize_with = "lenient::flag",
        skip_serializing_if = "is_default"
    )]
    pub shutting_down: bool,
    /// ModelMesh's mark of a change that others should act upon.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "is_default")]
    pub actionable: bool,
    /// What only Stowage knows.
    #[serde(
        rename = "stowage",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "is_default"
    )]
    pub extra: InstanceExtra,
    /// Fields of others.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Stowage's own part of an [`InstanceRecord`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceExtra {
    /// IP address and port at which other routers reach it.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub peer: String,
    /// Version of the protocol between routers that it speaks.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub proto: u32,
    /// Calls under way.
    #[serde(
        rename = "inflight",
        deserialize_with = "lenient::small",
        skip_serializing_if = "is_default"
    )]
    pub in_flight: u32,
    /// Time that a load takes, in milliseconds.
    #[serde(
        rename = "loadMs",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub load_ms: u64,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl InstanceRecord {
    /// [`InstanceRecord::lru`] of an instance without models: the largest number of Java's `long`.
    pub const EMPTY: u64 = i64::MAX.unsigned_abs();

    /// When the model was used that is evicted next; none when there is none.
    pub fn oldest(&self) -> Option<u64> {
        (self.lru < Self::EMPTY).then_some(self.lru)
    }
}
