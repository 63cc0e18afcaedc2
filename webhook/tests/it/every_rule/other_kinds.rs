//! Trained models, graphs, caches, storage containers.

use serde_json::{Value, json};
use webhook::Kind;

use super::{Case, case};
use crate::objects::{named, object};

fn trained(uri: &str, memory: &str, parent: &str) -> Value {
    let model = json!({"storageUri": uri, "framework": "sklearn", "memory": memory});
    object(
        Kind::TrainedModel,
        "extra",
        json!({"inferenceService": parent, "model": model}),
    )
}

fn graph(nodes: Value) -> Value {
    object(Kind::InferenceGraph, "chain", json!({"nodes": nodes}))
}

fn node(kind: &str, steps: Value) -> Value {
    json!({"routerType": kind, "steps": steps})
}

fn cache(kind: Kind, name: &str, source: &str, group: &str) -> Value {
    object(
        kind,
        name,
        json!({"sourceModelUri": source, "modelSize": "1Gi", "nodeGroups": [group]}),
    )
}

fn in_use(kind: Kind, list: &str, service: &str) -> Value {
    let mut object = cache(kind, "llama", "hf://meta/llama", "gpus");
    object["status"] = json!({list: [{"namespace": "default", "name": service}]});
    object
}

fn container(formats: Value) -> Value {
    let container = json!({"name": "storage-initializer", "image": "x"});
    object(
        Kind::ClusterStorageContainer,
        "mine",
        json!({"container": container, "supportedUriFormats": formats}),
    )
}

pub(super) fn cases() -> Vec<Case> {
    let good = trained("s3://b/m", "1Gi", "parent");
    let mut cases = vec![
        case(
            "TM-V01",
            "metadata.name",
            named(good.clone(), "a.b"),
            named(good.clone(), "-Abc_1"),
        ),
        case(
            "TM-V02",
            "spec.model.storageUri",
            trained("pvc://c/m", "1Gi", "parent"),
            trained("http://h/m", "1Gi", "parent"),
        ),
        case(
            "TM-U01",
            "spec.model.memory",
            trained("s3://b/m", "1G", "parent"),
            trained("s3://b/m2", "1024Mi", "parent"),
        )
        .was(good.clone()),
        case(
            "TM-C01",
            "spec.inferenceService",
            trained("s3://b/m", "1Gi", "parnt"),
            good,
        ),
    ];
    cases.extend(graphs());
    cases.extend(caches());
    cases.extend([
        case(
            "CS-C01",
            "spec.supportedUriFormats[0].regex",
            container(json!([{"regex": "https://(.+"}])),
            container(json!([{"regex": "https://(.+?).example.com/(.+)"}])),
        ),
        case(
            "CS-C02",
            "spec.supportedUriFormats[0]",
            container(json!([{"prefix": "ms://", "regex": "ms"}])),
            container(json!([{"prefix": "ms://"}, {"regex": "ms"}])),
        ),
        case(
            "CS-C02",
            "spec.supportedUriFormats[0]",
            container(json!([{}])),
            container(json!([{"prefix": "ms://"}])),
        ),
    ]);
    cases
}

fn graphs() -> Vec<Case> {
    let step = json!({"serviceName": "a"});
    let chain = |step: Value| graph(json!({"root": node("Sequence", json!([step]))}));
    let good = chain(step.clone());
    let split = |left: Value, right: Value| {
        let steps = json!([{"serviceName": "a", "weight": left}, {"serviceName": "b", "weight": right}]);
        graph(json!({"root": node("Splitter", steps)}))
    };
    let to = |name: &str| json!([{"nodeName": name}]);
    let round = json!({
        "root": node("Sequence", to("a")), "a": node("Sequence", to("b")), "b": node("Sequence", to("a")),
    });
    let island = json!({"root": node("Sequence", json!([step])), "island": node("Sequence", json!([step]))});
    let switch = |first: Value, last: Value| graph(json!({"root": node("Switch", json!([first, last]))}));
    let when = json!({"serviceName": "a", "condition": "x"});
    vec![
        case(
            "IG-V01",
            "metadata.name",
            named(good.clone(), "Chain"),
            good.clone(),
        ),
        case(
            "IG-V02",
            "spec.nodes",
            graph(json!({"Root": node("Sequence", json!([step]))})),
            good.clone(),
        ),
        case(
            "IG-V03",
            "spec.nodes.root.steps[1].name",
            graph(
                json!({"root": node("Sequence", json!([{"name": "s", "serviceName": "a"}, {"name": "s", "serviceName": "b"}]))}),
            ),
            graph(
                json!({"root": node("Sequence", json!([{"name": "", "serviceName": "a"}, {"name": "", "serviceName": "b"}]))}),
            ),
        ),
        case(
            "IG-V04",
            "spec.nodes.root.steps[0]",
            chain(json!({"name": "s"})),
            chain(json!({"serviceUrl": "http://x"})),
        ),
        case(
            "IG-V04",
            "spec.nodes.root.steps[0]",
            chain(json!({"nodeName": "root", "serviceName": "a"})),
            good.clone(),
        ),
        case(
            "IG-V05",
            "spec.nodes.root.steps",
            split(json!(50), json!(49)),
            split(json!(50), json!(50)),
        ),
        case(
            "IG-V05",
            "spec.nodes.root.steps[1].weight",
            split(json!(100), Value::Null),
            split(json!(100), json!(0)),
        ),
        case(
            "IG-C01",
            "spec.nodes.root.steps[0].nodeName",
            chain(json!({"nodeName": "nod"})),
            good.clone(),
        ),
        case(
            "IG-C02",
            "spec.nodes.a",
            graph(round),
            graph(json!({"root": node("Sequence", to("a")), "a": node("Sequence", json!([step]))})),
        ),
        case("IG-C03", "spec.nodes.island", graph(island), good),
        case(
            "IG-C04",
            "spec.nodes.root.steps[0].condition",
            switch(step.clone(), when.clone()),
            switch(when, step),
        ),
        case(
            "IG-C05",
            "spec.nodes.root.steps[0].weight",
            split(json!(-1), json!(101)),
            split(json!(1), json!(99)),
        ),
    ]
}

fn caches() -> Vec<Case> {
    const CLUSTER: Kind = Kind::LocalModelCache;
    const OWN: Kind = Kind::LocalModelNamespaceCache;
    let services = "inferenceServices";
    vec![
        case(
            "LM-V01",
            "spec.sourceModelUri",
            cache(CLUSTER, "second", "hf://meta/llama", "gpus"),
            cache(CLUSTER, "llama", "hf://meta/llama", "gpus"),
        ),
        case(
            "LM-V02",
            "status.inferenceServices[0]",
            in_use(CLUSTER, services, "reader"),
            in_use(CLUSTER, services, "parent"),
        )
        .deleted(),
        case(
            "LM-V02",
            "status.inferenceServices[0]",
            in_use(CLUSTER, services, "gone"),
            cache(CLUSTER, "llama", "hf://meta/llama", "gpus"),
        )
        .deleted(),
        // A cache of a namespace is used by services that name the namespace too.
        case(
            "LM-V02",
            "status.inferenceServices[0]",
            in_use(OWN, services, "own-reader"),
            in_use(OWN, services, "reader"),
        )
        .deleted(),
        case(
            "LM-V02",
            "status.llmInferenceServices[0]",
            in_use(CLUSTER, "llmInferenceServices", "chat"),
            in_use(CLUSTER, "llmInferenceServices", "gone"),
        )
        .deleted(),
        case(
            "LM-U01",
            "spec.sourceModelUri",
            cache(OWN, "mine", "s3://b/2", "gpus"),
            cache(OWN, "mine", "s3://b/1", "gpus"),
        )
        .was(cache(OWN, "mine", "s3://b/1", "gpus")),
        case(
            "LM-C02",
            "spec.nodeGroups[0]",
            cache(CLUSTER, "mine", "s3://b/1", "gpu"),
            cache(CLUSTER, "mine", "s3://b/1", "gpus"),
        ),
        case(
            "LN-V01",
            "spec.nodeGroups[0]",
            cache(OWN, "mine", "s3://b/1", "gpu"),
            cache(OWN, "mine", "s3://b/1", "gpus"),
        ),
    ]
}
