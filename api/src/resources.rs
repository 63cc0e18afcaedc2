//! Custom resources of KServe and ModelMesh Serving as Rust types, with their definitions (CRDs).
//!
//! One file for each kind; parts of pods are in [`pod`], what conditions and URLs share in [`status`].
//!
//! # How objects are read and written
//!
//! * **Lossless.** Every object of ours ends in a flattened map `rest` with the fields that these types do not know,
//!   so an object that a newer KServe stored is written back whole. Fields are `Option`, because absent, `""`, `0`
//!   and `[]` are different things in a stored object; `None` is never written. Only a predictor, which the schema
//!   requires, is plain: absent reads as empty, and empty, which every rule denies, is not written.
//! * **As tolerant as Go.** `null` is absent. Values with a fixed set are strings with the set in the schema, so an
//!   unknown one is a finding and not a failure to decode. A [`Quantity`] keeps its spelling, number or string.
//! * **Parts of pods** ([`pod`]) are typed as far as rules and controller look, and whole fields deeper than that are
//!   kept as JSON ([`Object`]). The types of `k8s-openapi` are not used for them: they drop what they do not know, and
//!   a pod template must reach the API server as its author wrote it, also when the cluster is newer than this build.
//!
//! The schema of the definitions is derived from the same types (module [`crd`]); it keeps unknown fields wherever
//! the types do. Source of the field tree: KServe 0.20 (`pkg/apis/serving`), ModelMesh Serving 0.12.

pub mod cel;
mod cluster_storage_container;
pub mod crd;
pub mod inference_graph;
pub mod inference_service;
mod kind;
mod local_model_cache;
mod local_model_namespace_cache;
pub mod pod;
pub mod predictor;
mod quantity;
pub mod serving_runtime;
pub mod status;
mod trained_model;

pub use cluster_storage_container::{
    ClusterStorageContainer, StorageContainerSpec, SupportedUriFormat, WORKLOAD_TYPES,
};
pub use inference_graph::{InferenceGraph, InferenceGraphSpec, InferenceGraphStatus};
pub use inference_service::{InferenceService, InferenceServiceSpec, InferenceServiceStatus};
pub use kind::Kind;
pub use local_model_cache::{
    LocalModelCache, LocalModelCacheSpec, LocalModelCacheStatus, LocalModelCopies, LocalModelStorage,
    NamespacedName,
};
pub use local_model_namespace_cache::{LocalModelNamespaceCache, LocalModelNamespaceCacheSpec};
pub use predictor::{Predictor, PredictorSpec, PredictorStatus};
pub use quantity::{Quantity, QuantityError};
pub use serving_runtime::{
    ClusterServingRuntime, ClusterServingRuntimeSpec, ServingRuntime, ServingRuntimeSpec,
    ServingRuntimeStatus,
};
pub use trained_model::{TrainedModel, TrainedModelModel, TrainedModelSpec, TrainedModelStatus};

/// Metadata of an object, as Kubernetes has it.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// API group of every kind here.
pub const GROUP: &str = "serving.kserve.io";

/// A JSON object that is kept as it is: fields that a type does not know, or a part that nobody here looks into.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Text to text, such as labels.
pub type StringMap = std::collections::BTreeMap<String, String>;

/// Reads `null` as the empty value, as Go does for what is no pointer.
fn null_is_empty<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    <Option<T> as serde::Deserialize>::deserialize(input).map(Option::unwrap_or_default)
}

/// Whether a value is as if absent.
fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
