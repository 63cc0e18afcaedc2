//! Kinds beside InferenceServices, most of them in no namespace.

use serde_json::{Value, json};

use super::{
    denied, passed,
    site::{FAIL, Site},
};

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A bad object of a kind, a good one, and what is said about the bad one.
fn pairs(namespace: &str) -> Vec<(Value, Value, &'static str)> {
    let runtime = |second: i32| {
        let format =
            |priority: i32| json!({"name": "kind", "version": "1", "autoSelect": true, "priority": priority});
        json!({
            "supportedModelFormats": [format(1), format(second)],
            "containers": [{"name": "kserve-container", "image": "x"}],
        })
    };
    let container = |format: Value| {
        let container = json!({"name": "storage-initializer", "image": "x"});
        json!({"container": container, "supportedUriFormats": [format]})
    };
    let name = |name: &str| format!("{namespace}-{name}");
    vec![
        (
            object("ClusterServingRuntime", &name("runtime"), &runtime(2)),
            object("ClusterServingRuntime", &name("runtime"), &runtime(1)),
            "spec.supportedModelFormats[1].priority: `kind` has priority 2 here and 1 in an earlier entry",
        ),
        (
            object(
                "ClusterStorageContainer",
                &name("container"),
                &container(json!({"regex": "https://(.+"})),
            ),
            object(
                "ClusterStorageContainer",
                &name("container"),
                &container(json!({"regex": "https://(.+)"})),
            ),
            "spec.supportedUriFormats[0].regex: `https://(.+` is no regular expression [CS-C01]",
        ),
        (
            object(
                "LocalModelCache",
                &name("cache"),
                &json!({"sourceModelUri": "hf://meta/kinds", "modelSize": "1Gi", "nodeGroups": ["gpus"]}),
            ),
            // There are no node groups at all.
            Value::Null,
            "spec.nodeGroups[0]: there is no LocalModelNodeGroup `gpus` [LM-C02]",
        ),
        (
            object(
                "TrainedModel",
                "model",
                &json!({
                    "inferenceService": "missing",
                    "model": {"framework": "sklearn", "storageUri": "s3://bucket/model", "memory": "1Gi"},
                }),
            ),
            Value::Null,
            "spec.inferenceService",
        ),
    ]
}

#[tokio::test]
async fn other_kinds_are_validated_and_defaulted() {
    let site = Site::new(FAIL, &["--mode", "strict"]).await;
    for (bad, good, complaint) in pairs(&site.namespace) {
        let kind = bad["kind"].as_str().unwrap().to_lowercase();
        let done = site.apply(&bad).await;
        let text = denied(&done);
        let webhook =
            format!("admission webhook \"{kind}.validator.webhook.stowage.dev\" denied the request");
        assert!(text.contains(&webhook) && text.contains(complaint), "{text}");
        if good.is_null() {
            continue;
        }
        let dry_run = ["apply", "--dry-run=server", "-o", "json", "-f", "-"];
        let done = site.kubectl(&dry_run, &good).await;
        passed(&done);
        let stored: Value = serde_json::from_str(&done.stdout).unwrap();
        if kind == "clusterstoragecontainer" {
            // By the definition: no webhook of upstream's or ours does that.
            assert_eq!(stored["spec"]["workloadType"], "initContainer");
        }
    }
    site.end().await;
}

#[tokio::test]
async fn a_cache_that_is_used_is_not_deleted() {
    let site = Site::new(FAIL, &[]).await;
    let name = format!("{}-cache", site.namespace);
    let cache = object(
        "LocalModelCache",
        &name,
        &json!({"sourceModelUri": format!("hf://meta/{name}"), "modelSize": "1Gi", "nodeGroups": ["gpus"]}),
    );
    passed(&site.apply(&cache).await);
    let set = async |status: Value| {
        let patch = json!({"status": status}).to_string();
        let args = [
            "patch",
            "localmodelcache",
            &name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        passed(&site.kubectl(&args, &Value::Null).await);
    };
    let delete = ["delete", "localmodelcache", &name];
    set(json!({"inferenceServices": [{"name": "reader", "namespace": site.namespace}]})).await;
    let done = site.kubectl(&delete, &Value::Null).await;
    let text = denied(&done);
    assert!(
        text.contains("localmodelcache.validator.webhook.stowage.dev") && text.contains("reader"),
        "{text}"
    );
    set(json!({"inferenceServices": []})).await;
    passed(&site.kubectl(&delete, &Value::Null).await);
    site.end().await;
}
