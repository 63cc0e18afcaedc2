//! Users with different rights.

use e2e::cluster::{Cluster, rights::rule};
use k8s_openapi::api::{authentication::v1::SelfSubjectReview, core::v1::ConfigMap};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

use super::{complaint, config_map, printed};

#[tokio::test]
async fn two_users_may_do_different_things() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let writer = cluster.user("writer", &[]).await.unwrap();
    let reader = cluster.user("reader", &[]).await.unwrap();
    let all = rule("", &["configmaps"], &["get", "list", "create", "patch"]);
    cluster.allow(&writer, Some(&namespace), &[all]).await.unwrap();
    let read = rule("", &["configmaps"], &["get", "list"]);
    cluster.allow(&reader, Some(&namespace), &[read]).await.unwrap();

    let apply = ["apply", "-n", &namespace, "-f", "-"];
    let manifest = config_map("settings", &json!({"color": "blue"}));
    let done = reader.kubectl_with(&apply, &manifest).await.unwrap();
    let message = complaint(&done);
    assert!(
        message.contains("User \"reader\" cannot create resource"),
        "{message}"
    );
    let done = writer.kubectl_with(&apply, &manifest).await.unwrap();
    assert_eq!(printed(&done), "configmap/settings created\n");

    let maps = Api::<ConfigMap>::namespaced(reader.client().unwrap(), &namespace);
    let names: Vec<_> = maps.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(names.len(), 1);
    // Rights of a namespace are no rights elsewhere.
    let elsewhere = Api::<ConfigMap>::namespaced(reader.client().unwrap(), "default");
    let err = elsewhere.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&err, kube::Error::Api(status) if status.is_forbidden()),
        "{err}"
    );
}

#[tokio::test]
async fn rights_everywhere() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let auditor = cluster.user("auditor", &[]).await.unwrap();
    let list = rule("", &["namespaces"], &["list"]);
    cluster.allow(&auditor, None, &[list]).await.unwrap();
    let done = auditor
        .kubectl(&["get", "namespaces", "-o", "name"])
        .await
        .unwrap();
    assert!(
        printed(&done).contains(&format!("namespace/{namespace}\n")),
        "{}",
        done.stdout
    );
}

#[tokio::test]
async fn a_user_has_groups() {
    let cluster = Cluster::shared().await.unwrap();
    let user = cluster.user("member", &["red", "blue"]).await.unwrap();
    let reviews = Api::<SelfSubjectReview>::all(user.client().unwrap());
    let answer = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    let info = answer.status.unwrap().user_info.unwrap();
    assert_eq!(info.username.as_deref(), Some("member"));
    let groups = info.groups.unwrap();
    for group in ["red", "blue", "system:authenticated"] {
        assert!(groups.iter().any(|found| found == group), "{groups:?}");
    }
}
