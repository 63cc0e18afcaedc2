//! Annotations, labels and fixed names that rules and defaults know, as `KServe` and ModelMesh Serving spell them.

pub(crate) const DEPLOYMENT_MODE: &str = "serving.kserve.io/deploymentMode";
pub(crate) const AUTOSCALER_CLASS: &str = "serving.kserve.io/autoscalerClass";
pub(crate) const GPU_RESOURCE_TYPES: &str = "serving.kserve.io/gpu-resource-types";
pub(crate) const STOP: &str = "serving.kserve.io/stop";
pub(crate) const STORAGE_SECRET: &str = "serving.kserve.io/storageSecretName";
pub(crate) const SECRET_KEY: &str = "serving.kserve.io/secretKey";
pub(crate) const SERVING_RUNTIME: &str = "serving.kserve.io/servingRuntime";
pub(crate) const NODE_GROUP: &str = "serving.kserve.io/nodegroup";
pub(crate) const DISABLE_LOCAL_MODEL: &str = "serving.kserve.io/disable-localmodel";
pub(crate) const KNATIVE_CLASS: &str = "autoscaling.knative.dev/class";
pub(crate) const KNATIVE_HPA: &str = "hpa.autoscaling.knative.dev";
/// Written by defaulting; the key has no prefix upstream either.
pub(crate) const MODEL_FORMAT: &str = "modelFormat";

pub(crate) const LOCAL_MODEL: &str = "internal.serving.kserve.io/localmodel";
pub(crate) const LOCAL_MODEL_NAMESPACE: &str = "internal.serving.kserve.io/localmodel-namespace";
pub(crate) const LOCAL_MODEL_SOURCE: &str = "internal.serving.kserve.io/localmodel-sourceuri";
pub(crate) const LOCAL_MODEL_PVC: &str = "internal.serving.kserve.io/localmodel-pvc-name";

pub(crate) const KSERVE_CONTAINER: &str = "kserve-container";
pub(crate) const WORKER_CONTAINER: &str = "worker-container";
pub(crate) const TRANSFORMER_CONTAINER: &str = "transformer-container";

/// Framework fields of a predictor from before `model`, in the order in which upstream converts them.
pub(crate) const FRAMEWORKS: [&str; 10] = [
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
];

/// What `protocolVersion` means something as.
pub(crate) const PROTOCOLS: [&str; 4] = ["v1", "v2", "grpc-v1", "grpc-v2"];

/// `^[a-z]([-a-z0-9]*[a-z0-9])?$`: what upstream takes as the name of a service. There is no limit of length.
pub(crate) fn is_service_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// The text before the first `://`.
pub(crate) fn scheme(uri: &str) -> Option<&str> {
    uri.split_once("://").map(|(scheme, _)| scheme)
}
