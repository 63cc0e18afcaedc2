//! A pod's life as modelmesh-serving arranges it: start, readiness, the pre-stop hook, the reason of a failed start.

use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

use api::mmesh::model_status_info::ModelStatus;
use e2e::{
    example_runtime::{ExampleRuntime, Options, What},
    mesh::{SOON, Settings, get},
    process::{self, Process, finish},
};

use super::tools::{check_serves, mesh, until};

/// `stop.sh`, as the image has it.
fn stop_sh(pod: &e2e::mesh::Pod, port: u16) -> Command {
    let link = pod.folder().join("stop.sh");
    let program = process::binary("stowage-router").expect("built");
    symlink(program, &link).expect("a link can be made");
    let mut command = Command::new(link);
    command
        .arg("wait")
        .env("MM_PRESTOP_WAIT_PORT", port.to_string())
        .env("SHUTDOWN_TIMEOUT_MS", "60000");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pre_stop_hook_ends_the_router_once_calls_are_answered() {
    let mut mesh = mesh(Settings::default().env("SHUTDOWN_TIMEOUT_MS", "60000")).await;
    let pod = mesh.pod(0);
    pod.register("slow", "SIZE_1000_0_0;BUSY_1000")
        .await
        .expect("registered");
    let predictor = pod.predictor().expect("a channel");
    let call = tokio::spawn(async move { predictor.ask("slow", "hello").await });
    until("the call to arrive", async || {
        pod.runtime().count(What::Called, "slow") == 1
    })
    .await;
    let hook = finish(stop_sh(pod, pod.ports().prestop)).await.expect("runs");
    assert_eq!(hook.code, Some(0), "{}{}", hook.stdout, hook.stderr);
    let answer = call.await.expect("the call ends");
    super::tools::check_said(answer, "hello", "slow");
    let (status, output) = mesh.pod_mut(0).ended().await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{output}");
    // Once more: there is nobody to end.
    let pod = mesh.pod(0);
    fs::remove_file(pod.folder().join("stop.sh")).expect("there");
    let hook = finish(stop_sh(pod, pod.ports().prestop)).await.expect("runs");
    assert_eq!(hook.code, Some(0), "{}", hook.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_work_is_in_the_termination_message() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    for (name, value, said) in [
        ("MM_DATAPLANE_CONFIG", "{\"rpcConfig\":{}}", "rpcConfig"),
        ("KV_STORE", "zookeeper:localhost:2181", "ZooKeeper"),
        ("MM_METRICS", "statsd:port=8126", "statsd"),
    ] {
        let mut command = pod.command().expect("built");
        command.env(name, value);
        let end = finish(command).await.expect("runs");
        assert_eq!(end.code, Some(2), "{}", end.stderr);
        let message = fs::read_to_string(pod.termination_message()).expect("written");
        assert!(message.contains(said), "{message}");
        assert!(end.stderr.contains(said), "{}", end.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_environment_are_there_when_the_router_is_ready() {
    let models = r#"[
        {"modelId": "first", "modelInfo": {"type": "ExampleType", "path": "SIZE_1000_300_0"}, "ensureLoaded": true},
        {"modelId": "second", "modelInfo": {"type": "ExampleType", "path": "SIZE_1000_0_0"}, "vModelId": "stable"},
        {"modelId": "broken", "modelInfo": {"type": "ExampleType", "path": "FAILALWAYS_x"}, "ensureLoaded": true}]"#;
    let mesh = mesh(Settings::default().env("MM_AUTO_REGISTER_MODELS", models)).await;
    let pod = mesh.pod(0);
    let info = pod.status("first").await.expect("answered");
    assert_eq!(info.status(), ModelStatus::Loaded);
    let predictor = pod.predictor().expect("a channel");
    let answer = predictor.call(&[("mm-vmodel-id", "stable")], "", "hello").await;
    super::tools::check_said(answer, "hello", "second");
    assert!(pod.output().contains("model not loaded at the start"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_on_which_most_loads_fail_is_not_ready() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    pod.runtime().fail_loads(Some("this build lacks a library"));
    for n in 0..21 {
        let id = format!("m-{n}");
        let info = pod
            .register_loaded(&id, "SIZE_1000_0_0")
            .await
            .expect("registered");
        assert_eq!(info.status(), ModelStatus::LoadingFailed);
    }
    let probe = pod.ports().probe;
    until("the router to be unready", async || {
        let (status, text) = get(probe, "/ready").await.expect("answered");
        status == 503 && text.contains("loads have failed")
    })
    .await;
    // It stays so, and goes on serving what it can.
    pod.runtime().fail_loads(None);
    pod.register("good", "SIZE_1000_0_0").await.expect("registered");
    check_serves(pod, "good").await;
    let (status, _) = get(probe, "/ready").await.expect("answered");
    assert_eq!(status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_under_the_old_name_of_its_service() {
    let runtime = Options {
        legacy: true,
        ready_after: Duration::from_millis(500),
        ..Options::default()
    };
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    check_serves(pod, "m").await;
    pod.unregister("m").await.expect("unregistered");
    until("the model to be unloaded", async || {
        pod.runtime().loaded().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_old_names_and_of_the_jvm() {
    let runtime = ExampleRuntime::start(Options::default()).await.expect("starts");
    let mesh = mesh(Settings::default()).await;
    let ports = mesh.pod(0).ports();
    let mut command = mesh.pod(0).command().expect("built");
    // Beside the one that runs: other ports, and the gRPC port by its old name.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let e2e::example_runtime::Address::Tcp(spi) = runtime.address() else {
        panic!("it has a port");
    };
    command
        .env_remove("MM_SVC_GRPC_PORT")
        .env("TAS_SVC_GRPC_PORT", port.to_string())
        .env("INTERNAL_GRPC_PORT", spi.port().to_string())
        .env("INTERNAL_SERVING_GRPC_PORT", spi.port().to_string())
        .env("REST_PROXY_LISTEN_PORT", ports.rest.to_string())
        .env("MM_PROBE_PORT", "NONE")
        .env("MM_PRESTOP_WAIT_PORT", "0")
        .env("MM_METRICS", "disabled")
        .env("HEAP_SIZE_MB", "512")
        .env("CUSTOM_JVM_ARGS", "-Xss1m");
    let router = Process::start(command).expect("starts");
    process::eventually("the router to be ready", SOON, async || {
        Ok(router.output().contains("\"ready\"").then_some(()))
    })
    .await
    .expect("in time");
    let output = router.output();
    assert!(output.contains("HEAP_SIZE_MB CUSTOM_JVM_ARGS"), "{output}");
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("the old name counts");
}

/// Clients are told to connect anew, and no call is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_replaced() {
    let mesh = mesh(Settings::default().env("MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS", "1")).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], pod.ports().grpc));
    let client = e2e::client::Client::connect(address).await.expect("connects");
    let ask = async || {
        client
            .unary("/mmesh.ExamplePredictor/predict", &[("mm-model-id", "m")], b"")
            .await
    };
    ask().await.expect("answered");
    // This client does not connect again: its calls end with its connection.
    until("the connection to end", async || ask().await.is_err()).await;
    check_serves(pod, "m").await;
}

/// The binary serves what the tests use within this process.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_runtime_as_a_process() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let socket = folder.path().join("runtime.sock");
    let mut command = Command::new(process::binary("example-runtime").expect("built"));
    command
        .arg(format!("unix://{}", socket.display()))
        .env("FAST_MODE", "true")
        .env("RS_METHOD_INFOS", "mmesh.ExamplePredictor/predict=1");
    let mut runtime = Process::start(command).expect("starts");
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    // The pod's router again, at the process's socket.
    let mut command = pod.command().expect("built");
    command
        .env_remove("INTERNAL_GRPC_PORT")
        .env_remove("INTERNAL_SERVING_GRPC_PORT")
        .env("INTERNAL_GRPC_SOCKET_PATH", &socket)
        .env("INTERNAL_SERVING_GRPC_SOCKET_PATH", &socket);
    mesh_at(mesh, command, &mut runtime).await;
}

async fn mesh_at(mut mesh: e2e::mesh::Mesh, command: Command, runtime: &mut Process) {
    mesh.pod_mut(0).replace(command).expect("starts");
    mesh.pod_mut(0).wait_ready().await.expect("ready");
    let pod = mesh.pod(0);
    pod.register("m", "").await.expect("registered");
    let predictor = pod.predictor().expect("a channel");
    let answer = predictor.ask("m", "hello").await.expect("answered");
    assert_eq!(
        (answer.said, answer.name),
        (super::tools::said("hello", "m"), "m".to_owned())
    );
    runtime.check_running().expect("it runs");
}
