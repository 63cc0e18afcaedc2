//! LocalModelCache `v1alpha1`: a model that is kept on the disks of nodes. Source: KServe
//! `pkg/apis/serving/v1alpha1/local_model_cache_types.go`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Object, Quantity, StringMap};

/// A model that is kept on the disks of nodes, for every namespace.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "LocalModelCache",
    plural = "localmodelcaches",
    status = "LocalModelCacheStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Source", "type":"string", "jsonPath":".spec.sourceModelUri"}"#,
    printcolumn = r#"{"name":"Size", "type":"string", "jsonPath":".spec.modelSize"}"#,
    printcolumn = r#"{"name":"Copies", "type":"integer", "jsonPath":".status.copies.available"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct LocalModelCacheSpec {
    /// URI of the model's files; cannot change.
    #[schemars(required)]
    pub source_model_uri: Option<String>,
    /// Bytes that the files take.
    #[schemars(required)]
    pub model_size: Option<Quantity>,
    /// LocalModelNodeGroups whose nodes keep the files.
    #[schemars(required, length(min = 1))]
    pub node_groups: Option<Vec<String>>,
    /// Service account of the jobs that fetch the files.
    pub service_account_name: Option<String>,
    /// Credentials of the source.
    pub storage: Option<LocalModelStorage>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Credentials of a model's source.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalModelStorage {
    /// Entry of the storage secret.
    pub key: Option<String>,
    /// Parameters over those of the entry.
    pub parameters: Option<StringMap>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where the files are, and who uses them.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalModelCacheStatus {
    /// State by the name of a node: empty, or `NodeNotReady`, `NodeDownloadPending`, `NodeDownloading`,
    /// `NodeDownloaded`, `NodeDownloadError`.
    pub node_status: Option<BTreeMap<String, String>>,
    /// Nodes that have the files.
    pub copies: Option<LocalModelCopies>,
    /// InferenceServices that use the files; while there is one the cache cannot be deleted.
    pub inference_services: Option<Vec<NamespacedName>>,
    /// LLMInferenceServices that use the files.
    #[serde(rename = "llmInferenceServices")]
    pub llm_inference_services: Option<Vec<NamespacedName>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Nodes that have the files.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalModelCopies {
    /// Nodes that have them.
    pub available: Option<i64>,
    /// Nodes that should have them.
    pub total: Option<i64>,
    /// Nodes that could not fetch them.
    pub failed: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// An object by namespace and name.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
