//! Admission webhooks on loopback, and admission policies.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    cluster::{
        Cluster,
        admission::{FailurePolicy, Webhook, WebhookKind, requests},
        certificates::Authority,
    },
    process,
};
use serde_json::{Value, json};

use crate::support::SOON;

use super::{complaint, config_map, printed, webhook_server::WebhookServer};

/// A webhook for `ConfigMap`s of one namespace.
fn webhook<'a>(
    kind: WebhookKind,
    name: &'a str,
    url: &'a str,
    authority: &'a str,
    namespace: &'a str,
) -> Webhook<'a> {
    Webhook {
        kind,
        name,
        url,
        authority,
        rules: vec![requests("", &["configmaps"], &["CREATE", "UPDATE"])],
        namespace: Some(namespace),
        failure_policy: FailurePolicy::Fail,
        timeout_seconds: 10,
    }
}

/// Denies what its data call `bad`.
fn judge(request: &Value) -> Value {
    if request["object"]["data"]["quality"] == "bad" {
        json!({"allowed": false, "status": {"message": "bad quality"}})
    } else {
        json!({"allowed": true, "warnings": ["looked at"]})
    }
}

#[tokio::test]
async fn a_validating_webhook_is_asked() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let pair = cluster.authority().server(&["127.0.0.1"]).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let server = WebhookServer::start(&pair, {
        let asked = Arc::clone(&asked);
        move |request| {
            asked.fetch_add(1, Ordering::Relaxed);
            judge(request)
        }
    })
    .await;
    let authority = cluster.authority().certificate();
    let webhook = webhook(
        WebhookKind::Validating,
        "judge.stowage.test",
        &server.url,
        &authority,
        &namespace,
    );
    cluster.register(&webhook).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0, "registering asks nothing");

    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let admin = cluster.admin();
    let good = config_map("good", &json!({"quality": "good"}));
    let done = admin.kubectl_with(&apply, &good).await.unwrap();
    assert_eq!(printed(&done), "configmap/good created\n");
    assert!(done.stderr.contains("Warning: looked at"), "{}", done.stderr);
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    let bad = config_map("bad", &json!({"quality": "bad"}));
    let done = admin.kubectl_with(&apply, &bad).await.unwrap();
    let message = complaint(&done);
    assert!(
        message.contains("admission webhook \"judge.stowage.test\" denied the request: bad quality"),
        "{message}"
    );
    // Nobody is asked about another namespace.
    let other = cluster.namespace().await.unwrap();
    printed(
        &admin
            .kubectl_with(&["apply", "-n", &other, "-f", "-"], &bad)
            .await
            .unwrap(),
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_mutating_webhook_changes_the_object() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let pair = cluster.authority().server(&["127.0.0.1"]).unwrap();
    let server = WebhookServer::start(&pair, |_| {
        let patch = json!([{"op": "add", "path": "/data/size", "value": "10"}]).to_string();
        json!({"allowed": true, "patchType": "JSONPatch", "patch": BASE64_STANDARD.encode(patch)})
    })
    .await;
    let authority = cluster.authority().certificate();
    let webhook = webhook(
        WebhookKind::Mutating,
        "sizes.stowage.test",
        &server.url,
        &authority,
        &namespace,
    );
    cluster.register(&webhook).await.unwrap();
    let manifest = config_map("box", &json!({"color": "blue"}));
    let apply = ["apply", "-n", &namespace, "-o", "json", "-f", "-"];
    let done = cluster.admin().kubectl_with(&apply, &manifest).await.unwrap();
    let stored: Value = serde_json::from_str(printed(&done)).unwrap();
    assert_eq!(stored["data"], json!({"color": "blue", "size": "10"}));
}

#[tokio::test]
async fn a_webhook_that_is_not_trusted_fails_as_its_policy_says() {
    let cluster = Cluster::shared().await.unwrap();
    let pair = cluster.authority().server(&["127.0.0.1"]).unwrap();
    let server = WebhookServer::start(&pair, judge).await;
    let stranger = Authority::new("stranger").unwrap().certificate();
    for (failure_policy, name) in [
        (FailurePolicy::Fail, "closed.stowage.test"),
        (FailurePolicy::Ignore, "open.stowage.test"),
    ] {
        let namespace = cluster.namespace().await.unwrap();
        let webhook = Webhook {
            failure_policy,
            ..webhook(WebhookKind::Validating, name, &server.url, &stranger, &namespace)
        };
        cluster.register(&webhook).await.unwrap();
        let manifest = config_map("settings", &json!({}));
        let apply = ["apply", "-n", &namespace, "-f", "-"];
        let done = cluster.admin().kubectl_with(&apply, &manifest).await.unwrap();
        match failure_policy {
            FailurePolicy::Fail => {
                let message = complaint(&done);
                assert!(
                    message.contains(name) && message.contains("certificate"),
                    "{message}"
                );
            }
            FailurePolicy::Ignore => assert_eq!(printed(&done), "configmap/settings created\n"),
        }
    }
}

#[tokio::test]
async fn an_admission_policy_denies() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-secrets.stowage.test"},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [requests("", &["configmaps"], &["CREATE", "UPDATE"])],
            },
            "validations": [{
                "expression": "!('password' in object.data)",
                "message": "passwords belong into a Secret",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-secrets.stowage.test"},
        "spec": {"policyName": "no-secrets.stowage.test", "validationActions": ["Deny"]},
    });
    cluster
        .apply_yaml(&format!("{policy}\n---\n{binding}\n"))
        .await
        .unwrap();
    cluster.admission_settled().await.unwrap();

    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let admin = cluster.admin();
    let bad = config_map("settings", &json!({"password": "none"}));
    let done = admin.kubectl_with(&apply, &bad).await.unwrap();
    assert!(
        complaint(&done).contains("passwords belong into a Secret"),
        "{}",
        done.stderr
    );
    let good = config_map("settings", &json!({"user": "none"}));
    printed(&admin.kubectl_with(&apply, &good).await.unwrap());
}

#[tokio::test]
async fn what_a_webhook_notes_is_in_the_audit_log() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let pair = cluster.authority().server(&["127.0.0.1"]).unwrap();
    let server = WebhookServer::start(
        &pair,
        |_| json!({"allowed": true, "auditAnnotations": {"rule": "none"}}),
    )
    .await;
    let authority = cluster.authority().certificate();
    let name = "notes.stowage.test";
    let webhook = webhook(WebhookKind::Validating, name, &server.url, &authority, &namespace);
    cluster.register(&webhook).await.unwrap();
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let manifest = config_map("settings", &json!({}));
    printed(&cluster.admin().kubectl_with(&apply, &manifest).await.unwrap());
    let event = process::eventually("the audit event", SOON, async || {
        let mut events = cluster.audit_events()?.into_iter();
        Ok(events.find(|event| event["objectRef"]["namespace"] == namespace.as_str()))
    })
    .await
    .unwrap();
    assert_eq!(event["annotations"]["notes.stowage.test/rule"], "none", "{event}");
    assert_eq!(event["user"]["username"], "admin");
}
