//! The control plane of the harness: what tests of the cluster's parts build on.

mod admission;
mod controllers;
mod custom_resources;
mod faults;
mod programs;
mod rights;
mod webhook_server;

use e2e::{cluster::Cluster, process::Finished};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::Value;

/// What kubectl printed; fails when it did.
fn printed(done: &Finished) -> &str {
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    &done.stdout
}

/// What kubectl complained about; fails when it did not.
fn complaint(done: &Finished) -> &str {
    assert_eq!(done.code, Some(1), "{}", done.stdout);
    &done.stderr
}

/// A manifest of a `ConfigMap`.
fn config_map(name: &str, data: &Value) -> String {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
        .to_string()
}

#[tokio::test]
async fn an_object_is_applied_and_read() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let manifest = config_map("settings", &serde_json::json!({"color": "blue"}));
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let done = cluster.admin().kubectl_with(&apply, &manifest).await.unwrap();
    assert_eq!(printed(&done), "configmap/settings created\n");
    let done = cluster.admin().kubectl_with(&apply, &manifest).await.unwrap();
    assert_eq!(printed(&done), "configmap/settings unchanged\n");

    let maps = Api::<ConfigMap>::namespaced(cluster.client().unwrap(), &namespace);
    let data = maps.get("settings").await.unwrap().data.unwrap();
    assert_eq!(data["color"], "blue");

    let get = [
        "get",
        "configmap",
        "settings",
        "-n",
        &namespace,
        "-o",
        "jsonpath={.data.color}",
    ];
    assert_eq!(printed(&cluster.kubectl(&get).await.unwrap()), "blue");
}

#[tokio::test]
async fn namespaces_keep_tests_apart() {
    let cluster = Cluster::shared().await.unwrap();
    let (one, two) = (
        cluster.namespace().await.unwrap(),
        cluster.namespace().await.unwrap(),
    );
    assert_ne!(one, two);
    let mut manifest: Value = serde_json::from_str(&config_map("settings", &serde_json::json!({}))).unwrap();
    manifest["metadata"]["namespace"] = one.as_str().into();
    cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    let get = |namespace: String| {
        let admin = cluster.admin();
        async move {
            admin
                .kubectl(&["get", "configmaps", "-o", "name", "-n", &namespace])
                .await
                .unwrap()
        }
    };
    assert_eq!(printed(&get(one).await), "configmap/settings\n");
    assert_eq!(printed(&get(two).await), "");
}

#[tokio::test]
async fn the_version_is_recent_enough() {
    let cluster = Cluster::shared().await.unwrap();
    let version = cluster.client().unwrap().apiserver_version().await.unwrap();
    let minor: u32 = version.minor.parse().unwrap();
    assert!(version.major == "1" && minor >= 30, "{version:?}");
    let kubectl = cluster.kubectl(&["version", "-o", "json"]).await.unwrap();
    let versions: Value = serde_json::from_str(printed(&kubectl)).unwrap();
    assert_eq!(
        versions["serverVersion"]["gitVersion"], version.git_version,
        "{versions}"
    );
}

#[tokio::test]
async fn what_kubectl_complains_about_is_in_the_error() {
    let cluster = Cluster::shared().await.unwrap();
    let err = cluster
        .apply_yaml("kind: Nothing\n")
        .await
        .unwrap_err()
        .to_string();
    assert!(err.contains("apiVersion not set"), "{err}");
}
