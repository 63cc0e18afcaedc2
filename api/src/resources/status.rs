//! What the status of several kinds share. Source: Knative's `duck/v1`, KServe's `inference_service_status.go`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::Object;

/// One aspect of an object's state.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the aspect.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub kind: Option<String>,
    /// `True`, `False` or `Unknown`.
    #[schemars(required)]
    pub status: Option<String>,
    /// `Warning` or `Info` where it is no error.
    pub severity: Option<String>,
    /// One word that says why.
    pub reason: Option<String>,
    /// Why, for people.
    pub message: Option<String>,
    /// When the status changed last.
    pub last_transition_time: Option<String>,
    /// Generation of the object that it is about; not written by KServe.
    pub observed_generation: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where something answers in the cluster.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// Name of the address.
    pub name: Option<String>,
    /// URL.
    pub url: Option<String>,
    /// Certificates in PEM that its TLS certificate is checked with.
    #[serde(rename = "CACerts")]
    pub ca_certs: Option<String>,
    /// Audience of tokens.
    pub audience: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// `transitionStatus`: the spec is served, or not yet, or cannot be.
pub const TRANSITION_STATUSES: [&str; 5] =
    ["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"];

/// States of a model.
pub const MODEL_STATES: [&str; 6] = ["", "Pending", "Standby", "Loading", "Loaded", "FailedToLoad"];

/// Reasons of failure. Two more than upstream's schema has, which KServe's controller writes all the same.
pub const FAILURE_REASONS: [&str; 8] = [
    "ModelLoadFailed",
    "RuntimeUnhealthy",
    "RuntimeDisabled",
    "NoSupportingRuntime",
    "RuntimeNotRecognized",
    "InvalidPredictorSpec",
    "InvalidWorkerSpecNotSet",
    "InvalidGPUAllocation",
];

/// State of the model of an InferenceService.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Whether the spec is served.
    #[schemars(required, extend("enum" = TRANSITION_STATUSES, "default" = "UpToDate"))]
    pub transition_status: Option<String>,
    /// States of the model that is served and of the one that replaces it.
    pub states: Option<ModelStates>,
    /// What went wrong last.
    pub last_failure_info: Option<FailureInfo>,
    /// Copies in memory.
    pub copies: Option<ModelCopies>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// States of the model that is served and of the one that replaces it.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStates {
    /// State of the model that answers.
    #[schemars(required, extend("enum" = MODEL_STATES, "default" = "Pending"))]
    pub active_model_state: Option<String>,
    /// State of the model that replaces it; empty when there is none.
    #[schemars(extend("enum" = MODEL_STATES, "default" = ""))]
    pub target_model_state: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Copies of a model in memory.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCopies {
    /// Copies that could not be loaded.
    #[schemars(required, extend("default" = 0))]
    pub failed_copies: Option<i64>,
    /// All copies.
    pub total_copies: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What went wrong last.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureInfo {
    /// Name of the pod or component where it happened.
    pub location: Option<String>,
    /// One word that says what.
    #[schemars(extend("enum" = FAILURE_REASONS))]
    pub reason: Option<String>,
    /// What, for people.
    pub message: Option<String>,
    /// Revision of the model (InferenceService).
    pub model_revision_name: Option<String>,
    /// Id of the model (Predictor).
    pub model_id: Option<String>,
    /// When, as in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: Option<String>,
    /// Exit code of the process.
    pub exit_code: Option<i32>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
