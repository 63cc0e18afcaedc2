//! Memory is accounted exactly: who goes, and that nobody goes needlessly. Nothing here is about how long that takes.

use api::mmesh::model_status_info::ModelStatus;
use e2e::{
    example_runtime::{Options, What},
    mesh::{Mesh, Settings},
};

use super::tools::{check_serves, mesh, until};

const MIB: u64 = 1 << 20;
/// Models of 50 MiB for which 1 GiB has room. Nothing is set aside for unloads: a load waits until they are done.
const FIT: usize = 20;

fn id(n: usize) -> String {
    format!("model-{n:02}")
}

/// What is only registered counts as used an hour ago: it is no reason to evict what is in use.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_evicts_nobody_who_is_in_use() {
    let mesh = full(0).await;
    let pod = mesh.pod(0);
    let refused = pod
        .register_loaded("more", &format!("SIZE_{}_0_0", 50 * MIB))
        .await
        .expect_err("there is no room for it");
    assert_eq!(refused.code(), tonic::Code::Internal);
    assert!(refused.message().contains("no room"), "{refused}");
    // Registered it is.
    assert_eq!(
        pod.status("more").await.expect("answered").status(),
        ModelStatus::NotLoaded
    );
    assert_eq!(evicted(&mesh), Vec::<String>::new());
}

/// A router whose memory is full of models, the first of them the least recently used.
async fn full(unload_ms: u64) -> Mesh {
    let runtime = Options::default();
    assert_eq!((runtime.capacity, runtime.default_size), (1024 * MIB, 50 * MIB));
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    for n in 0..FIT {
        let info = pod
            .register_loaded(&id(n), &format!("SIZE_{}_0_{unload_ms}", 50 * MIB))
            .await
            .expect("registered");
        assert_eq!(info.status(), ModelStatus::Loaded, "{info:?}");
        // By use, not by registration.
        check_serves(pod, &id(n)).await;
    }
    assert_eq!(pod.runtime().loaded().len(), FIT);
    assert!(
        pod.runtime()
            .events()
            .iter()
            .all(|event| event.what != What::UnloadStarted)
    );
    mesh
}

fn evicted(mesh: &Mesh) -> Vec<String> {
    let events = mesh.pod(0).runtime().events();
    let unloads = events
        .into_iter()
        .filter(|event| event.what == What::UnloadStarted);
    unloads.map(|event| event.model).collect()
}

fn check_capacity(mesh: &Mesh) {
    let peak = mesh.pod(0).runtime().peak_bytes();
    assert!(peak <= 1024 * MIB, "{peak} bytes at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_evicts_the_least_recently_used() {
    let mesh = full(20).await;
    let pod = mesh.pod(0);
    pod.register("more", &format!("SIZE_{}_0_0", 50 * MIB))
        .await
        .expect("registered");
    check_serves(pod, "more").await;
    until("the first to be unloaded", async || evicted(&mesh) == [id(0)]).await;
    for n in 1..FIT {
        check_serves(pod, &id(n)).await;
    }
    // All of them were still there.
    assert_eq!(evicted(&mesh), [id(0)]);
    // Served again, by evicting whoever is the oldest now.
    check_serves(pod, &id(0)).await;
    until("the next to be unloaded", async || evicted(&mesh).len() == 2).await;
    check_capacity(&mesh);
}

/// Its size is known only when it is loaded: then as many more go as its size wants, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_turns_out_large_evicts_exactly_what_it_needs() {
    let mesh = full(0).await;
    let pod = mesh.pod(0);
    pod.register("large", &format!("SIZE_{}_0_0", 160 * MIB))
        .await
        .expect("registered");
    check_serves(pod, "large").await;
    // 20 x 50 + 160 MiB are 136 MiB too many for 1024 MiB: three go.
    until("three to be unloaded", async || evicted(&mesh).len() >= 3).await;
    for n in 3..FIT {
        check_serves(pod, &id(n)).await;
    }
    check_serves(pod, "large").await;
    let mut gone = evicted(&mesh);
    gone.sort();
    assert_eq!(gone, [id(0), id(1), id(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_at_once_evict_the_first_ten() {
    let mesh = full(20).await;
    let pod = mesh.pod(0);
    futures::future::join_all((0..10).map(|n| async move {
        let id = format!("more-{n}");
        pod.register(&id, &format!("SIZE_{}_10_0", 50 * MIB))
            .await
            .expect("registered");
        check_serves(pod, &id).await;
    }))
    .await;
    until("ten to be unloaded", async || evicted(&mesh).len() >= 10).await;
    for n in 10..FIT {
        check_serves(pod, &id(n)).await;
    }
    let mut gone = evicted(&mesh);
    gone.sort();
    let first: Vec<_> = (0..10).map(id).collect();
    assert_eq!(gone, first);
    check_capacity(&mesh);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_made_by_unregistering_is_used() {
    let mesh = full(0).await;
    let pod = mesh.pod(0);
    for n in 0..5 {
        pod.unregister(&id(n)).await.expect("unregistered");
    }
    until("five to be unloaded", async || evicted(&mesh).len() == 5).await;
    for n in 0..5 {
        let name = format!("more-{n}");
        pod.register_loaded(&name, &format!("SIZE_{}_0_0", 50 * MIB))
            .await
            .expect("registered");
        check_serves(pod, &name).await;
    }
    for n in 5..FIT {
        check_serves(pod, &id(n)).await;
    }
    assert_eq!(evicted(&mesh).len(), 5, "nobody had to go for them");
}
