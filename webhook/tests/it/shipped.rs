//! The runtimes that upstream installs, as far as selection looks at them.

use serde_json::{Value, json};
use webhook::{Freshness, Kind, Part, Snapshot};

use crate::objects::object;

/// Name, formats as `name@version,version p priority` (no priority: none; `!`: not for automatic choice), protocols.
/// Separated by `;`.
pub(crate) const KSERVE: [(&str, &str, &str); 14] = [
    ("autogluonserver", "autogluon@1 p1", "v1 v2"),
    ("huggingfaceserver", "huggingface@1 p1", "v2 v1"),
    ("huggingfaceserver-multinode", "huggingface@1 p2", "v2 v1"),
    ("lgbserver", "lightgbm@4 p1", "v1 v2"),
    (
        "mlserver",
        "sklearn@0,1 p2; xgboost@1,2 p2; lightgbm@3,4 p2; mlflow@1,2 p1",
        "v2",
    ),
    ("paddleserver", "paddle@2 p1", "v1 v2"),
    ("pmmlserver", "pmml@3,4 p1", "v1 v2"),
    (
        "predictiveserver",
        "sklearn@1 p3!; xgboost@2 p3!; lightgbm@4 p3!",
        "v1 v2",
    ),
    ("sklearnserver", "sklearn@1 p1", "v1 v2"),
    ("tensorflow-serving", "tensorflow@1,2 p2", "v1 grpc-v1"),
    ("torchserve", "pytorch@1 p2", "v1 v2 grpc-v2"),
    (
        "tritonserver",
        "tensorrt@8 p1; tensorflow@1,2 p1; onnx@1 p1; triton@2 p1; pytorch@1 p!",
        "v2 grpc-v2",
    ),
    ("vllmserver", "vLLM@1 p1", ""),
    ("xgbserver", "xgboost@2 p1", "v1 v2"),
];

/// In the repository but not installed.
pub(crate) const OPENVINO: (&str, &str, &str) = (
    "openvino",
    "openvino@10 p1; onnx@1 p2; tensorflow@1 p3; huggingface",
    "v1 v2 grpc-v2",
);

pub(crate) fn kserve_runtime((name, formats, protocols): (&str, &str, &str)) -> Value {
    let mut spec = json!({
        "containers": [{"name": "kserve-container", "image": format!("kserve/{name}:latest")}],
        "protocolVersions": protocols.split_whitespace().collect::<Vec<_>>(),
        "supportedModelFormats": formats.split(';').flat_map(entries).collect::<Vec<_>>(),
    });
    if name.ends_with("multinode") {
        spec["workerSpec"] = json!({"containers": [{"name": "worker-container"}]});
    }
    object(Kind::ClusterServingRuntime, &format!("kserve-{name}"), spec)
}

fn entries(text: &str) -> Vec<Value> {
    let text = text.trim();
    let (format, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, versions) = format.split_once('@').unwrap_or((format, ""));
    let auto = !rest.ends_with('!');
    let priority = rest.trim_matches(['p', '!']).parse::<i64>().ok();
    versions
        .split(',')
        .map(|version| {
            let mut entry = json!({"name": name, "autoSelect": auto});
            if !version.is_empty() {
                entry["version"] = json!(version);
            }
            if let Some(priority) = priority {
                entry["priority"] = json!(priority);
            }
            entry
        })
        .collect()
}

/// A runtime for a mesh.
pub(crate) fn mesh_runtime(name: &str) -> Value {
    object(
        Kind::ServingRuntime,
        name,
        json!({
            "multiModel": true,
            "grpcEndpoint": "port:8001",
            "grpcDataEndpoint": "port:8001",
            "protocolVersions": ["grpc-v2"],
            "supportedModelFormats": [{"name": "sklearn", "version": "0", "autoSelect": true}],
            "containers": [{"name": "mlserver", "image": "seldonio/mlserver:1.3.2"}],
            "builtInAdapter": {"serverType": "mlserver", "runtimeManagementPort": 8001},
        }),
    )
}

/// A cluster with what upstream ships and a little more, in which everything can be looked up.
pub(crate) fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::synced();
    let container = |name: &str, spec: Value| object(Kind::ClusterStorageContainer, name, spec);
    let mut objects: Vec<Value> = KSERVE.into_iter().map(kserve_runtime).collect();
    objects.extend([
        mesh_runtime("mlserver-mesh"),
        object(
            Kind::ServingRuntime,
            "off",
            json!({"disabled": true, "containers": [{"name": "kserve-container"}],
                   "supportedModelFormats": [{"name": "sklearn"}]}),
        ),
        object(
            Kind::ServingRuntime,
            "headless",
            json!({"containers": [{"name": "main"}], "supportedModelFormats": [{"name": "sklearn"}]}),
        ),
        container(
            "modelscope",
            json!({"supportedUriFormats": [{"prefix": "ms://"}, {"regex": "^git\\+"}]}),
        ),
        container(
            "jobs",
            json!({"workloadType": "localModelDownloadJob", "supportedUriFormats": [{"prefix": "s3://"}]}),
        ),
        object(
            Kind::LocalModelCache,
            "llama",
            json!({"sourceModelUri": "hf://meta/llama", "nodeGroups": ["gpus"]}),
        ),
        json!({"kind": "LocalModelNodeGroup", "metadata": {"name": "gpus"}}),
        json!({"kind": "Secret", "metadata": {"name": "storage-config", "namespace": "default"},
               "data": {"localMinIO": "c2VjcmV0", "default": ""}}),
        object(Kind::InferenceService, "parent", json!({})),
        json!({"kind": "InferenceService", "metadata": {"name": "reader", "namespace": "default",
               "labels": {"internal.serving.kserve.io/localmodel": "llama"}}}),
        json!({"kind": "InferenceService", "metadata": {"name": "own-reader", "namespace": "default",
               "labels": {"internal.serving.kserve.io/localmodel": "llama",
                          "internal.serving.kserve.io/localmodel-namespace": "default"}}}),
        json!({"kind": "LLMInferenceService", "metadata": {"name": "chat", "namespace": "default",
               "labels": {"internal.serving.kserve.io/localmodel": "llama"}}}),
    ]);
    for object in objects {
        snapshot
            .observe(&object, "default")
            .expect("no configuration among them");
    }
    snapshot
}

/// The same, with everything out of date.
pub(crate) fn stale_cluster() -> Snapshot {
    let mut snapshot = cluster();
    for part in Part::ALL {
        snapshot.set_freshness(part, Freshness::Stale);
    }
    snapshot
}
