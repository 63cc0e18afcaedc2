//! Custom resource definitions, and rules in their schemas.

use std::path::PathBuf;

use e2e::{cluster::Cluster, process};
use serde_json::{Value, json};

use super::{complaint, printed};

fn crds() -> PathBuf {
    process::root().join("e2e/tests/it/cluster/crds")
}

fn kettle(name: &str, liters: i64) -> String {
    json!({
        "apiVersion": "test.stowage.dev/v1", "kind": "Kettle", "metadata": {"name": name}, "spec": {"liters": liters},
    })
    .to_string()
}

#[tokio::test]
async fn a_custom_resource_is_stored() {
    let cluster = Cluster::shared().await.unwrap();
    // Two at once, as two tests would: both find it installed.
    let folder = crds();
    let (one, two) = tokio::join!(cluster.install_crds(&folder), cluster.install_crds(&folder));
    one.and(two).unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let done = cluster
        .admin()
        .kubectl_with(&apply, &kettle("small", 2))
        .await
        .unwrap();
    assert_eq!(printed(&done), "kettle.test.stowage.dev/small created\n");
    let get = ["get", "kettles", "small", "-n", &namespace, "-o", "json"];
    let found: Value = serde_json::from_str(printed(&cluster.kubectl(&get).await.unwrap())).unwrap();
    assert_eq!(found["spec"], json!({"liters": 2, "color": "steel"}));
}

#[tokio::test]
async fn rules_of_a_schema_are_enforced() {
    let cluster = Cluster::shared().await.unwrap();
    cluster.install_crds(&crds()).await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let admin = cluster.admin();
    let done = admin.kubectl_with(&apply, &kettle("odd", 3)).await.unwrap();
    assert!(
        complaint(&done).contains("liters must be even"),
        "{}",
        done.stderr
    );
    // A rule about a change.
    printed(&admin.kubectl_with(&apply, &kettle("even", 4)).await.unwrap());
    let done = admin.kubectl_with(&apply, &kettle("even", 2)).await.unwrap();
    assert!(
        complaint(&done).contains("a kettle does not shrink"),
        "{}",
        done.stderr
    );
    printed(&admin.kubectl_with(&apply, &kettle("even", 6)).await.unwrap());
}
