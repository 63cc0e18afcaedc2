//! What predictor, transformer and explainer have in common, and the two that stand beside the predictor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::super::pod::PodSpec;
use super::super::{Object, StringMap};
use super::autoscaling::AutoScaling;
use super::predictor::ArtExplainer;
use super::storage::{LoggerStorage, MAX_STORAGE_URIS, StorageUri};

/// Metrics that `scaleMetric` can name.
pub const SCALE_METRICS: [&str; 4] = ["cpu", "memory", "concurrency", "rps"];

/// How a metric is compared with its target.
pub const METRIC_TARGET_TYPES: [&str; 3] = ["Utilization", "Value", "AverageValue"];

/// What is logged.
pub const LOGGER_MODES: [&str; 3] = ["all", "request", "response"];

/// Scaling, logging and batching of a component. Has no `rest`: it is part of components, which have one.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentExtension {
    /// Fewest replicas; 1 if absent, 0 lets the component sleep.
    pub min_replicas: Option<i32>,
    /// Most replicas; 0 leaves it to the autoscaler.
    pub max_replicas: Option<i32>,
    /// Value of `scaleMetric` that the autoscaler aims at.
    pub scale_target: Option<i32>,
    /// What the autoscaler looks at: processor and memory by the HPA, concurrency and requests by Knative.
    #[schemars(extend("enum" = SCALE_METRICS))]
    pub scale_metric: Option<String>,
    /// How the metric is compared with its target.
    #[schemars(extend("enum" = METRIC_TARGET_TYPES))]
    pub scale_metric_type: Option<String>,
    /// Several metrics, and how fast they act.
    pub auto_scaling: Option<AutoScaling>,
    /// Requests that one container handles at once; 0 is no limit.
    pub container_concurrency: Option<i64>,
    /// Seconds that a request may take.
    pub timeout: Option<i64>,
    /// Part of the traffic for the latest revision, 0 to 100.
    pub canary_traffic_percent: Option<i64>,
    /// Requests and responses are sent to a log.
    pub logger: Option<Logger>,
    /// Requests are joined into batches.
    pub batcher: Option<Batcher>,
    /// Labels for the component's pods.
    pub labels: Option<StringMap>,
    /// Annotations for the component's pods.
    pub annotations: Option<StringMap>,
    /// How a Deployment goes from one version to the next.
    pub deployment_strategy: Option<DeploymentStrategy>,
}

/// Requests and responses are sent to a log.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logger {
    /// Where events are sent.
    pub url: Option<String>,
    /// What is logged.
    #[schemars(extend("enum" = LOGGER_MODES))]
    pub mode: Option<String>,
    /// Request headers that go into the events.
    pub metadata_headers: Option<Vec<String>>,
    /// Annotations of the pod that go into the events.
    pub metadata_annotations: Option<Vec<String>>,
    /// Where logs are kept, instead of a URL.
    pub storage: Option<LoggerStorage>,
    /// Service that gives logs their form.
    pub marshaller_url: Option<String>,
    /// Events in one file.
    pub batch_size: Option<i64>,
    /// Longest time between two files, as a Go duration.
    pub batch_interval: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Requests are joined into batches.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batcher {
    /// Most instances in a batch.
    pub max_batch_size: Option<i64>,
    /// Longest wait for a batch to fill, in milliseconds.
    pub max_latency: Option<i64>,
    /// Longest time of a batch, in seconds.
    pub timeout: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// How a Deployment goes from one version to the next.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStrategy {
    /// `Recreate` or `RollingUpdate`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Pods more and fewer than wanted on the way.
    pub rolling_update: Option<RollingUpdate>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Pods more and fewer than wanted on the way.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods more than wanted, as a number or percentage.
    pub max_surge: Option<IntOrString>,
    /// Pods fewer than wanted, as a number or percentage.
    pub max_unavailable: Option<IntOrString>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A number, or a text such as `25%`; what else it is, is a finding and not a failure to decode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntOrString(pub serde_json::Value);

impl JsonSchema for IntOrString {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IntOrString".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
        })
    }
}

/// What changes requests before the predictor and responses after it.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transformer {
    /// Files for the transformer, each with its place in the container.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic", "maxItems" = MAX_STORAGE_URIS))]
    pub storage_uris: Option<Vec<StorageUri>>,
    /// Scaling, logging and batching.
    #[serde(flatten)]
    pub component: ComponentExtension,
    /// The pod's own settings.
    #[serde(flatten)]
    pub pod: PodSpec,
}

/// What explains answers.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explainer {
    /// Explainer of the Adversarial Robustness Toolbox.
    pub art: Option<ArtExplainer>,
    /// Files for the explainer, each with its place in the container.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic", "maxItems" = MAX_STORAGE_URIS))]
    pub storage_uris: Option<Vec<StorageUri>>,
    /// Scaling, logging and batching.
    #[serde(flatten)]
    pub component: ComponentExtension,
    /// The pod's own settings.
    #[serde(flatten)]
    pub pod: PodSpec,
}
