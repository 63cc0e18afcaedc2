//! Rules of services that upstream's controller has, or nobody.

use serde_json::{Value, json};

use super::{Case, case};
use crate::objects::{annotated, model, named, predictor, service, standard};

fn stored(more: Value) -> Value {
    let mut block = json!({"modelFormat": {"name": "sklearn"}});
    crate::objects::merge(&mut block, more);
    model(block)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "IS-C15",
            "metadata.annotations[\"serving.kserve.io/deploymentMode\"]",
            annotated(
                predictor(json!({})),
                &[("serving.kserve.io/deploymentMode", "RawDeploymnet")],
            ),
            annotated(
                predictor(json!({})),
                &[("serving.kserve.io/deploymentMode", "Knative")],
            ),
        ),
        case(
            "IS-C17",
            "metadata.annotations[\"serving.kserve.io/stop\"]",
            annotated(predictor(json!({})), &[("serving.kserve.io/stop", "yes")]),
            annotated(predictor(json!({})), &[("serving.kserve.io/stop", "True")]),
        ),
        case(
            "IS-C19",
            "spec.predictor.scaleMetric",
            standard(predictor(json!({"scaleMetric": "rps"}))),
            standard(predictor(json!({"scaleMetric": "cpu", "scaleTarget": 50}))),
        ),
        case(
            "IS-C22",
            "spec.predictor.model.storageUri",
            model(
                json!({"modelFormat": {"name": "onnx"}, "storageUri": "s3://b/m.pt", "protocolVersion": "v2"}),
            ),
            model(
                json!({"modelFormat": {"name": "onnx"}, "storageUri": "s3://b/m.onnx", "protocolVersion": "v2"}),
            ),
        ),
        case(
            "IS-C12",
            "spec.predictor.canaryTrafficPercent",
            predictor(json!({"canaryTrafficPercent": 101})),
            predictor(json!({"canaryTrafficPercent": 100})),
        ),
        case(
            "IS-C13",
            "spec.predictor.batcher.maxBatchSize",
            predictor(json!({"batcher": {"maxBatchSize": 0}})),
            predictor(json!({"batcher": {"maxBatchSize": 32, "maxLatency": 500}})),
        ),
        case(
            "IS-C18",
            "spec.predictor.timeout",
            predictor(json!({"timeout": -5})),
            predictor(json!({"timeout": 0})),
        ),
        case(
            "IS-C11",
            "spec.predictor.containers",
            service(json!({"predictor": {"containers": [{"name": "a"}, {"name": "b"}]}})),
            service(json!({"predictor": {"containers": [{"name": "a"}, {"name": "kserve-container"}]}})),
        ),
        case(
            "IS-C10",
            "metadata.name",
            named(predictor(json!({})), &"n".repeat(54)),
            named(predictor(json!({})), &"n".repeat(53)),
        ),
        case(
            "IS-C10",
            "metadata.name",
            named(predictor(json!({"name": "blue"})), &"n".repeat(49)),
            named(predictor(json!({"name": "blue"})), &"n".repeat(48)),
        ),
    ];
    cases.extend(storage());
    cases.extend(runtimes());
    cases
}

fn storage() -> Vec<Case> {
    let uris = |first: &str, second: &str| {
        service(
            json!({"predictor": {"model": {"modelFormat": {"name": "sklearn"}}, "storageUris": [
                {"uri": "pvc://a", "mountPath": first}, {"uri": "pvc://b", "mountPath": second},
            ]}}),
        )
    };
    let through = |name: &str, uri: &str| {
        service(json!({"predictor": {
            "model": {"modelFormat": {"name": "sklearn"}, "storageUri": uri}, "storageContainerName": name,
        }}))
    };
    vec![
        case(
            "IS-C01",
            "spec.predictor.model.storageUri",
            stored(json!({"storageUri": "s4://b/m"})),
            stored(json!({"storageUri": "hf://meta/llama"})),
        ),
        case(
            "IS-C01",
            "spec.predictor.model.storageUri",
            stored(json!({"storageUri": "minio://b/m"})),
            stored(json!({"storageUri": "ms://qwen/qwen"})),
        ),
        case(
            "IS-C01",
            "spec.predictor.model.storageUri",
            stored(json!({"storageUri": "svn+ssh://b/m"})),
            stored(json!({"storageUri": "git+ssh://b/m"})),
        ),
        case(
            "IS-C01",
            "spec.predictor.model.storageUri",
            stored(json!({"storageUri": "azure://b/m"})),
            stored(json!({"storageUri": "/mnt/models"})),
        ),
        case(
            "IS-C02",
            "spec.predictor.model.storage.path",
            stored(json!({"storageUri": "s3://b/m", "storage": {"path": "m"}})),
            stored(json!({"storage": {"path": "m"}})),
        ),
        case(
            "IS-C16",
            "spec.predictor.model.storage.key",
            stored(json!({"storage": {"path": "m", "key": "localMinio"}})),
            stored(json!({"storage": {"path": "m", "key": "localMinIO"}})),
        ),
        case(
            "IS-C16",
            "spec.predictor.model.storage.key",
            annotated(
                stored(json!({"storage": {"path": "m", "key": "nope"}})),
                &[("serving.kserve.io/storageSecretName", "storage-config")],
            ),
            annotated(
                stored(json!({"storage": {"path": "m", "key": "nope"}})),
                &[("serving.kserve.io/storageSecretName", "other")],
            ),
        ),
        case(
            "IS-C20",
            "spec.predictor.storageUris[1].mountPath",
            uris("/mnt/a", "/mnt/a"),
            uris("/mnt/a", "/mnt/b"),
        ),
        case(
            "IS-C23",
            "spec.predictor.storageContainerName",
            through("model-scope", "ms://a"),
            through("modelscope", "ms://a"),
        ),
        case(
            "IS-C23",
            "spec.predictor.storageContainerName",
            through("modelscope", "s3://a"),
            through("modelscope", "git+https://a"),
        ),
        case(
            "IS-C23",
            "spec.predictor.storageContainerName",
            through("jobs", "s3://a"),
            through("modelscope", "ms://a"),
        ),
    ]
}

fn runtimes() -> Vec<Case> {
    let wants = |format: &str, version: Value, protocol: Value, runtime: Value| {
        model(json!({
            "modelFormat": {"name": format, "version": version},
            "protocolVersion": protocol,
            "runtime": runtime,
            "storageUri": "s3://b/m",
        }))
    };
    let (any, none) = (Value::Null, Value::Null);
    let format = "spec.predictor.model.modelFormat.name";
    let runtime = "spec.predictor.model.runtime";
    let of = |format: &str, protocol: &str| wants(format, any.clone(), json!(protocol), none.clone());
    let by = |format: &str, name: &str| wants(format, any.clone(), any.clone(), json!(name));
    vec![
        case(
            "IS-C03",
            runtime,
            by("sklearn", "kserve-sklearnservr"),
            by("sklearn", "kserve-sklearnserver"),
        ),
        case(
            "IS-C04",
            runtime,
            by("sklearn", "off"),
            by("sklearn", "kserve-predictiveserver"),
        ),
        case(
            "IS-C04",
            runtime,
            by("onnx", "kserve-sklearnserver"),
            by("onnx", "kserve-tritonserver"),
        ),
        case(
            "IS-C04",
            runtime,
            wants("sklearn", json!("0"), none.clone(), json!("kserve-sklearnserver")),
            by("sklearn", "kserve-mlserver"),
        ),
        case(
            "IS-C04",
            runtime,
            wants("sklearn", none.clone(), json!("v1"), json!("kserve-mlserver")),
            by("sklearn", "kserve-mlserver"),
        ),
        case(
            "IS-C04",
            runtime,
            by("huggingface", "kserve-huggingfaceserver-multinode"),
            by("huggingface", "kserve-huggingfaceserver"),
        ),
        case(
            "IS-C05",
            format,
            wants("sklearn", json!("0"), none.clone(), none.clone()),
            wants("sklearn", json!("0"), json!("v2"), none.clone()),
        ),
        case("IS-C05", format, of("mlflow", "v1"), of("mlflow", "v2")),
        case("IS-C05", format, of("skleran", "v1"), of("sklearn", "v1")),
        case(
            "IS-C05",
            "spec.predictor.pmml",
            service(json!({"predictor": {"pmml": {"protocolVersion": "grpc-v2"}}})),
            service(json!({"predictor": {"onnx": {}}})),
        ),
        case(
            "IS-C09",
            format,
            model(json!({"storageUri": "s3://b/m"})),
            predictor(json!({})),
        ),
        case(
            "IS-C14",
            "spec.predictor.model.protocolVersion",
            of("sklearn", "v3"),
            of("sklearn", "v2"),
        ),
        case(
            "IS-C21",
            runtime,
            by("sklearn", "headless"),
            by("sklearn", "kserve-sklearnserver"),
        ),
    ]
}
