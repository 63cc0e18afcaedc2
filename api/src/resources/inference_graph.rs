//! InferenceGraph `v1alpha1`: calls that pass through several services. Source: KServe
//! `pkg/apis/serving/v1alpha1/inference_graph.go`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::inference_service::component::SCALE_METRICS;
use super::pod::ResourceRequirements;
use super::status::Condition;
use super::{Object, StringMap};

/// How a node passes a call on.
pub const ROUTER_TYPES: [&str; 4] = ["Sequence", "Splitter", "Ensemble", "Switch"];

/// Most nodes of a graph: a bound that lets the API server accept rules on steps, far above what people write. KServe
/// hands a graph to its router as one argument, of which Linux takes 128 KiB.
pub const MAX_NODES: u32 = 1000;
/// Most steps of a node; see [`MAX_NODES`].
pub const MAX_STEPS: u32 = 500;

/// Name of the node that calls enter by.
pub const ROOT_NODE: &str = "root";

/// Calls that pass through several services.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "InferenceGraph",
    plural = "inferencegraphs",
    shortname = "ig",
    namespaced,
    status = "InferenceGraphStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"URL", "type":"string", "jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Ready", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct InferenceGraphSpec {
    /// Nodes by name; calls enter by `root`.
    #[schemars(required, extend("maxProperties" = MAX_NODES))]
    pub nodes: Option<BTreeMap<String, GraphNode>>,
    /// Amounts of the router's container.
    pub resources: Option<ResourceRequirements>,
    /// Which nodes and pods are preferred or required beside the router's pods.
    pub affinity: Option<Object>,
    /// Taints of nodes that are accepted.
    pub tolerations: Option<Vec<Object>>,
    /// Labels that a node must have.
    pub node_selector: Option<StringMap>,
    /// Node that is asked for by name.
    pub node_name: Option<String>,
    /// Service account of the router's pods.
    pub service_account_name: Option<String>,
    /// Seconds that a request may take.
    pub timeout: Option<i64>,
    /// Time-outs of the router's server and client.
    pub router_timeouts: Option<RouterTimeouts>,
    /// Fewest replicas; 0 lets the router sleep.
    pub min_replicas: Option<i32>,
    /// Most replicas; 0 leaves it to the autoscaler.
    pub max_replicas: Option<i32>,
    /// Value of `scaleMetric` that the autoscaler aims at.
    pub scale_target: Option<i32>,
    /// What the autoscaler looks at.
    #[schemars(extend("enum" = SCALE_METRICS))]
    pub scale_metric: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Time-outs of the router, in seconds.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterTimeouts {
    /// To read a request.
    pub server_read: Option<i64>,
    /// To write a response.
    pub server_write: Option<i64>,
    /// Between two requests of a connection.
    pub server_idle: Option<i64>,
    /// Of a call to a step.
    pub service_client: Option<i64>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A place in the graph that passes calls on.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphNode {
    /// One after the other, one by weight, all and joined, or the first whose condition holds.
    #[schemars(required, extend("enum" = ROUTER_TYPES))]
    pub router_type: Option<String>,
    /// Where calls are passed on to.
    #[schemars(extend("maxItems" = MAX_STEPS))]
    pub steps: Option<Vec<GraphStep>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl GraphNode {
    /// Steps; none if absent.
    pub fn steps(&self) -> &[GraphStep] {
        self.steps.as_deref().unwrap_or_default()
    }
}

/// Where calls are passed on to: exactly one of `nodeName`, `serviceName` and `serviceUrl`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphStep {
    /// Name, unique in the node.
    pub name: Option<String>,
    /// Another node of the graph.
    pub node_name: Option<String>,
    /// An InferenceService of the same namespace.
    pub service_name: Option<String>,
    /// Anything that answers at this URL.
    pub service_url: Option<String>,
    /// What is sent: `$request`, or `$response` of the step before.
    pub data: Option<String>,
    /// Whether `predictions` are sent on as `instances`.
    pub map_predictions_to_instances: Option<bool>,
    /// Part of the calls, 0 to 100 (Splitter).
    pub weight: Option<i64>,
    /// When the step is taken, as a GJSON path.
    pub condition: Option<String>,
    /// Whether a failure of the step ends the call.
    #[schemars(extend("enum" = ["Soft", "Hard"]))]
    pub dependency: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What an InferenceGraph has become.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferenceGraphStatus {
    /// Generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// Aspects of the state.
    pub conditions: Option<Vec<Condition>>,
    /// Annotations of Knative.
    pub annotations: Option<StringMap>,
    /// Where it answers.
    pub url: Option<String>,
    /// Deployment mode of the first reconciliation.
    pub deployment_mode: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
