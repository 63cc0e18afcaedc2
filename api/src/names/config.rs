//! ConfigMaps and Secrets that are read. Source: KServe `pkg/constants`, ModelMesh Serving `pkg/config`.

/// ConfigMap of KServe.
pub const INFERENCE_SERVICE_CONFIG: &str = "inferenceservice-config";
/// Namespace of KServe's ConfigMap unless `POD_NAMESPACE` says otherwise.
pub const KSERVE_NAMESPACE: &str = "kserve";
/// ConfigMap of ModelMesh Serving.
pub const MODEL_SERVING_CONFIG: &str = "model-serving-config";
/// Its only key.
pub const MODEL_SERVING_CONFIG_KEY: &str = "config.yaml";
/// Secret with addresses and credentials of storages, one entry for each.
pub const STORAGE_SECRET: &str = "storage-config";
/// Secret with the address of etcd.
pub const ETCD_SECRET: &str = "model-serving-etcd";
/// Its only key that must be there.
pub const ETCD_CONNECTION: &str = "etcd_connection";
/// Protocol versions of model servers, in KServe's order of preference.
pub const PROTOCOL_VERSIONS: [&str; 4] = ["v1", "v2", "grpc-v1", "grpc-v2"];
/// Schemes of URIs that KServe's own storage initializer fetches, without `://`.
pub const STORAGE_SCHEMES: [&str; 13] = [
    "gs",
    "s3",
    "pvc",
    "file",
    "https",
    "http",
    "hdfs",
    "webhdfs",
    "oci",
    "oci+native",
    "oci+modelcar",
    "oci+fetch",
    "hf",
];
