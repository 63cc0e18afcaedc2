//! What an InferenceService has become.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::super::status::{Address, Condition, ModelStatus};
use super::super::{Object, StringMap};

/// What an InferenceService has become.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferenceServiceStatus {
    /// Generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// Aspects of the state.
    pub conditions: Option<Vec<Condition>>,
    /// Annotations of Knative.
    pub annotations: Option<StringMap>,
    /// Where it answers in the cluster.
    pub address: Option<Address>,
    /// Where it answers.
    pub url: Option<String>,
    /// State of predictor, transformer and explainer.
    pub components: Option<BTreeMap<String, ComponentStatus>>,
    /// State of the model.
    pub model_status: Option<ModelStatus>,
    /// State of the canaries.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub canary_statuses: Option<Vec<CanaryStatus>>,
    /// Deployment mode of the first reconciliation; it cannot change after that.
    pub deployment_mode: Option<String>,
    /// ServingRuntime that serves it.
    pub serving_runtime_name: Option<String>,
    /// ClusterServingRuntime that serves it.
    pub cluster_serving_runtime_name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl InferenceServiceStatus {
    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        let conditions = self.conditions.as_deref().unwrap_or_default();
        conditions
            .iter()
            .find(|condition| condition.kind.as_deref() == Some(kind))
    }
}

/// State of a component.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Latest revision that answers.
    pub latest_ready_revision: Option<String>,
    /// Latest revision.
    pub latest_created_revision: Option<String>,
    /// The revision before the latest that had all traffic.
    pub previous_rolledout_revision: Option<String>,
    /// The latest revision that had all traffic.
    pub latest_rolledout_revision: Option<String>,
    /// Which revision gets which part of the traffic.
    pub traffic: Option<Vec<TrafficTarget>>,
    /// Where it answers.
    pub url: Option<String>,
    /// Where it answers REST calls.
    pub rest_url: Option<String>,
    /// Where it answers gRPC calls.
    pub grpc_url: Option<String>,
    /// Where it answers in the cluster.
    pub address: Option<Address>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A revision and its part of the traffic.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTarget {
    /// Name that the revision can be asked by.
    pub tag: Option<String>,
    /// The revision.
    pub revision_name: Option<String>,
    /// Configuration whose latest revision is meant.
    pub configuration_name: Option<String>,
    /// Whether it is always the latest one.
    pub latest_revision: Option<bool>,
    /// Part of the traffic, 0 to 100.
    pub percent: Option<i64>,
    /// URL of the tag.
    pub url: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// State of a canary.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Its predictor's name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Whether it answers.
    #[schemars(required)]
    pub ready: Option<bool>,
    /// Its part of the traffic.
    #[schemars(required)]
    pub traffic_percent: Option<i32>,
    /// State of its model.
    pub model_status: Option<ModelStatus>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
