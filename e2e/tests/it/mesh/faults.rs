//! Routers that leave or die, and a store that is away: what clients notice of it.

use std::{fs, time::Duration};

use api::mmesh::model_status_info::ModelStatus;
use e2e::{
    mesh::{Mesh, SOON, Settings, Traffic},
    process::finish,
};
use tokio::time::Instant;
use tonic::Code;

use super::tools::{check_serves, mesh, until};

const SMALL: &str = "SIZE_1000_10_10";
const MODELS: usize = 30;

fn ids() -> Vec<String> {
    (0..MODELS).map(|n| format!("model-{n:02}")).collect()
}

/// Registers all models and asks each once, through all pods in turn.
async fn serve_all(mesh: &Mesh) {
    for id in ids() {
        mesh.pod(0).register(&id, SMALL).await.expect("registered");
    }
    for (n, id) in ids().iter().enumerate() {
        let pod = mesh.pod(n % mesh.pods().len());
        until("the model to be known", async || {
            pod.status(id).await.expect("answered").status() != ModelStatus::NotFound
        })
        .await;
        check_serves(pod, id).await;
    }
}

/// Waits for so many more answers.
async fn answers(traffic: &Traffic, more: u64) {
    let end = traffic.answered() + more;
    until("answers", async || traffic.answered() >= end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_told_to_leave_hands_its_models_over() {
    let settings = Settings::cluster(3)
        .env("SHUTDOWN_TIMEOUT_MS", "60000")
        .env("STOWAGE_PROACTIVE_LOADS", "false");
    let mut mesh = mesh(settings).await;
    serve_all(&mesh).await;
    let held = mesh.pod(0).runtime().loaded();
    assert!(!held.is_empty());
    let traffic = Traffic::start(4, ids());
    for pod in &mesh.pods()[1..] {
        traffic.add(pod).expect("a channel");
    }
    answers(&traffic, 100).await;
    mesh.pod_mut(0).terminate().expect("signaled");
    let (status, output) = mesh.pod_mut(0).ended().await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{output}");
    answers(&traffic, 100).await;
    let errors = traffic.stop().await;
    assert!(errors.is_empty(), "{errors:#?}");
    for id in &held {
        let elsewhere = mesh.pods()[1..]
            .iter()
            .any(|pod| pod.runtime().loaded().contains(id));
        assert!(elsewhere, "{id} is nowhere now");
    }
}

/// `kill -9`: only what was inside the router, or on its way there, may fail; soon everything is served by the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_killed_is_made_up_for() {
    let mut mesh = mesh(Settings::cluster(3)).await;
    serve_all(&mesh).await;
    let traffic = Traffic::start(4, ids());
    for pod in &mesh.pods()[1..] {
        traffic.add(pod).expect("a channel");
    }
    answers(&traffic, 100).await;
    traffic.forget_errors();
    mesh.pod_mut(0).kill().expect("killed");
    answers(&traffic, 300).await;
    let errors = traffic.stop().await;
    // Each caller has one call under way at a time.
    assert!(errors.len() <= 4, "{errors:#?}");
    for id in ids() {
        for pod in &mesh.pods()[1..] {
            check_serves(pod, &id).await;
        }
    }
    // A new router in its place joins in.
    mesh.pod_mut(0).restart().expect("starts");
    mesh.pod_mut(0).wait_ready().await.expect("ready");
    for id in ids() {
        check_serves(mesh.pod(0), &id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_routers_are_replaced_under_load() {
    let settings = Settings::cluster(3).env("SHUTDOWN_TIMEOUT_MS", "60000");
    let mut mesh = mesh(settings).await;
    serve_all(&mesh).await;
    let traffic = Traffic::start(4, ids());
    for pod in mesh.pods() {
        traffic.add(pod).expect("a channel");
    }
    answers(&traffic, 100).await;
    mesh.roll_out();
    for old in 0..3 {
        let new = mesh.add().await.expect("a pod more");
        traffic.add(mesh.pod(new)).expect("a channel");
        answers(&traffic, 50).await;
        traffic.remove(mesh.pod(old));
        mesh.pod_mut(old).terminate().expect("signaled");
        let (status, output) = mesh.pod_mut(old).ended().await.expect("it ends");
        assert_eq!(status.code(), Some(0), "{output}");
    }
    answers(&traffic, 100).await;
    let errors = traffic.stop().await;
    assert!(errors.is_empty(), "{errors:#?}");
}

/// `ZkFailTest`: while the store is away what is loaded is served, and registrations get a clear answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_a_while() {
    let mut mesh = mesh(Settings::cluster(2)).await;
    serve_all(&mesh).await;
    let traffic = Traffic::start(2, ids());
    for pod in mesh.pods() {
        traffic.add(pod).expect("a channel");
    }
    mesh.etcd().expect("there").kill().expect("killed");
    let end = Instant::now() + Duration::from_secs(13);
    let refused = mesh
        .pod(0)
        .register("late", SMALL)
        .await
        .expect_err("it cannot be written down");
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::DeadlineExceeded),
        "{refused}"
    );
    assert_ne!(refused.message(), "");
    until("thirteen seconds without a store", async || Instant::now() >= end).await;
    answers(&traffic, 100).await;
    let errors = traffic.stop().await;
    assert!(errors.is_empty(), "{errors:#?}");

    mesh.etcd().expect("there").restart().await.expect("starts");
    until("registrations to work", async || {
        mesh.pod(0).register("late", SMALL).await.is_ok()
    })
    .await;
    until("the other router to know", async || {
        let status = mesh.pod(1).status("late").await;
        status.is_ok_and(|info| info.status() != ModelStatus::NotFound)
    })
    .await;
    check_serves(mesh.pod(1), "late").await;
    mesh.pod_mut(0).wait_ready().await.expect("ready again");
    mesh.pod_mut(1).wait_ready().await.expect("ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_everything_is_filled_again() {
    let mut mesh = mesh(Settings::cluster(2)).await;
    serve_all(&mesh).await;
    mesh.etcd().expect("there").lose_data().await.expect("starts");
    // A controller registers what should be there, again and again.
    for id in ids() {
        until("a registration", async || {
            mesh.pod(0).register(&id, SMALL).await.is_ok()
        })
        .await;
    }
    for pod in 0..2 {
        mesh.pod_mut(pod).wait_ready().await.expect("ready again");
        for id in ids() {
            let pod = mesh.pod(pod);
            until("the model to be known", async || {
                let status = pod.status(&id).await;
                status.is_ok_and(|info| info.status() != ModelStatus::NotFound)
            })
            .await;
            check_serves(pod, &id).await;
        }
    }
}

/// `EtcdFailFastTest`: a store that cannot be reached ends the start, and Kubernetes shows why.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_ends_the_start() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    let mut command = pod.command().expect("built");
    // Ports of its own: the pod's router goes on.
    for name in [
        "MM_SVC_GRPC_PORT",
        "REST_PROXY_LISTEN_PORT",
        "MM_PRESTOP_WAIT_PORT",
        "STOWAGE_PEER_PORT",
    ] {
        command.env(name, "0");
    }
    command
        .env("MM_PROBE_PORT", "NONE")
        .env("MM_METRICS", "disabled")
        .env("KV_STORE", "etcd:http://127.0.0.1:9");
    let end = tokio::time::timeout(SOON, finish(command))
        .await
        .expect("it ends by itself")
        .expect("runs");
    assert_ne!(end.code, Some(0), "{}", end.stderr);
    let message = fs::read_to_string(pod.termination_message()).expect("written");
    assert!(message.contains("127.0.0.1:9"), "{message}");
}

/// A stopped process keeps its connections: nobody is told that it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_hangs_holds_nobody_up_for_long() {
    let mut mesh = mesh(Settings::cluster(3)).await;
    serve_all(&mesh).await;
    let stopped = mesh.pod_mut(0).process().expect("it runs").id();
    signal(stopped, "-STOP");
    for id in ids() {
        let pod = mesh.pod(1);
        let predictor = pod.predictor().expect("a channel");
        until("the model to be served", async || {
            predictor.ask(&id, "hello").await.is_ok()
        })
        .await;
    }
    signal(stopped, "-CONT");
    mesh.pod_mut(0).wait_ready().await.expect("ready");
    for id in ids() {
        let predictor = mesh.pod(0).predictor().expect("a channel");
        until("the model to be served", async || {
            predictor.ask(&id, "hello").await.is_ok()
        })
        .await;
    }
}

fn signal(process: u32, signal: &str) {
    let status = std::process::Command::new("kill")
        .arg(signal)
        .arg(process.to_string())
        .status()
        .expect("kill runs");
    assert!(status.success(), "kill {signal}: {status}");
}
