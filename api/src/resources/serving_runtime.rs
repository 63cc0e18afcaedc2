//! ServingRuntime and ClusterServingRuntime `v1alpha1`: how a model server is run. Source: KServe
//! `pkg/apis/serving/v1alpha1/servingruntime_types.go`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::pod::{Container, EnvVar, LocalReference, ResourceClaim, Volume};
use super::status::Condition;
use super::{Object, StringMap};

/// How a model server is run, and which models it can serve.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "ServingRuntime",
    plural = "servingruntimes",
    namespaced,
    status = "ServingRuntimeStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Disabled", "type":"boolean", "jsonPath":".spec.disabled"}"#,
    printcolumn = r#"{"name":"ModelType", "type":"string", "jsonPath":".spec.supportedModelFormats[*].name"}"#,
    printcolumn = r#"{"name":"Containers", "type":"string", "jsonPath":".spec.containers[*].name"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"MultiModel", "type":"boolean", "priority":1, "jsonPath":".spec.multiModel"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ServingRuntimeSpec {
    /// Formats of models that it can serve.
    pub supported_model_formats: Option<Vec<SupportedModelFormat>>,
    /// Whether one pod serves many models.
    pub multi_model: Option<bool>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
    /// Protocols that it speaks: `v1`, `v2`, `grpc-v1`, `grpc-v2`.
    pub protocol_versions: Option<Vec<String>>,
    /// Pods beside the head pod, for models that need several nodes.
    pub worker_spec: Option<RuntimeWorkerSpec>,
    /// Address of the service that loads and unloads models (`mmesh.ModelRuntime`): `port:8085` or `unix:/path`.
    pub grpc_endpoint: Option<String>,
    /// Address of inference calls: `port:8001` or `unix:/path`.
    pub grpc_data_endpoint: Option<String>,
    /// Address of REST inference calls.
    pub http_data_endpoint: Option<String>,
    /// Pods of this runtime, instead of `podsPerRuntime` of the configuration.
    #[schemars(range(min = 0, max = 65535))]
    pub replicas: Option<i32>,
    /// The program that fetches models for a runtime that has its own adapter.
    pub storage_helper: Option<StorageHelper>,
    /// The adapter between mesh and model server.
    pub built_in_adapter: Option<BuiltInAdapter>,
    /// The pod's settings.
    #[serde(flatten)]
    pub pod: RuntimePodSpec,
}

/// Spec of a ClusterServingRuntime, which is that of a ServingRuntime.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "ClusterServingRuntime",
    plural = "clusterservingruntimes",
    status = "ServingRuntimeStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Disabled", "type":"boolean", "jsonPath":".spec.disabled"}"#,
    printcolumn = r#"{"name":"ModelType", "type":"string", "jsonPath":".spec.supportedModelFormats[*].name"}"#,
    printcolumn = r#"{"name":"Containers", "type":"string", "jsonPath":".spec.containers[*].name"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"MultiModel", "type":"boolean", "priority":1, "jsonPath":".spec.multiModel"}"#
)]
#[serde(transparent)]
pub struct ClusterServingRuntimeSpec(pub ServingRuntimeSpec);

impl std::ops::Deref for ClusterServingRuntimeSpec {
    type Target = ServingRuntimeSpec;

    fn deref(&self) -> &ServingRuntimeSpec {
        &self.0
    }
}

impl ServingRuntimeSpec {
    /// Formats; none if absent.
    pub fn formats(&self) -> &[SupportedModelFormat] {
        self.supported_model_formats.as_deref().unwrap_or_default()
    }

    /// Protocols; none if absent.
    pub fn protocol_versions(&self) -> &[String] {
        self.protocol_versions.as_deref().unwrap_or_default()
    }

    /// Whether one pod serves many models; absent is no.
    pub fn is_multi_model(&self) -> bool {
        self.multi_model == Some(true)
    }

    /// Whether it is switched off; absent is no.
    pub fn is_disabled(&self) -> bool {
        self.disabled == Some(true)
    }
}

/// A format of models.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupportedModelFormat {
    /// Name, such as `onnx`.
    #[schemars(required)]
    pub name: Option<String>,
    /// Version of the format.
    pub version: Option<String>,
    /// Whether a model that names no runtime may get this one.
    pub auto_select: Option<bool>,
    /// Among runtimes that may be selected, the highest wins.
    #[schemars(range(min = 1))]
    pub priority: Option<i32>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The part of a pod template that a runtime can set.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePodSpec {
    /// Containers.
    #[schemars(required)]
    pub containers: Option<Vec<Container>>,
    /// Volumes that containers can mount.
    pub volumes: Option<Vec<Volume>>,
    /// Labels that a node must have.
    pub node_selector: Option<StringMap>,
    /// Which nodes and pods are preferred or required beside it.
    pub affinity: Option<Object>,
    /// Taints of nodes that are accepted.
    pub tolerations: Option<Vec<Object>>,
    /// Labels for the pods.
    pub labels: Option<StringMap>,
    /// Annotations for the pods.
    pub annotations: Option<StringMap>,
    /// Secrets with credentials of image registries.
    pub image_pull_secrets: Option<Vec<LocalReference>>,
    /// Whether the node's inter-process communication is used.
    #[serde(rename = "hostIPC")]
    pub host_ipc: Option<bool>,
    /// Scheduler that places the pods.
    pub scheduler_name: Option<String>,
    /// Devices that containers can use.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub resource_claims: Option<Vec<ResourceClaim>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl RuntimePodSpec {
    /// Containers; none if absent.
    pub fn containers(&self) -> &[Container] {
        self.containers.as_deref().unwrap_or_default()
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        super::pod::container(self.containers(), name)
    }

    /// Volumes; none if absent.
    pub fn volumes(&self) -> &[Volume] {
        self.volumes.as_deref().unwrap_or_default()
    }
}

/// Pods beside the head pod.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeWorkerSpec {
    /// Nodes that the layers of the model are spread over.
    pub pipeline_parallel_size: Option<i64>,
    /// Accelerators in each node that a layer is spread over.
    pub tensor_parallel_size: Option<i64>,
    /// The pod's settings.
    #[serde(flatten)]
    pub pod: RuntimePodSpec,
}

/// The program that fetches models.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StorageHelper {
    /// Whether it is left out.
    pub disabled: Option<bool>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The adapter between mesh and model server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuiltInAdapter {
    /// Kind of model server: `triton`, `mlserver`, `ovms`, `torchserve`; the container has the same name.
    pub server_type: Option<String>,
    /// Port on which the model server takes orders to load.
    pub runtime_management_port: Option<i64>,
    /// Bytes of the container's memory that models cannot have.
    pub mem_buffer_bytes: Option<i64>,
    /// Longest time of a load, in milliseconds.
    pub model_loading_timeout_millis: Option<i64>,
    /// Environment of the adapter's container, over its own.
    pub env: Option<Vec<EnvVar>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What a runtime has become. Upstream leaves it empty.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServingRuntimeStatus {
    /// Generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// Aspects of the state.
    pub conditions: Option<Vec<Condition>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
