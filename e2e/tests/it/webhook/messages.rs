//! What people see when they send good and bad objects.

use e2e::process;
use serde_json::{Value, json};

use super::{
    denied, passed,
    site::{FAIL, IGNORE, Site, bad, dry_run, good, service},
};
use crate::support::SOON;

const VALIDATOR: &str =
    r#"admission webhook "inferenceservice.validator.webhook.stowage.dev" denied the request: "#;

#[tokio::test]
async fn good_objects_are_defaulted_and_bad_ones_explained() {
    let site = Site::new(FAIL, &[]).await;

    let legacy = service("iris", &json!({"sklearn": {"storageUri": "s3://bucket/iris"}}));
    let said = passed(&site.apply(&legacy).await);
    assert!(
        said.contains("inferenceservice.serving.kserve.io/iris created"),
        "{said}"
    );
    assert!(
        said.contains("Warning: spec.predictor.model.modelFormat.name: no runtime"),
        "{said}"
    );
    let get = ["get", "inferenceservice", "iris", "-o", "json"];
    let stored: Value = serde_json::from_str(&passed(&site.kubectl(&get, &Value::Null).await)).unwrap();
    let predictor = &stored["spec"]["predictor"];
    assert_eq!(predictor["model"]["modelFormat"]["name"], "sklearn");
    assert_eq!(predictor.get("sklearn"), None);

    let mut wrong = service(
        "wrong",
        &json!({"containers": [{
            "name": "kserve-container", "image": "x", "env": [{"name": "PYTHONPATH", "value": "/x"}],
        }]}),
    );
    wrong["metadata"]["annotations"] = json!({"serving.kserve.io/autoscalerClass": "kpa2"});
    for verb in [
        &["apply", "-f", "-"][..],
        &["create", "-f", "-"],
        &["apply", "--server-side", "-f", "-"],
        &["apply", "--dry-run=server", "-f", "-"],
    ] {
        let done = site.kubectl(verb, &wrong).await;
        let text = denied(&done);
        let expected = format!(
            "{VALIDATOR}2 problems:\n  * metadata.annotations[\"serving.kserve.io/autoscalerClass\"]: `kpa2` is no"
        );
        assert!(
            text.contains("(Forbidden)") && text.contains(&expected),
            "{verb:?}: {text}"
        );
        assert!(
            text.contains("\n  * spec.predictor.containers[0].env[0].name: `PYTHONPATH`"),
            "{verb:?}: {text}"
        );
    }

    // For programs: every finding with its field.
    let refused = dry_run(&site.services(), &wrong).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    let causes = status.details.unwrap().causes;
    let fields: Vec<_> = causes.iter().map(|cause| cause.field.as_str()).collect();
    let expected = [
        r#"metadata.annotations["serving.kserve.io/autoscalerClass"]"#,
        "spec.predictor.containers[0].env[0].name",
    ];
    assert_eq!(fields, expected);
    site.end().await;
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_shows_defaults() {
    let site = Site::new(FAIL, &[]).await;
    let legacy = service("iris", &json!({"sklearn": {"storageUri": "s3://bucket/iris"}}));
    let shown = dry_run(&site.services(), &legacy).await.unwrap();
    assert_eq!(
        shown.data["spec"]["predictor"]["model"]["modelFormat"]["name"],
        "sklearn"
    );
    assert!(site.services().get_opt("iris").await.unwrap().is_none());
    site.end().await;
}

#[tokio::test]
async fn updates_are_checked_status_and_deletion_are_not() {
    let site = Site::new(FAIL, &[]).await;
    passed(&site.apply(&good()).await);
    let annotate = |value: &'static str| {
        let pair = format!("serving.kserve.io/autoscalerClass={value}");
        let site = &site;
        async move {
            let args = ["annotate", "--overwrite", "inferenceservice", "good", &pair];
            site.kubectl(&args, &Value::Null).await
        }
    };
    passed(&annotate("hpa").await);
    assert!(denied(&annotate("kpa2").await).contains("kpa2"));

    let status = r#"{"status": {"url": "http://good.example.org"}}"#;
    let patch = [
        "patch",
        "inferenceservice",
        "good",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ];
    passed(&site.kubectl(&patch, &Value::Null).await);
    passed(
        &site
            .kubectl(&["delete", "inferenceservice", "good"], &Value::Null)
            .await,
    );
    site.end().await;
}

#[tokio::test]
async fn what_was_stored_before_can_still_be_touched() {
    let mut site = Site::new(IGNORE, &[]).await;
    // As before the webhook was installed.
    site.server.process.kill().unwrap();
    passed(&site.apply(&bad()).await);
    site.restart().await;
    let label = ["label", "inferenceservice", "bad", "team=a"];
    let said = passed(&site.kubectl(&label, &Value::Null).await);
    assert!(said.contains("Warning:") && said.contains("kpa2"), "{said}");
    let worse = [
        "annotate",
        "--overwrite",
        "inferenceservice",
        "bad",
        "serving.kserve.io/autoscalerClass=kpa3",
    ];
    assert!(denied(&site.kubectl(&worse, &Value::Null).await).contains("kpa3"));
    site.end().await;
}

#[tokio::test]
async fn rules_look_up_what_the_cluster_has_now() {
    let site = Site::new(FAIL, &["--mode", "strict"]).await;
    let named = service(
        "named",
        &json!({"model": {
            "modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/iris", "runtime": "my-sklearn",
        }}),
    );
    let done = site.apply(&named).await;
    assert!(
        denied(&done).contains("spec.predictor.model.runtime"),
        "{}",
        done.stderr
    );

    let runtime = json!({
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "my-sklearn"},
        "spec": {
            "supportedModelFormats": [{"name": "sklearn", "version": "1", "autoSelect": true}],
            "protocolVersions": ["v1"],
            "containers": [{"name": "kserve-container", "image": "sklearn:1"}],
        },
    });
    passed(&site.apply(&runtime).await);
    // The watch brings it, not the review.
    let services = site.services();
    process::eventually("the runtime to be known", SOON, async || {
        Ok(dry_run(&services, &named).await.ok())
    })
    .await
    .unwrap();
    passed(
        &site
            .kubectl(&["delete", "servingruntime", "my-sklearn"], &Value::Null)
            .await,
    );
    process::eventually("the runtime to be forgotten", SOON, async || {
        Ok(dry_run(&services, &named).await.err())
    })
    .await
    .unwrap();
    site.end().await;
}

#[tokio::test]
async fn secrets_are_looked_up_by_their_keys_and_never_shown() {
    let site = Site::new(FAIL, &["--mode", "strict"]).await;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "storage-config"},
        "stringData": {"localMinIO": "s3cr3t-access-key"},
    });
    passed(&site.apply(&secret).await);
    let stored = |key: &str| {
        let mut object = service(
            "stored",
            &json!({"model": {"modelFormat": {"name": "sklearn"}, "storage": {"key": key, "path": "iris"}}}),
        );
        object["metadata"]["annotations"] = json!({"serving.kserve.io/deploymentMode": "Standard"});
        object
    };
    let services = site.services();
    let complaint = async |key: &str| match dry_run(&services, &stored(key)).await {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("{other:?}"),
    };
    // No runtime is there, so each of them is denied; what is said about the key differs.
    process::eventually("the Secret to be known", SOON, async || {
        let known = !complaint("localMinIO").await.contains("storage.key");
        Ok(known.then_some(()))
    })
    .await
    .unwrap();
    let text = complaint("localMinIo").await;
    assert!(
        text.contains("storage.key") && text.contains("localMinIO"),
        "{text}"
    );
    let everything = format!(
        "{}{}",
        site.server.process.output(),
        site.server.metrics().await.unwrap()
    );
    for part in ["s3cr3t", "czNjcjN0"] {
        assert!(!everything.contains(part) && !text.contains(part));
    }
    site.end().await;
}

#[tokio::test]
async fn reviews_are_counted_and_logged_by_names_only() {
    let site = Site::new(FAIL, &[]).await;
    assert!(denied(&site.apply(&bad()).await).contains("kpa2"));
    let metrics = site.server.metrics().await.unwrap();
    let counted =
        r#"reviews_total{purpose="validate",kind="InferenceService",operation="CREATE",verdict="denied"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        metrics.contains(r#"findings_total{rule="IS-V02",severity="deny"} 1"#),
        "{metrics}"
    );
    let log = site.server.process.output();
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "review" && line["verdict"] == "denied")
        .unwrap();
    assert_eq!(
        (&line["kind"], &line["name"], &line["denied"]),
        (&json!("InferenceService"), &json!("bad"), &json!("IS-V02"))
    );
    assert!(
        !log.contains("s3://bucket/iris") && !log.contains("kpa2"),
        "{log}"
    );
    site.end().await;
}
