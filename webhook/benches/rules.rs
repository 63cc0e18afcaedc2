//! What a review costs without server and network: defaulting and validation of one object that is already parsed.

use divan::{Bencher, black_box};
use serde_json::{Value, json};
use webhook::{Kind, Operation, Options, Request, Snapshot, default, patch, validate};

fn main() {
    divan::main();
}

/// A cluster with as many runtimes as upstream installs, and some more for one format.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::synced();
    for n in 0..40 {
        let format = ["sklearn", "xgboost", "onnx", "tensorflow", "huggingface"][n % 5];
        let runtime = json!({
            "kind": "ClusterServingRuntime",
            "metadata": {"name": format!("runtime-{n}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "containers": [{"name": "kserve-container"}],
                "protocolVersions": ["v1", "v2"],
                "supportedModelFormats": [{"name": format, "version": "1", "autoSelect": true, "priority": n + 1}],
            },
        });
        snapshot.observe(&runtime, "").expect("no configuration");
    }
    snapshot
}

fn object(name: &str) -> Value {
    let (kind, spec) = match name {
        "model" => (
            Kind::InferenceService,
            json!({"predictor": {
                "model": {
                    "modelFormat": {"name": "sklearn"},
                    "storageUri": "s3://bucket/models/iris",
                    "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
                },
                "minReplicas": 1, "maxReplicas": 3, "scaleMetric": "concurrency", "scaleTarget": 10,
            }}),
        ),
        "framework" => (
            Kind::InferenceService,
            json!({"predictor": {"onnx": {"storageUri": "s3://bucket/models/iris"}}}),
        ),
        "pods" => {
            let container = |name: &str| {
                json!({
                    "name": name, "image": "registry/image:1", "args": ["--port=8080", "--model=x"],
                    "env": (0..10).map(|n| json!({"name": format!("VAR_{n}"), "value": "x"})).collect::<Vec<_>>(),
                    "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                })
            };
            let pod = json!({"containers": [container("kserve-container")], "volumes": [{"name": "v", "emptyDir": {}}]});
            (
                Kind::InferenceService,
                json!({"predictor": pod, "transformer": pod, "explainer": pod}),
            )
        }
        _ => (
            Kind::ServingRuntime,
            json!({
                "containers": [{"name": "kserve-container", "image": "x", "args": ["--model_name={{.Name}}"]}],
                "protocolVersions": ["v1", "v2"],
                "supportedModelFormats": [{"name": "sklearn", "version": "1", "autoSelect": true, "priority": 100}],
            }),
        ),
    };
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": "iris", "namespace": "default", "labels": {"team": "a"}, "annotations": {"note": "x"}},
        "spec": spec,
    })
}

fn request<'a>(object: &'a Value, old: Option<&'a Value>) -> Request<'a> {
    let service = object["kind"] == "InferenceService";
    Request {
        operation: if old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        },
        kind: if service {
            Kind::InferenceService
        } else {
            Kind::ServingRuntime
        },
        namespace: "default",
        name: "iris",
        object: Some(object),
        old,
    }
}

const OBJECTS: [&str; 4] = ["model", "framework", "pods", "runtime"];

#[divan::bench(args = OBJECTS)]
fn defaulting(bencher: Bencher, name: &str) {
    let (snapshot, options, object) = (snapshot(), Options::default(), object(name));
    bencher.bench(|| default(black_box(&request(&object, None)), &snapshot, &options));
}

/// As the API server asks: the object after defaulting.
#[divan::bench(args = OBJECTS)]
fn validation(bencher: Bencher, name: &str) {
    let (snapshot, options, mut object) = (snapshot(), Options::default(), object(name));
    let defaulted = default(&request(&object, None), &snapshot, &options);
    patch::apply(&mut object, &defaulted.patch).expect("the patch applies");
    bencher.bench(|| validate(black_box(&request(&object, None)), &snapshot, &options));
}

/// The dearest update: an old offence, which the stored object is searched for.
#[divan::bench]
fn ratcheted_update(bencher: Bencher) {
    let (snapshot, options, mut object) = (snapshot(), Options::default(), object("model"));
    object["spec"]["predictor"]["minReplicas"] = json!(9);
    bencher.bench(|| validate(black_box(&request(&object, Some(&object))), &snapshot, &options));
}
