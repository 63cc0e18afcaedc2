//! The same answers from `stowage-router` and `stowage-adapter onnx` as two processes, over TCP and a unix socket.

use std::{net::TcpListener, process::Command};

use api::mmesh::{ModelInfo, SetVModelRequest, model_mesh_client::ModelMeshClient};
use e2e::process::{self, Process};
use tempfile::TempDir;

use crate::{
    clients,
    support::{SOON, answers, rest},
};

/// Each name that is asked for, and the file behind it.
const MODELS: [(&str, &str); 7] = [
    ("iris", "iris.onnx"),
    ("wine", "wine/model.onnx"),
    ("breast-cancer", "breast-cancer/2/model.onnx"),
    ("breast-cancer:1", "breast-cancer/1/model.onnx"),
    ("diabetes", "diabetes.onnx"),
    ("digits", "digits/model.onnx"),
    ("digits-cnn", "digits-cnn/model.onnx"),
];

struct Pair {
    _adapter: Process,
    _router: Process,
    _folder: TempDir,
    grpc: String,
    rest: String,
}

/// Ports that nothing listens on. Another process may take one before it is used; then the test says so.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has ports"));
    listeners.map(|listener| listener.local_addr().expect("a listener has an address").port())
}

fn command(name: &str) -> Command {
    let mut command = Command::new(process::binary(name).expect("the binary is built"));
    command.current_dir(process::root());
    command
}

/// Starts both, waits until the router is ready, and registers the example models.
async fn start(unix_socket: bool) -> Pair {
    let folder = TempDir::new().expect("the temporary folder can be written");
    let [spi, data, grpc, rest, probe, prestop, metrics] = free_ports().map(|port| port.to_string());
    let socket = folder.path().join("runtime.sock").display().to_string();
    // One endpoint for both services on a socket; one each over TCP.
    let (listen, connect) = if unix_socket {
        (
            [
                ("STOWAGE_ADAPTER_SOCKET", &socket),
                ("STOWAGE_RUNTIME_SOCKET", &socket),
            ],
            [
                ("INTERNAL_GRPC_SOCKET_PATH", &socket),
                ("INTERNAL_SERVING_GRPC_SOCKET_PATH", &socket),
            ],
        )
    } else {
        (
            [("ADAPTER_PORT", &spi), ("RUNTIME_PORT", &data)],
            [
                ("INTERNAL_GRPC_PORT", &spi),
                ("INTERNAL_SERVING_GRPC_PORT", &data),
            ],
        )
    };
    let mut adapter = command("stowage-adapter");
    adapter
        .arg("onnx")
        .envs(listen)
        .env("ROOT_MODEL_DIR", answers::folder().join("models"))
        .env("CONTAINER_MEM_REQ_BYTES", "1073741824")
        .env("MEM_BUFFER_BYTES", "0");
    let mut adapter = Process::start(adapter).expect("the adapter starts");
    let mut router = command("stowage-router");
    router
        .envs(connect)
        .env("STOWAGE_BIND", "127.0.0.1")
        .env("MM_SVC_GRPC_PORT", &grpc)
        .env("REST_PROXY_LISTEN_PORT", &rest)
        .env("MM_PROBE_PORT", &probe)
        .env("MM_PRESTOP_WAIT_PORT", &prestop)
        .env("MM_METRICS", format!("prometheus:port={metrics};scheme=http"));
    let mut router = Process::start(router).expect("the router starts");
    let probe = format!("127.0.0.1:{probe}");
    process::eventually("the router to be ready", SOON, async || {
        adapter.check_running()?;
        router.check_running()?;
        let ready = rest::get(&probe, "/ready").await;
        Ok(ready.is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .await
    .expect("the router becomes ready");
    let pair = Pair {
        _adapter: adapter,
        _router: router,
        _folder: folder,
        grpc: format!("127.0.0.1:{grpc}"),
        rest: format!("127.0.0.1:{rest}"),
    };
    register(&pair.grpc).await;
    pair
}

async fn register(grpc: &str) {
    let mut client = ModelMeshClient::connect(format!("http://{grpc}"))
        .await
        .expect("the router can be reached");
    for (name, file) in MODELS {
        let request = SetVModelRequest {
            v_model_id: name.to_owned(),
            target_model_id: format!("{name}-first"),
            model_info: Some(ModelInfo {
                r#type: "onnx".to_owned(),
                path: file.to_owned(),
                key: String::new(),
            }),
            ..SetVModelRequest::default()
        };
        client
            .set_v_model(request)
            .await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
    }
}

async fn check_answers(unix_socket: bool) {
    let pair = start(unix_socket).await;
    answers::check_all(&pair.rest).await;
    clients::check("triton_grpc.py", &pair.grpc).await;
    clients::check("triton_http.py", &pair.rest).await;
    clients::check("raw_grpc.py", &pair.grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tcp() {
    check_answers(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_a_unix_socket() {
    check_answers(true).await;
}
