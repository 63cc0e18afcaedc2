//! Scheduler and controller manager.

use e2e::{
    cluster::{Cluster, Component, Options, Scheduler},
    process,
};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::support::SOON;

#[tokio::test]
async fn a_deployment_gets_its_pods() {
    let options = Options {
        scheduler: Some(Scheduler::default()),
        controller_manager: true,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let labels = json!({"app": "kettle"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "kettle", "namespace": namespace},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "kettle", "image": "kettle.invalid/none"}]},
            },
        },
    });
    cluster.apply_yaml(&deployment.to_string()).await.unwrap();

    let client = cluster.client().unwrap();
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), &namespace);
    process::eventually("the ReplicaSet with two pods", SOON, async || {
        let sets = sets.list(&ListParams::default()).await?.items;
        let made = sets
            .iter()
            .filter_map(|set| set.status.as_ref())
            .any(|status| status.replicas == 2);
        Ok(made.then_some(()))
    })
    .await
    .unwrap();

    // There is no node, and the scheduler says so of each pod.
    let pods = Api::<Pod>::namespaced(client, &namespace);
    process::eventually("two pods that the scheduler looked at", SOON, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        let conditions = pods
            .iter()
            .filter_map(|pod| pod.status.as_ref()?.conditions.as_ref());
        let unschedulable = conditions
            .flatten()
            .filter(|condition| condition.reason.as_deref() == Some("Unschedulable"));
        Ok((unschedulable.count() == 2).then_some(()))
    })
    .await
    .unwrap();

    for component in [
        Component::Etcd,
        Component::ApiServer,
        Component::ControllerManager,
        Component::Scheduler,
    ] {
        assert!(cluster.resident_bytes(component).unwrap() > 0);
    }
}
