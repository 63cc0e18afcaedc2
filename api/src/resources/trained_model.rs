//! TrainedModel `v1alpha1`: a model that is added to an InferenceService of many models. Source: KServe
//! `pkg/apis/serving/v1alpha1/trained_model.go`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::status::{Address, Condition};
use super::{Object, Quantity, StringMap};

/// A model that is added to an InferenceService of many models.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "TrainedModel",
    plural = "trainedmodels",
    shortname = "tm",
    namespaced,
    status = "TrainedModelStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"URL", "type":"string", "jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Ready", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"InferenceService", "type":"string", "priority":1, "jsonPath":".spec.inferenceService"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct TrainedModelSpec {
    /// InferenceService of the same namespace that the model is added to.
    #[schemars(required)]
    pub inference_service: Option<String>,
    /// The model.
    #[schemars(required)]
    pub model: Option<TrainedModelModel>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The model of a TrainedModel.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainedModelModel {
    /// URI of the model's files.
    #[schemars(required)]
    pub storage_uri: Option<String>,
    /// Format of the model's files.
    #[schemars(required)]
    pub framework: Option<String>,
    /// Memory that the model takes; cannot change.
    #[schemars(required)]
    pub memory: Option<Quantity>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What a TrainedModel has become.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainedModelStatus {
    /// Generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// Aspects of the state.
    pub conditions: Option<Vec<Condition>>,
    /// Annotations of Knative.
    pub annotations: Option<StringMap>,
    /// Where it answers.
    pub url: Option<String>,
    /// Where it answers in the cluster.
    pub address: Option<Address>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
