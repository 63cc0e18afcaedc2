//! Rules of services that upstream's webhook has.

use serde_json::{Value, json};

use super::{Case, case};
use crate::objects::{annotated, mesh, model, named, predictor, service, standard};

const CLASS: &str = "serving.kserve.io/autoscalerClass";

fn workers(model: Value, workers: Value) -> Value {
    annotated(
        service(json!({"predictor": {"model": model, "workerSpec": workers}})),
        &[(CLASS, "none")],
    )
}

fn custom(containers: Value) -> Value {
    service(json!({"predictor": {"containers": containers}}))
}

fn shared_model() -> Value {
    json!({"modelFormat": {"name": "huggingface"}, "storageUri": "pvc://claim/llama"})
}

fn confidential(uri: &str, more: Value) -> Value {
    let mut confidential = json!({"enabled": true});
    crate::objects::merge(&mut confidential, more);
    model(json!({"modelFormat": {"name": "sklearn"}, "storageUri": uri, "confidential": confidential}))
}

fn uris(list: Value) -> Value {
    service(json!({"predictor": {"model": {"modelFormat": {"name": "sklearn"}}, "storageUris": list}}))
}

fn at(uri: &str, path: &str) -> Value {
    json!({"uri": uri, "mountPath": path})
}

fn canary(list: Value) -> Value {
    let mut object = standard(predictor(json!({"minReplicas": 2})));
    object["spec"]["canary"] = list;
    object
}

fn second(name: &str, percent: i64, more: Value) -> Value {
    let mut predictor = json!({"name": name, "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/iris-2"}});
    crate::objects::merge(&mut predictor, more);
    json!({"predictor": predictor, "trafficPercent": percent})
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = basics();
    cases.extend(multi_node());
    cases.extend(storage());
    cases.extend(implementations());
    cases.extend(scaling());
    cases.extend(keda());
    cases.extend(canaries());
    cases.extend(updates());
    cases
}

fn basics() -> Vec<Case> {
    let path = json!([{"name": "PYTHONPATH", "value": "/x"}]);
    let transformer = |env: Value| {
        predictor(json!({"containers": [{"name": "transformer-container", "image": "t", "env": env}]}))
    };
    vec![
        case(
            "IS-V01",
            "metadata.name",
            named(predictor(json!({})), "1iris"),
            predictor(json!({})),
        ),
        case(
            "IS-V01",
            "metadata.name",
            named(predictor(json!({})), "iris-"),
            named(predictor(json!({})), "i"),
        ),
        case(
            "IS-V01",
            "metadata.name",
            named(predictor(json!({})), ""),
            named(predictor(json!({})), "iris-2"),
        ),
        case(
            "IS-V02",
            "metadata.annotations[\"serving.kserve.io/autoscalerClass\"]",
            annotated(predictor(json!({})), &[(CLASS, "kpa")]),
            annotated(predictor(json!({})), &[(CLASS, "external")]),
        ),
        case(
            "IS-V03",
            "spec.predictor.model.env[0].name",
            predictor(json!({"model": {"env": path}})),
            predictor(json!({"model": {"env": [{"name": "PYTHONPATHS"}]}})),
        ),
        case(
            "IS-V03",
            "spec.predictor.workerSpec.initContainers[0].env[0].name",
            workers(
                shared_model(),
                json!({"initContainers": [{"name": "i", "env": path}]}),
            ),
            workers(shared_model(), json!({"initContainers": [{"name": "i"}]})),
        ),
        case(
            "IS-V03",
            "spec.explainer.art.env[0].name",
            service(json!({"predictor": {"model": shared_model()}, "explainer": {"art": {"env": path}}})),
            service(json!({"predictor": {"model": shared_model()}, "explainer": {"art": {}}})),
        ),
        case(
            "IS-V05",
            "spec.predictor.containers[0].env[0].name",
            transformer(json!([{"name": "STORAGE_URI", "value": "s3://b/m"}])),
            transformer(json!([])),
        ),
        case(
            "IS-V06",
            "spec.predictor.model.name",
            predictor(json!({"model": {"name": "mine"}})),
            predictor(json!({"model": {"name": ""}})),
        ),
    ]
}

fn multi_node() -> Vec<Case> {
    let gpu = |name: &str| json!({"limits": {"cpu": "1", name: "1"}});
    let mut with_gpu = shared_model();
    with_gpu["resources"] = gpu("example.com/gpu");
    let good = workers(
        shared_model(),
        json!({"pipelineParallelSize": 2, "tensorParallelSize": 1}),
    );
    let mut sized = shared_model();
    sized["env"] = json!([{"name": "TENSOR_PARALLEL_SIZE", "value": "2"}]);
    let mut bucket = shared_model();
    bucket["storageUri"] = json!("s3://bucket/llama");
    let mut nowhere = shared_model();
    nowhere["storageUri"] = Value::Null;
    let types = "serving.kserve.io/gpu-resource-types";
    vec![
        case(
            "IS-V04a",
            "spec.predictor.workerSpec.containers",
            workers(
                shared_model(),
                json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            ),
            workers(shared_model(), json!({"containers": [{"name": "a"}]})),
        ),
        case(
            "IS-V04b",
            "spec.predictor.model.env[0].value",
            workers(sized, json!({})),
            good.clone(),
        ),
        case(
            "IS-V04c",
            "spec.predictor.model.resources.limits[\"example.com/gpu\"]",
            workers(with_gpu.clone(), json!({})),
            annotated(workers(with_gpu, json!({})), &[(types, r#"["example.com/gpu"]"#)]),
        ),
        case(
            "IS-V04c",
            "metadata.annotations[\"serving.kserve.io/gpu-resource-types\"]",
            annotated(
                workers(
                    shared_model(),
                    json!({"containers": [{"name": "w", "resources": gpu("x.com/y")}]}),
                ),
                &[(types, "[]")],
            ),
            workers(
                shared_model(),
                json!({"containers": [{"name": "w", "resources": gpu("nvidia.com/gpu")}]}),
            ),
        ),
        case(
            "IS-V04d",
            "spec.predictor.model.storageUri",
            workers(bucket, json!({})),
            good.clone(),
        ),
        case(
            "IS-V04d",
            "spec.predictor.model.storageUri",
            workers(nowhere, json!({})),
            good.clone(),
        ),
        case(
            "IS-V04e",
            "metadata.annotations[\"serving.kserve.io/autoscalerClass\"]",
            service(json!({"predictor": {"model": shared_model(), "workerSpec": {}}})),
            good.clone(),
        ),
        case(
            "IS-V04f",
            "spec.predictor.workerSpec.pipelineParallelSize",
            workers(shared_model(), json!({"pipelineParallelSize": 0})),
            good,
        ),
    ]
}

fn storage() -> Vec<Case> {
    let list = json!([at("s3://b/1", "/mnt/models/a"), at("gs://b/2", "/mnt/models/b")]);
    let mut both = uris(list.clone());
    both["spec"]["predictor"]["model"]["storageUri"] = json!("s3://b/m");
    let claims = [at("pvc://a", "/mnt/x"), at("pvc://b", "/mnt/x")];
    let downloads = [at("s3://b/1", "/mnt/models/a"), at("gs://b/2", "/mnt/models/b")];
    let all: Vec<&Value> = downloads.iter().chain(&claims).collect();
    vec![
        case("IS-V07a", "spec.predictor.storageUris", both, uris(list.clone())),
        case(
            "IS-V07b",
            "spec.predictor.storageUris[0].uri",
            uris(json!([at("", "/mnt/models")])),
            uris(list.clone()),
        ),
        case(
            "IS-V07c",
            "spec.predictor.storageUris[0].mountPath",
            uris(json!([at("s3://b/m", "/")])),
            uris(list.clone()),
        ),
        case(
            "IS-V07c",
            "spec.predictor.storageUris[0].mountPath",
            uris(json!([at("s3://b/m", "//")])),
            uris(list.clone()),
        ),
        case(
            "IS-V07c",
            "spec.predictor.storageUris[0].mountPath",
            uris(json!([{"uri": "s3://b/m"}])),
            uris(list.clone()),
        ),
        case(
            "IS-V07c",
            "spec.predictor.storageUris[0].mountPath",
            uris(json!([at("s3://b/m", "mnt")])),
            uris(list.clone()),
        ),
        case(
            "IS-V07c",
            "spec.predictor.storageUris[0].mountPath",
            uris(json!([at("s3://b/m", "/mnt/../etc")])),
            uris(list.clone()),
        ),
        case(
            "IS-V07d",
            "spec.predictor.storageUris[3].mountPath",
            uris(json!(all)),
            uris(list.clone()),
        ),
        case(
            "IS-V07e",
            "spec.predictor.storageUris",
            uris(json!([at("s3://b/1", "/mnt/a"), at("gs://b/2", "/opt/b")])),
            uris(list),
        ),
        case(
            "IS-V08a",
            "spec.predictor.model.storageUri",
            confidential("", json!({})),
            confidential("s3://b/m", json!({})),
        ),
        case(
            "IS-V08b",
            "spec.predictor.model.confidential.resourceId",
            confidential("s3://b/m", json!({"resourceId": "kbs:///only/two"})),
            confidential("s3://b/m", json!({"resourceId": "kbs:///default/key/my_model.1"})),
        ),
        case(
            "IS-V08c",
            "spec.predictor.model.confidential",
            confidential("oci://registry/model", json!({})),
            confidential("s3://b/m", json!({})),
        ),
    ]
}

fn implementations() -> Vec<Case> {
    let onnx = |uri: &str| mesh(service(json!({"predictor": {"onnx": {"storageUri": uri}}})));
    let torch = |version: &str, limits: Value| {
        let block =
            json!({"storageUri": "s3://b/m", "runtimeVersion": version, "resources": {"limits": limits}});
        mesh(service(json!({"predictor": {"pytorch": block}})))
    };
    let stored = |kind: &str| {
        mesh(service(
            json!({"predictor": {"pmml": {"storage": {"parameters": {"type": kind}}}}}),
        ))
    };
    let protocol = |value: &str| {
        custom(json!([{"name": "kserve-container", "env": [{"name": "PROTOCOL", "value": value}]}]))
    };
    let with = |key: &str, value: Value| {
        let mut object = predictor(json!({}));
        object["spec"][key] = value;
        object
    };
    vec![
        case(
            "IS-V09",
            "spec.predictor",
            predictor(json!({"xgboost": {}})),
            predictor(json!({})),
        ),
        case(
            "IS-V09",
            "spec.predictor",
            service(json!({"predictor": {}})),
            custom(json!([{"name": "any"}])),
        ),
        case(
            "IS-V09",
            "spec.predictor",
            service(json!({})),
            custom(json!([{"name": "kserve-container"}, {"name": "b"}])),
        ),
        case(
            "IS-V09",
            "spec.predictor",
            predictor(json!({"containers": [{"name": "kserve-container"}]})),
            predictor(json!({"containers": [{"name": "transformer-container"}]})),
        ),
        case(
            "IS-V09",
            "spec.transformer",
            with("transformer", json!({})),
            with(
                "transformer",
                json!({"containers": [{"name": "kserve-container"}]}),
            ),
        ),
        case(
            "IS-V09",
            "spec.explainer",
            with("explainer", json!({"alibi": {}})),
            with("explainer", json!({"art": {}})),
        ),
        case(
            "IS-V10a",
            "spec.predictor.onnx.storageUri",
            onnx("s3://b/model.pt"),
            onnx("s3://b/v1.0/model.onnx"),
        ),
        case(
            "IS-V10b",
            "spec.predictor.pytorch.runtimeVersion",
            torch("1.0", json!({"nvidia.com/gpu": 1})),
            torch("1.0-gpu", json!({"nvidia.com/mig-1g.5gb": 1})),
        ),
        case(
            "IS-V10b",
            "spec.predictor.pytorch.runtimeVersion",
            torch("1.0-gpu", json!({"cpu": 1})),
            torch("1.0", json!({})),
        ),
        case(
            "IS-V10c",
            "spec.predictor.pmml.storage.parameters.type",
            stored("gcs"),
            stored("webhdfs"),
        ),
        case(
            "IS-V10d",
            "spec.predictor.containers[0].env[0].value",
            protocol("grpc-v2"),
            protocol("v2"),
        ),
    ]
}

fn scaling() -> Vec<Case> {
    let hpa = |more: Value| annotated(standard(predictor(more)), &[(CLASS, "hpa")]);
    vec![
        case(
            "IS-V11",
            "spec.predictor.containerConcurrency",
            predictor(json!({"containerConcurrency": -1})),
            predictor(json!({"containerConcurrency": 0})),
        ),
        case(
            "IS-V12",
            "spec.predictor.minReplicas",
            predictor(json!({"minReplicas": -1})),
            predictor(json!({"minReplicas": 0})),
        ),
        case(
            "IS-V12",
            "spec.predictor.maxReplicas",
            predictor(json!({"maxReplicas": -1})),
            predictor(json!({"maxReplicas": 0})),
        ),
        case(
            "IS-V12",
            "spec.predictor.minReplicas",
            predictor(json!({"minReplicas": 3, "maxReplicas": 2})),
            predictor(json!({"minReplicas": 2, "maxReplicas": 2})),
        ),
        case(
            "IS-V13a",
            "spec.predictor.logger.mode",
            predictor(json!({"logger": {"url": "http://sink"}})),
            predictor(json!({"logger": {"mode": "all"}})),
        ),
        case(
            "IS-V13a",
            "spec.predictor.logger.mode",
            predictor(json!({"logger": {"mode": "every"}})),
            predictor(json!({"logger": {"mode": "response"}})),
        ),
        case(
            "IS-V13b",
            "spec.predictor.logger.storage",
            predictor(json!({"logger": {"mode": "all", "storage": {"path": "p"}}})),
            predictor(
                json!({"logger": {"mode": "all", "storage": {"path": "p", "key": "k", "parameters": {}}}}),
            ),
        ),
        case(
            "IS-V14a",
            "spec.predictor.scaleTarget",
            hpa(json!({"scaleTarget": 101})),
            hpa(json!({"scaleTarget": 100})),
        ),
        case(
            "IS-V14a",
            "spec.predictor.scaleTarget",
            hpa(json!({"scaleMetric": "memory", "scaleTarget": 0})),
            hpa(json!({"scaleMetric": "memory", "scaleTarget": 1})),
        ),
        case(
            "IS-V14a",
            "spec.predictor.scaleMetric",
            hpa(json!({"scaleMetric": "rps"})),
            hpa(json!({"scaleMetric": "cpu"})),
        ),
        case(
            "IS-V14a",
            "spec.predictor.autoScaling.metrics[0].type",
            hpa(json!({"autoScaling": {"metrics": [{"type": "External"}]}})),
            hpa(
                json!({"autoScaling": {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {}}}]}}),
            ),
        ),
        case(
            "IS-V14a",
            "spec.predictor.scaleMetric",
            annotated(
                predictor(json!({"scaleMetric": "concurrency"})),
                &[("autoscaling.knative.dev/class", "hpa.autoscaling.knative.dev")],
            ),
            annotated(
                predictor(json!({"scaleMetric": "memory"})),
                &[("autoscaling.knative.dev/class", "hpa.autoscaling.knative.dev")],
            ),
        ),
        case(
            "IS-V14c",
            "spec.predictor.scaleMetric",
            predictor(json!({"scaleMetric": "cpu"})),
            predictor(json!({"scaleMetric": "rps"})),
        ),
        case(
            "IS-V14c",
            "spec.predictor.scaleTarget",
            predictor(json!({"scaleMetric": "rps", "scaleTarget": 0})),
            predictor(json!({"scaleTarget": 0})),
        ),
        case(
            "IS-V14d",
            "spec.predictor.deploymentStrategy",
            predictor(json!({"deploymentStrategy": {"type": "Recreate"}})),
            standard(predictor(json!({"deploymentStrategy": {"type": "Recreate"}}))),
        ),
    ]
}

fn keda() -> Vec<Case> {
    let keda = |more: Value| annotated(standard(predictor(more)), &[(CLASS, "keda")]);
    let metric = |metric: Value| keda(json!({"autoScaling": {"metrics": [metric]}}));
    let resource = |name: &str, target: Value| {
        metric(json!({"type": "Resource", "resource": {"name": name, "target": target}}))
    };
    let external = |query: &str, target: Value| {
        metric(
            json!({"type": "External", "external": {"metric": {"backend": "prometheus", "query": query}, "target": target}}),
        )
    };
    let good = resource("cpu", json!({"type": "Utilization", "averageUtilization": 60}));
    let value = json!({"type": "Value", "value": "10"});
    vec![
        case(
            "IS-V14b",
            "spec.predictor.scaleMetric",
            keda(json!({"scaleMetric": "cpu"})),
            good.clone(),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].type",
            metric(json!({"type": "Pods"})),
            good.clone(),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].podmetric",
            metric(json!({"type": "PodMetric"})),
            external("sum(x)", value.clone()),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].resource.name",
            resource("gpu", value.clone()),
            good.clone(),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].resource.target.type",
            resource("cpu", value.clone()),
            good.clone(),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].resource.target.type",
            resource("memory", value.clone()),
            resource("memory", json!({"type": "AverageValue", "averageValue": "1Mi"})),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].resource.target.averageValue",
            resource(
                "memory",
                json!({"type": "AverageValue", "averageValue": "1023Ki"}),
            ),
            resource("memory", json!({"type": "Utilization", "averageUtilization": 1})),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].resource.target.averageUtilization",
            resource("cpu", json!({"type": "Utilization", "averageUtilization": 101})),
            good,
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].external.metric.query",
            external("", value.clone()),
            external("sum(x)", value.clone()),
        ),
        case(
            "IS-V14b",
            "spec.predictor.autoScaling.metrics[0].external.target.value",
            external("sum(x)", json!({"type": "Value"})),
            external("sum(x)", value),
        ),
    ]
}

fn canaries() -> Vec<Case> {
    let good = canary(json!([
        second("v2", 40, json!({})),
        second("v3", 60, json!({"minReplicas": 2}))
    ]));
    let mut knative = good.clone();
    knative["metadata"]["annotations"] = json!({});
    let mut bare = good.clone();
    bare["spec"]["predictor"] = json!({"containers": [{"name": "kserve-container"}]});
    vec![
        case("IS-V15a", "spec.canary", knative, good.clone()),
        case("IS-V15b", "spec.predictor", bare, good.clone()),
        case(
            "IS-V15c",
            "spec.canary[1].predictor.name",
            canary(json!([second("v2", 1, json!({})), second("v2", 1, json!({}))])),
            good.clone(),
        ),
        case(
            "IS-V15c",
            "spec.canary[0].predictor.name",
            canary(json!([second("", 1, json!({}))])),
            good.clone(),
        ),
        case(
            "IS-V15d",
            "spec.canary",
            canary(json!([second("v2", 60, json!({})), second("v3", 41, json!({}))])),
            good.clone(),
        ),
        case(
            "IS-V15d",
            "spec.canary[0].trafficPercent",
            canary(json!([second("v2", -1, json!({}))])),
            good.clone(),
        ),
        case(
            "IS-V15e",
            "spec.canary[0].predictor.maxReplicas",
            canary(json!([second("v2", 1, json!({"maxReplicas": 3}))])),
            good.clone(),
        ),
        case(
            "IS-V15e",
            "spec.canary[0].predictor.autoScaling",
            canary(json!([second("v2", 1, json!({"autoScaling": {}}))])),
            good.clone(),
        ),
        case(
            "IS-V15e",
            "spec.canary[0].predictor.minReplicas",
            canary(json!([second("v2", 1, json!({"minReplicas": 3}))])),
            good.clone(),
        ),
        case(
            "IS-V09",
            "spec.canary[0].predictor",
            canary(json!([second("v2", 1, json!({"sklearn": {}}))])),
            good,
        ),
        case(
            "IS-V11",
            "spec.canary[0].predictor.containerConcurrency",
            canary(json!([second("v2", 1, json!({"containerConcurrency": -1}))])),
            canary(json!([second("v2", 1, json!({"containerConcurrency": 1}))])),
        ),
        case(
            "IS-V13a",
            "spec.canary[0].predictor.logger.mode",
            canary(json!([second("v2", 1, json!({"logger": {}}))])),
            canary(json!([second("v2", 1, json!({"logger": {"mode": "all"}}))])),
        ),
        case(
            "IS-C14",
            "spec.canary[0].predictor.model.protocolVersion",
            canary(json!([second(
                "v2",
                1,
                json!({"model": {"protocolVersion": "v0"}})
            )])),
            canary(json!([second(
                "v2",
                1,
                json!({"model": {"protocolVersion": "v1"}})
            )])),
        ),
        case(
            "IS-C24",
            "spec.canary[0].predictor.model.env[0].name",
            canary(json!([second(
                "v2",
                1,
                json!({"model": {"env": [{"name": "PYTHONPATH"}]}})
            )])),
            canary(json!([second(
                "v2",
                1,
                json!({"model": {"env": [{"name": "PYTHON"}]}})
            )])),
        ),
    ]
}

fn updates() -> Vec<Case> {
    let mut running = predictor(json!({"name": "v1"}));
    running["status"] = json!({"deploymentMode": "Serverless"});
    let annotation = "serving.kserve.io/deploymentMode";
    let mut moved = predictor(json!({"name": "v2"}));
    moved["spec"]["predictor"]["model"]["storageUri"] = json!("s3://bucket/iris-2");
    vec![
        case(
            "IS-U02",
            "metadata.annotations[\"serving.kserve.io/deploymentMode\"]",
            annotated(predictor(json!({"name": "v1"})), &[(annotation, "Standard")]),
            annotated(predictor(json!({"name": "v1"})), &[(annotation, "Knative")]),
        )
        .was(running.clone()),
        case(
            "IS-U03",
            "spec.predictor.name",
            predictor(json!({"name": "v2"})),
            moved,
        )
        .was(running),
    ]
}
