//! A registered model.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Unknown, is_default, lenient};

/// A registered model, where its copies are, and where it could not be loaded. Times are milliseconds since the epoch.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRecord {
    /// Type as registered; read it with [`ModelRecord::kind`].
    #[serde(
        rename = "type",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub kind: String,
    /// Parameters of the storage and the schema, opaque here. May hold secrets: it is never shown.
    #[serde(
        rename = "encKey",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub key: String,
    /// Path in the storage.
    #[serde(
        rename = "mPath",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub path: String,
    /// Instances that have a copy or load one, with the time when the load began.
    #[serde(
        rename = "instanceIds",
        deserialize_with = "lenient::numbers",
        skip_serializing_if = "is_default"
    )]
    pub instances: BTreeMap<String, u64>,
    /// Instances that could not load it, with the time of the failure.
    #[serde(
        rename = "failedIn",
        deserialize_with = "lenient::numbers",
        skip_serializing_if = "is_default"
    )]
    pub failed: BTreeMap<String, u64>,
    /// What those failures said.
    #[serde(
        rename = "fails",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "is_default"
    )]
    pub failures: BTreeMap<String, Failure>,
    /// Number of vmodels that point to it.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub refs: u32,
    /// It is unregistered when the last vmodel stops pointing to it.
    #[serde(
        rename = "autoDel",
        deserialize_with = "lenient::flag",
        skip_serializing_if = "is_default"
    )]
    pub auto_delete: bool,
    /// Last use, hours behind the truth.
    #[serde(
        rename = "lu",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub last_used: u64,
    /// Last unload of one copy of many; 0 when at most two copies remained.
    #[serde(
        rename = "lul",
        deserialize_with = "lenient::number",
        skip_serializing_if = "is_default"
    )]
    pub last_unloaded: u64,
    /// What only Stowage knows.
    #[serde(
        rename = "stowage",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "is_default"
    )]
    pub extra: ModelExtra,
    /// Fields of others.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Why a load failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// Text of the runtime.
    #[serde(
        rename = "msg",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub message: String,
    /// Fields of others.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Stowage's own part of a [`ModelRecord`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelExtra {
    /// Fewest copies to keep.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub min: u32,
    /// Most copies; 0 = no bound.
    #[serde(deserialize_with = "lenient::small", skip_serializing_if = "is_default")]
    pub max: u32,
    /// Instance ids or labels of those instances that may hold copies; empty = all.
    #[serde(deserialize_with = "lenient::texts", skip_serializing_if = "is_default")]
    pub pinned: Vec<String>,
    /// Size of a copy in bytes as last measured.
    #[serde(deserialize_with = "lenient::optional", skip_serializing_if = "is_default")]
    pub size: Option<u64>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl ModelRecord {
    /// What a record without a type has: the oldest ones were all of one type.
    pub const DEFAULT_KIND: &str = "NLCLASSIFIER";

    /// The model's type.
    pub fn kind(&self) -> &str {
        if self.kind.is_empty() {
            Self::DEFAULT_KIND
        } else {
            &self.kind
        }
    }
}

impl fmt::Debug for ModelRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRecord")
            .field("kind", &self.kind())
            .field("path", &self.path)
            .field("instances", &self.instances)
            .field("failed", &self.failed)
            .field("failures", &self.failures)
            .field("refs", &self.refs)
            .field("auto_delete", &self.auto_delete)
            .field("last_used", &self.last_used)
            .field("last_unloaded", &self.last_unloaded)
            .field("extra", &self.extra)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
