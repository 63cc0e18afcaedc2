//! Annotations of custom resources. Source: KServe `pkg/constants`, ModelMesh Serving.

/// How an InferenceService is run; see [`deployment_mode`].
pub const DEPLOYMENT_MODE: &str = "serving.kserve.io/deploymentMode";
/// Who scales; see [`autoscaler_class`].
pub const AUTOSCALER_CLASS: &str = "serving.kserve.io/autoscalerClass";
/// Metric of the HPA of a runtime of many models: `cpu` or `memory`.
pub const AUTOSCALER_METRICS: &str = "serving.kserve.io/metrics";
/// Target of that metric, in percent.
pub const TARGET_UTILIZATION_PERCENTAGE: &str = "serving.kserve.io/targetUtilizationPercentage";
/// Fewest pods of a runtime of many models.
pub const MIN_SCALE: &str = "serving.kserve.io/min-scale";
/// Most pods of a runtime of many models.
pub const MAX_SCALE: &str = "serving.kserve.io/max-scale";
/// `true`: the InferenceService is shut down.
pub const STOP: &str = "serving.kserve.io/stop";
/// `true`: a ready InferenceService keeps its runtime as it is.
pub const DISABLE_AUTO_UPDATE: &str = "serving.kserve.io/disable-auto-update";
/// Present: no local model cache is used.
pub const DISABLE_LOCAL_MODEL: &str = "serving.kserve.io/disable-localmodel";
/// Node group whose local model cache is used.
pub const NODE_GROUP: &str = "serving.kserve.io/nodegroup";
/// JSON list of resources that are accelerators, beside the known ones.
pub const GPU_RESOURCE_TYPES: &str = "serving.kserve.io/gpu-resource-types";
/// Kind of model server of a runtime.
pub const SERVER_TYPE: &str = "serving.kserve.io/server-type";
/// Storage secret of a service account.
pub const STORAGE_SECRET_NAME: &str = "serving.kserve.io/storageSecretName";
/// Old form of `storage.key`.
pub const SECRET_KEY: &str = "serving.kserve.io/secretKey";
/// Old form of `storage.schemaPath`.
pub const SCHEMA_PATH: &str = "serving.kserve.io/schemaPath";
/// Runtime of an InferenceService with one of the older framework blocks.
pub const SERVING_RUNTIME: &str = "serving.kserve.io/servingRuntime";
/// Format of the model; written by the defaulter. No prefix, as upstream.
pub const MODEL_FORMAT: &str = "modelFormat";
/// URI of the local model cache that is used.
pub const LOCAL_MODEL_SOURCE_URI: &str = "internal.serving.kserve.io/localmodel-sourceuri";
/// Volume claim of the local model cache that is used.
pub const LOCAL_MODEL_PVC_NAME: &str = "internal.serving.kserve.io/localmodel-pvc-name";
/// Autoscaler of a Knative revision.
pub const KNATIVE_AUTOSCALER_CLASS: &str = "autoscaling.knative.dev/class";
/// Value of [`KNATIVE_AUTOSCALER_CLASS`] for the HPA.
pub const KNATIVE_HPA: &str = "hpa.autoscaling.knative.dev";

/// Annotations of a runtime that ModelMesh Serving reads; no prefix, as upstream.
pub mod runtime {
    /// Models that one pod loads at once.
    pub const MAX_LOADING_CONCURRENCY: &str = "maxLoadingConcurrency";
    /// Calls that one copy of a model handles at once.
    pub const PER_MODEL_CONCURRENCY_LIMIT: &str = "perModelConcurrencyLimit";
    /// ConfigMap that must exist.
    pub const PRODUCT_CONFIG: &str = "productConfig";
}

/// Values of [`DEPLOYMENT_MODE`].
pub mod deployment_mode {
    /// Deployments, Services and HPAs.
    pub const STANDARD: &str = "Standard";
    /// Services of Knative.
    pub const KNATIVE: &str = "Knative";
    /// Many models in a pod: what Stowage serves.
    pub const MODEL_MESH: &str = "ModelMesh";
    /// Old name of [`STANDARD`].
    pub const RAW_DEPLOYMENT: &str = "RawDeployment";
    /// Old name of [`KNATIVE`].
    pub const SERVERLESS: &str = "Serverless";
}

/// Values of [`AUTOSCALER_CLASS`].
pub mod autoscaler_class {
    /// The HPA of Kubernetes.
    pub const HPA: &str = "hpa";
    /// Somebody else.
    pub const EXTERNAL: &str = "external";
    /// KEDA.
    pub const KEDA: &str = "keda";
    /// Nobody.
    pub const NONE: &str = "none";
}
