//! InferenceService `v1beta1`. Source: KServe `pkg/apis/serving/v1beta1`.

pub mod autoscaling;
pub mod component;
pub mod model_mesh;
pub mod predictor;
pub mod status;
pub mod storage;

pub use autoscaling::AutoScaling;
pub use component::{Batcher, ComponentExtension, Explainer, Logger, Transformer};
pub use predictor::{ArtExplainer, FRAMEWORKS, ModelFormat, ModelSpec, Predictor, PredictorExtension};
pub use status::{ComponentStatus, InferenceServiceStatus, TrafficTarget};
pub use storage::{Confidential, LoggerStorage, ModelStorage, StorageUri};

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Object, is_empty, null_is_empty};

/// Most canaries: a bound that lets the API server accept rules on them. Each is a workload of its own, and not more
/// than a hundred can have a part of the traffic.
pub const MAX_CANARIES: u32 = 100;

/// A model or program that answers inference calls, with what stands before it and what explains it.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1beta1",
    kind = "InferenceService",
    plural = "inferenceservices",
    shortname = "isvc",
    namespaced,
    status = "InferenceServiceStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"URL", "type":"string", "jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Ready", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Prev", "type":"integer", "jsonPath":".status.components.predictor.traffic[?(@.tag=='prev')].percent"}"#,
    printcolumn = r#"{"name":"Latest", "type":"integer", "jsonPath":".status.components.predictor.traffic[?(@.latestRevision==true)].percent"}"#,
    printcolumn = r#"{"name":"PrevRolledoutRevision", "type":"string", "jsonPath":".status.components.predictor.traffic[?(@.tag=='prev')].revisionName"}"#,
    printcolumn = r#"{"name":"LatestReadyRevision", "type":"string", "jsonPath":".status.components.predictor.traffic[?(@.latestRevision==true)].revisionName"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Model", "type":"string", "priority":1, "jsonPath":".status.modelStatus.states.activeModelState"}"#,
    printcolumn = r#"{"name":"Transition", "type":"string", "priority":1, "jsonPath":".status.modelStatus.transitionStatus"}"#
)]
pub struct InferenceServiceSpec {
    /// What answers.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "is_empty")]
    #[schemars(!default)]
    pub predictor: Predictor,
    /// What changes requests before the predictor and responses after it.
    pub transformer: Option<Transformer>,
    /// What explains answers.
    pub explainer: Option<Explainer>,
    /// Further predictors that get a part of the traffic.
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "maxItems" = MAX_CANARIES))]
    pub canary: Option<Vec<Canary>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A predictor that gets a part of the traffic.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// What answers.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "is_empty")]
    #[schemars(!default)]
    pub predictor: Predictor,
    /// Its part of the traffic, 0 to 100.
    #[schemars(required, range(min = 0, max = 100))]
    pub traffic_percent: Option<i32>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl InferenceServiceSpec {
    /// Canaries; none if absent.
    pub fn canaries(&self) -> &[Canary] {
        self.canary.as_deref().unwrap_or_default()
    }
}
