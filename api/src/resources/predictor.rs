//! Predictor `v1alpha1`: a model for ModelMesh Serving. Source: ModelMesh Serving `apis/serving/v1alpha1`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::status::{FailureInfo, MODEL_STATES};
use super::{Object, StringMap};

/// `transitionStatus` of a Predictor.
pub const TRANSITION_STATUSES: [&str; 4] = ["UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"];

/// A model that a runtime of many models serves.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "Predictor",
    plural = "predictors",
    namespaced,
    status = "PredictorStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Type", "type":"string", "jsonPath":".spec.modelType.name"}"#,
    printcolumn = r#"{"name":"Available", "type":"boolean", "jsonPath":".status.available"}"#,
    printcolumn = r#"{"name":"ActiveModel", "type":"string", "jsonPath":".status.activeModelState"}"#,
    printcolumn = r#"{"name":"TargetModel", "type":"string", "jsonPath":".status.targetModelState"}"#,
    printcolumn = r#"{"name":"Transition", "type":"string", "jsonPath":".status.transitionStatus"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PredictorSpec {
    /// Format of the model's files.
    #[schemars(required)]
    pub model_type: Option<ModelType>,
    /// Old form of `storage.path`.
    pub path: Option<String>,
    /// Old form of `storage.schemaPath`.
    pub schema_path: Option<String>,
    /// Where the model's files are.
    pub storage: Option<PredictorStorage>,
    /// Whether the model needs or prefers a GPU. Has no effect.
    #[schemars(extend("enum" = ["required", "preferred"]))]
    pub gpu: Option<String>,
    /// Runtime that serves the model, instead of one that supports the format.
    pub runtime: Option<PredictorRuntime>,
    /// Protocol that the runtime must speak: `v1`, `v2`, `grpc-v1` or `grpc-v2`.
    pub protocol_version: Option<String>,
    /// Service account. Has no effect.
    pub service_account_name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Format of a model's files.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelType {
    /// Name, such as `onnx`.
    #[schemars(required)]
    pub name: Option<String>,
    /// Version of the format.
    pub version: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where the model's files are.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PredictorStorage {
    /// Path of the model in the storage.
    pub path: Option<String>,
    /// Path of the model's schema.
    pub schema_path: Option<String>,
    /// Entry of the storage secret with address and credentials.
    pub key: Option<String>,
    /// Parameters over those of the entry, such as `type` and `bucket`.
    pub parameters: Option<StringMap>,
    /// Not supported; use parameters `type: pvc` and `name`.
    pub persistent_volume_claim: Option<Object>,
    /// Old form of `key` and `parameters.bucket`.
    pub s3: Option<S3Storage>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Old form of `key` and `parameters.bucket`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// Entry of the storage secret.
    #[schemars(required)]
    pub secret_key: Option<String>,
    /// Bucket.
    pub bucket: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Runtime by name.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictorRuntime {
    /// Name of a ServingRuntime or ClusterServingRuntime.
    #[schemars(required)]
    pub name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What a Predictor has become.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PredictorStatus {
    /// Whether the model answers.
    #[schemars(required, extend("default" = false))]
    pub available: Option<bool>,
    /// Whether the spec is served.
    #[schemars(required, extend("enum" = TRANSITION_STATUSES, "default" = "UpToDate"))]
    pub transition_status: Option<String>,
    /// State of the model that answers.
    #[schemars(required, extend("enum" = MODEL_STATES, "default" = "Pending"))]
    pub active_model_state: Option<String>,
    /// State of the model that replaces it; empty when there is none.
    #[schemars(required, extend("enum" = MODEL_STATES, "default" = ""))]
    pub target_model_state: Option<String>,
    /// What went wrong last.
    pub last_failure_info: Option<FailureInfo>,
    /// Where it answers REST calls.
    pub http_endpoint: Option<String>,
    /// Where it answers gRPC calls.
    pub grpc_endpoint: Option<String>,
    /// All copies.
    #[schemars(extend("default" = 0))]
    pub total_copies: Option<i64>,
    /// Copies that could not be loaded.
    #[schemars(required, extend("default" = 0))]
    pub failed_copies: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl PredictorStatus {
    /// What a new Predictor shows; the definition has it as default.
    pub fn initial() -> Self {
        Self {
            available: Some(false),
            transition_status: Some("UpToDate".to_owned()),
            active_model_state: Some("Pending".to_owned()),
            target_model_state: Some(String::new()),
            total_copies: Some(0),
            failed_copies: Some(0),
            ..Self::default()
        }
    }
}
