//! Several metrics for the autoscaler.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::super::{Object, Quantity};
use super::component::METRIC_TARGET_TYPES;

/// Where a metric comes from.
pub const METRIC_TYPES: [&str; 3] = ["Resource", "External", "PodMetric"];

/// Several metrics, and how fast they act.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoScaling {
    /// Metrics; the one that wants most replicas wins.
    pub metrics: Option<Vec<Metric>>,
    /// How fast replicas come and go, as the HPA has it (`scaleUp`, `scaleDown`).
    pub behavior: Option<Object>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl AutoScaling {
    /// Metrics; none if absent.
    pub fn metrics(&self) -> &[Metric] {
        self.metrics.as_deref().unwrap_or_default()
    }
}

/// One metric: `type`, and the block of that type.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Where the metric comes from.
    #[serde(rename = "type")]
    #[schemars(required, extend("enum" = METRIC_TYPES))]
    pub kind: Option<String>,
    /// Use of processor or memory.
    pub resource: Option<ResourceMetric>,
    /// A query to a monitoring system.
    pub external: Option<ExternalMetric>,
    /// A query about the pods.
    pub podmetric: Option<PodMetric>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Use of processor or memory.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceMetric {
    /// Resource.
    #[schemars(required, extend("enum" = ["cpu", "memory"]))]
    pub name: Option<String>,
    /// Value that the autoscaler aims at.
    #[schemars(required)]
    pub target: Option<MetricTarget>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A query to a monitoring system.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetric {
    /// The query.
    #[schemars(required)]
    pub metric: Option<ExternalQuery>,
    /// Credentials.
    pub authentication_ref: Option<MetricAuthentication>,
    /// Value that the autoscaler aims at.
    #[schemars(required)]
    pub target: Option<MetricTarget>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A query to a monitoring system.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalQuery {
    /// Kind of monitoring system.
    #[schemars(required, extend("enum" = ["prometheus", "graphite"]))]
    pub backend: Option<String>,
    /// Its address.
    pub server_address: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// Namespace that the query is about.
    pub namespace: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Credentials of a monitoring system.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricAuthentication {
    /// Object that holds them.
    #[schemars(required)]
    pub authentication_ref: Option<AuthenticationReference>,
    /// Ways to authenticate, with commas between.
    pub auth_modes: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A TriggerAuthentication of KEDA.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationReference {
    /// Name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A query about the pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetric {
    /// The query.
    #[schemars(required)]
    pub metric: Option<PodQuery>,
    /// Value that the autoscaler aims at.
    #[schemars(required)]
    pub target: Option<MetricTarget>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A query about the pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodQuery {
    /// Kind of monitoring system.
    #[schemars(required, extend("enum" = ["opentelemetry"]))]
    pub backend: Option<String>,
    /// Its address.
    pub server_address: Option<String>,
    /// Metrics that the collector keeps.
    pub metric_names: Option<Vec<String>>,
    /// The query.
    pub query: Option<String>,
    /// How values become one over time.
    #[schemars(extend("enum" = ["last_one", "avg", "max", "min", "rate", "count"], "default" = "last_one"))]
    pub operation_over_time: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Value that the autoscaler aims at.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricTarget {
    /// How the metric is compared with the target.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = METRIC_TARGET_TYPES))]
    pub kind: Option<String>,
    /// The value as it is.
    pub value: Option<Quantity>,
    /// The mean over the pods.
    pub average_value: Option<Quantity>,
    /// The mean over the pods, in percent of what they ask for.
    pub average_utilization: Option<i32>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
