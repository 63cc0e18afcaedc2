//! Programs of a control plane that die and come back.

use e2e::cluster::{Cluster, Component, Options};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};

fn named(name: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object
}

#[tokio::test]
async fn a_restart_keeps_what_was_stored() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    // The same client all the time, as a controller has.
    let maps = Api::<ConfigMap>::namespaced(cluster.client().unwrap(), &namespace);
    let new = PostParams::default();
    maps.create(&new, &named("first")).await.unwrap();

    let err = cluster.kill(Component::Scheduler).unwrap_err().to_string();
    assert_eq!(err, "this cluster has no kube-scheduler");
    cluster.kill(Component::ApiServer).unwrap();
    maps.get("first").await.unwrap_err();
    cluster.restart(Component::ApiServer).await.unwrap();
    maps.get("first").await.unwrap();

    cluster.terminate(Component::ApiServer).await.unwrap();
    maps.get("first").await.unwrap_err();
    cluster.restart(Component::ApiServer).await.unwrap();
    maps.create(&new, &named("second")).await.unwrap();

    cluster.kill(Component::Etcd).unwrap();
    cluster.restart(Component::Etcd).await.unwrap();
    maps.get("first").await.unwrap();
    maps.get("second").await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let flags = [(Component::ApiServer, vec!["--no-such-flag".to_owned()])].into();
    let options = Options {
        flags,
        ..Options::default()
    };
    let err = format!("{:#}", Cluster::start(options).await.unwrap_err());
    assert!(err.contains("start kube-apiserver"), "{err}");
    assert!(err.contains("unknown flag: --no-such-flag"), "{err}");
}
