//! Labels of objects. Source: KServe `pkg/constants`, ModelMesh Serving.

/// InferenceService that a pod belongs to.
pub const INFERENCE_SERVICE: &str = "serving.kserve.io/inferenceservice";
/// InferenceGraph that a pod belongs to.
pub const INFERENCE_GRAPH: &str = "serving.kserve.io/inferencegraph";
/// LocalModelCache that an InferenceService uses.
pub const LOCAL_MODEL: &str = "internal.serving.kserve.io/localmodel";
/// Namespace of the LocalModelNamespaceCache that an InferenceService uses.
pub const LOCAL_MODEL_NAMESPACE: &str = "internal.serving.kserve.io/localmodel-namespace";
/// `true` on a namespace: models of many-model runtimes are served there.
pub const MODEL_MESH_ENABLED: &str = "modelmesh-enabled";
/// Service that the pods of a many-model runtime stand behind.
pub const MODEL_MESH_SERVICE: &str = "modelmesh-service";
