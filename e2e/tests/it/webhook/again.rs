//! Applying a manifest again that is stored in another form than it was written.

use e2e::process;
use serde_json::{Value, json};

use super::{
    passed,
    site::{FAIL, Site, dry_run, good, service},
};
use crate::support::SOON;

/// A site in strict mode where a runtime for the models of these tests is known.
async fn strict() -> Site {
    let site = Site::new(FAIL, &["--mode", "strict"]).await;
    let runtime = json!({
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "sk"},
        "spec": {
            "supportedModelFormats": [{"name": "sklearn", "version": "1", "autoSelect": true}],
            "protocolVersions": ["v1"],
            "containers": [{"name": "kserve-container", "image": "sklearn:1"}],
        },
    });
    passed(&site.apply(&runtime).await);
    let services = site.services();
    process::eventually("the runtime to be known", SOON, async || {
        Ok(dry_run(&services, &good()).await.ok())
    })
    .await
    .unwrap();
    site
}

/// An inference service as older manifests have it: it is stored with `model` in place of the block.
fn legacy(uri: &str) -> Value {
    service("iris", &json!({"sklearn": {"storageUri": uri}}))
}

async fn stored_predictor(site: &Site) -> Value {
    let get = ["get", "inferenceservice", "iris", "-o", "json"];
    let text = passed(&site.kubectl(&get, &Value::Null).await);
    serde_json::from_str::<Value>(&text).unwrap()["spec"]["predictor"].take()
}

/// Applies the manifest three times, the last time with another model.
async fn apply_again(args: &[&str]) {
    let site = strict().await;
    let first = legacy("s3://bucket/iris");
    passed(&site.kubectl(args, &first).await);
    let stored = stored_predictor(&site).await;
    assert_eq!(
        (stored.get("sklearn"), &stored["model"]["modelFormat"]),
        (None, &json!({"name": "sklearn"}))
    );

    let again = site.kubectl(args, &first).await;
    passed(&again);
    assert!(!again.stderr.contains("Warning"), "{}", again.stderr);
    assert_eq!(stored_predictor(&site).await, stored);

    passed(&site.kubectl(args, &legacy("s3://bucket/iris-2")).await);
    let changed = stored_predictor(&site).await;
    assert_eq!(changed["model"]["storageUri"], "s3://bucket/iris-2");
    assert_eq!(changed.get("sklearn"), None);
    site.end().await;
}

#[tokio::test]
async fn an_older_manifest_is_applied_again_without_a_word() {
    apply_again(&["apply", "-f", "-"]).await;
}

#[tokio::test]
async fn an_older_manifest_is_applied_again_on_the_server_side() {
    apply_again(&["apply", "--server-side", "-f", "-"]).await;
}
