//! Names that objects carry, under short paths, and what names and URIs look like.

pub(crate) use api::{
    names::{
        annotations::{
            AUTOSCALER_CLASS, DEPLOYMENT_MODE, DISABLE_LOCAL_MODEL, GPU_RESOURCE_TYPES,
            KNATIVE_AUTOSCALER_CLASS, KNATIVE_HPA, LOCAL_MODEL_PVC_NAME, LOCAL_MODEL_SOURCE_URI,
            MODEL_FORMAT, NODE_GROUP, SECRET_KEY, SERVING_RUNTIME, STOP, STORAGE_SECRET_NAME,
        },
        config::{PROTOCOL_VERSIONS, STORAGE_SCHEMES},
        containers,
        labels::{LOCAL_MODEL, LOCAL_MODEL_NAMESPACE},
    },
    resources::inference_service::FRAMEWORKS,
};

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
