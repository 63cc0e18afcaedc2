//! `ServingRuntime` and `ClusterServingRuntime`.

use serde_json::{Value, json};
use webhook::Kind;

use super::{Case, case};
use crate::{
    objects::{annotated, merge, object},
    shipped::mesh_runtime,
};

fn spec(more: Value) -> Value {
    let mut spec = json!({
        "containers": [{"name": "kserve-container", "image": "x", "args": ["--model_name={{.Name}}"]}],
        "protocolVersions": ["v1", "v2"],
        "supportedModelFormats": [{"name": "sklearn", "version": "1", "autoSelect": true, "priority": 7}],
    });
    merge(&mut spec, more);
    spec
}

fn runtime(more: Value) -> Value {
    object(Kind::ServingRuntime, "mine", spec(more))
}

fn cluster_runtime(more: Value) -> Value {
    object(Kind::ClusterServingRuntime, "mine", spec(more))
}

fn mesh(more: Value) -> Value {
    let mut object = mesh_runtime("mine");
    merge(&mut object["spec"], more);
    object
}

fn formats(entries: &[(&str, &str, i64)]) -> Value {
    let entries = entries
        .iter()
        .map(|(name, version, priority)| json!({"name": name, "version": version, "autoSelect": true, "priority": priority}));
    json!({"supportedModelFormats": entries.collect::<Vec<_>>()})
}

fn workers(more: Value) -> Value {
    let mut spec = json!({"workerSpec": {"containers": [{"name": "worker-container"}]}});
    merge(&mut spec["workerSpec"], more);
    runtime(spec)
}

fn scaled(annotations: &[(&str, &str)]) -> Value {
    let full: Vec<(String, &str)> = annotations
        .iter()
        .map(|(key, value)| (format!("serving.kserve.io/{key}"), *value))
        .collect();
    let full: Vec<(&str, &str)> = full.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    annotated(mesh(json!({})), &full)
}

pub(super) fn cases() -> Vec<Case> {
    let two = formats(&[("onnx", "1", 1), ("onnx", "2", 2)]);
    let one = formats(&[("onnx", "1", 1), ("onnx", "2", 1), ("ONNX", "1", 5)]);
    let mut elsewhere = runtime(two.clone());
    elsewhere["metadata"]["namespace"] = json!("empty");
    let mut agreed = runtime(one.clone());
    agreed["metadata"]["namespace"] = json!("empty");
    let with_workers = workers(json!({}));
    let env = |name: &str| json!({"containers": [{"name": "kserve-container", "env": [{"name": name, "value": "2"}]}]});
    let mut sized = with_workers.clone();
    merge(&mut sized["spec"], env("PIPELINE_PARALLEL_SIZE"));
    let mut gpus = with_workers.clone();
    gpus["spec"]["containers"][0]["resources"] = json!({"requests": {"rdma/hca": "1"}});
    let mut known = gpus.clone();
    known["spec"]["annotations"] = json!({"serving.kserve.io/gpu-resource-types": "[\"rdma/hca\"]"});
    let mut cases = vec![
        case(
            "SR-V01",
            "spec.supportedModelFormats[1].priority",
            runtime(two.clone()),
            runtime(one),
        ),
        case(
            "SR-C01",
            "spec.supportedModelFormats[1].priority",
            elsewhere,
            agreed,
        ),
        case(
            "SR-V02",
            "spec.supportedModelFormats[0].priority",
            cluster_runtime(formats(&[("SKLearn", "1", 1)])),
            cluster_runtime(formats(&[("sklearn", "1", 4)])),
        ),
        case(
            "SR-V02",
            "spec.supportedModelFormats[0].priority",
            cluster_runtime(formats(&[("sklearn", "0", 2)])),
            cluster_runtime(
                json!({"protocolVersions": [], "supportedModelFormats": [{"name": "sklearn", "version": "0", "autoSelect": true, "priority": 2}]}),
            ),
        ),
        case(
            "SR-V03",
            "spec.workerSpec",
            runtime(json!({})),
            with_workers.clone(),
        )
        .was(with_workers.clone()),
        case(
            "SR-V04a",
            "spec.workerSpec.containers",
            workers(json!({"containers": []})),
            with_workers.clone(),
        ),
        case(
            "SR-V04a",
            "spec.workerSpec.containers",
            workers(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
            with_workers.clone(),
        ),
        case(
            "SR-V04b",
            "spec.containers[0].env[0].value",
            sized,
            with_workers.clone(),
        ),
        case(
            "SR-V04c",
            "spec.containers[0].resources.requests[\"rdma/hca\"]",
            gpus,
            known,
        ),
        case(
            "SR-V04d",
            "spec.workerSpec.tensorParallelSize",
            workers(json!({"tensorParallelSize": 0})),
            workers(json!({"tensorParallelSize": 4})),
        ),
        case(
            "SR-V05",
            "spec.containers[0].env[0].name",
            runtime(env("PYTHONPATH")),
            runtime(env("PYTHON")),
        ),
        case(
            "SR-V05",
            "spec.workerSpec.containers[0].env[0].name",
            workers(json!({"containers": [{"name": "w", "env": [{"name": "PYTHONPATH"}]}]})),
            runtime(
                json!({"disabled": true, "containers": [{"name": "kserve-container", "env": [{"name": "PYTHONPATH"}]}]}),
            ),
        ),
        case(
            "SR-C02",
            "spec.containers",
            runtime(json!({"containers": [{"name": "server"}]})),
            runtime(json!({})),
        ),
        case(
            "SR-C03",
            "spec.containers[1].name",
            runtime(json!({"containers": [{"name": "kserve-container"}, {"name": "kserve-container"}]})),
            runtime(json!({})),
        ),
        case(
            "SR-C04",
            "spec.protocolVersions[1]",
            runtime(json!({"protocolVersions": ["v1", "grpcv2"]})),
            runtime(json!({"protocolVersions": ["grpc-v2"]})),
        ),
        case(
            "SR-C05",
            "spec.containers[0].args[0]",
            runtime(json!({"containers": [{"name": "kserve-container", "args": ["--name={{.ModelName}}"]}]})),
            runtime(
                json!({"containers": [{"name": "kserve-container", "args": ["{{.Labels.modelClass}} {{ .Namespace }}", "{\"a\": {}}"]}]}),
            ),
        ),
        case(
            "SR-C05",
            "spec.containers[0].args[0]",
            runtime(json!({"containers": [{"name": "kserve-container", "args": ["{{.Name"]}]})),
            runtime(json!({})),
        ),
    ];
    cases.extend(autoscaling());
    cases.extend(shared_pods());
    cases
}

fn autoscaling() -> Vec<Case> {
    let annotation = |key: &str| -> &'static str {
        match key {
            "class" => "metadata.annotations[\"serving.kserve.io/autoscalerClass\"]",
            "metrics" => "metadata.annotations[\"serving.kserve.io/metrics\"]",
            "target" => "metadata.annotations[\"serving.kserve.io/targetUtilizationPercentage\"]",
            _ => "metadata.annotations[\"serving.kserve.io/min-scale\"]",
        }
    };
    let hpa = ("autoscalerClass", "hpa");
    let mut fixed = scaled(&[hpa]);
    fixed["spec"]["replicas"] = json!(2);
    let mut unset = scaled(&[hpa]);
    unset["spec"]["replicas"] = json!(65535);
    vec![
        case(
            "MM-V01",
            annotation("class"),
            scaled(&[("autoscalerClass", "external")]),
            scaled(&[hpa]),
        ),
        case(
            "MM-V02",
            annotation("metrics"),
            scaled(&[hpa, ("metrics", "rps")]),
            scaled(&[hpa, ("metrics", "memory")]),
        ),
        case(
            "MM-V03",
            annotation("target"),
            scaled(&[("targetUtilizationPercentage", "0.5")]),
            scaled(&[("targetUtilizationPercentage", "100")]),
        ),
        case(
            "MM-V03",
            annotation("target"),
            scaled(&[hpa, ("targetUtilizationPercentage", "101")]),
            scaled(&[hpa]),
        ),
        case("MM-V04", "spec.replicas", fixed, unset),
        case(
            "MM-V05",
            annotation("min"),
            scaled(&[hpa, ("min-scale", "2")]),
            scaled(&[hpa, ("min-scale", "2"), ("max-scale", "2")]),
        ),
        case(
            "MM-V05",
            annotation("min"),
            scaled(&[hpa, ("min-scale", "0")]),
            scaled(&[("min-scale", "0")]),
        ),
    ]
}

fn shared_pods() -> Vec<Case> {
    let good = mesh(json!({}));
    let with = |more: Value| {
        let mut object = mesh(json!({}));
        merge(&mut object["spec"]["containers"][0], more);
        object
    };
    let named = |name: &str| mesh(json!({"builtInAdapter": null, "containers": [{"name": name}]}));
    vec![
        case(
            "MM-C01",
            "spec.builtInAdapter.serverType",
            mesh(json!({"builtInAdapter": {"serverType": "mlsrver"}})),
            good.clone(),
        ),
        case(
            "MM-C01",
            "spec.builtInAdapter.serverType",
            mesh(json!({"builtInAdapter": {"serverType": "triton"}})),
            good.clone(),
        ),
        case(
            "MM-C02",
            "spec.containers[0].name",
            named("rest-proxy"),
            named("proxy"),
        ),
        case("MM-C02", "spec.containers[0].name", named("mm-x"), named("mmx")),
        case(
            "MM-C03",
            "spec.containers[0].readinessProbe",
            with(json!({"readinessProbe": {}})),
            with(json!({"livenessProbe": {}})),
        ),
        case(
            "MM-C04",
            "spec.containers[0].volumeMounts[0].name",
            with(json!({"volumeMounts": [{"name": "etcd-config", "mountPath": "/e"}]})),
            with(json!({"volumeMounts": [{"name": "models-dir", "mountPath": "/m"}]})),
        ),
        case(
            "MM-C04",
            "spec.volumes[0].name",
            mesh(json!({"volumes": [{"name": "models-dir", "emptyDir": {}}]})),
            mesh(json!({"volumes": [{"name": "scratch", "emptyDir": {}}]})),
        ),
        case(
            "MM-C05",
            "spec.containers[0].ports[0].containerPort",
            with(json!({"ports": [{"containerPort": 11885}]})),
            with(json!({"ports": [{"containerPort": 11900, "name": "web"}]})),
        ),
        case(
            "MM-C05",
            "spec.containers[0].ports[0].name",
            with(json!({"ports": [{"containerPort": 9000, "name": "grpc"}]})),
            with(json!({"ports": [{"containerPort": 9000, "name": "rpc"}]})),
        ),
        case(
            "MM-C06",
            "spec.grpcEndpoint",
            mesh(json!({"builtInAdapter": null, "grpcEndpoint": null})),
            mesh(json!({"builtInAdapter": null, "grpcEndpoint": "unix:///tmp/s"})),
        ),
        case(
            "MM-C06",
            "spec.grpcEndpoint",
            mesh(json!({"grpcEndpoint": "unix:/tmp/s"})),
            good.clone(),
        ),
        case(
            "MM-C06",
            "spec.grpcDataEndpoint",
            mesh(
                json!({"builtInAdapter": null, "grpcEndpoint": "unix:/a/s", "grpcDataEndpoint": "unix:/b/s"}),
            ),
            good,
        ),
    ]
}
