//! Where models and logs are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::super::{Object, StringMap};

/// Most sources of files of a component: a bound that lets the API server accept rules on them, far above what one pod
/// can fetch.
pub const MAX_STORAGE_URIS: u32 = 1000;

/// Files of a model and their place in the container.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageUri {
    /// URI of the files.
    #[schemars(required, length(min = 1))]
    pub uri: Option<String>,
    /// Folder in the container.
    #[schemars(length(max = 255), regex(pattern = "^/.*"), extend("default" = "/mnt/models"))]
    pub mount_path: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A model by path and storage key.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStorage {
    /// Path of the model in the storage.
    pub path: Option<String>,
    /// Entry of the storage secret with address and credentials.
    pub key: Option<String>,
    /// Parameters over those of the entry, such as `type` and `bucket`.
    pub parameters: Option<StringMap>,
    /// Path of the model's schema.
    pub schema_path: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where request and response logs are kept.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggerStorage {
    /// Path in the storage.
    pub path: Option<String>,
    /// Entry of the storage secret with address and credentials.
    pub key: Option<String>,
    /// Parameters over those of the entry.
    pub parameters: Option<StringMap>,
    /// Service account that has the credentials.
    pub service_account_name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// How an encrypted model is opened.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confidential {
    /// Whether the model is encrypted.
    #[schemars(required)]
    pub enabled: Option<bool>,
    /// Resource of the key broker: `kbs:///{repository}/{type}/{tag}`.
    pub resource_id: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
