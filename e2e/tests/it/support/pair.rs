//! `stowage-router` and `stowage-adapter onnx` as two processes.

use std::{net::TcpListener, path::Path, process::Command};

use api::mmesh::{ModelInfo, SetVModelRequest, model_mesh_client::ModelMeshClient};
use e2e::process::{self, Process};
use tempfile::TempDir;

use super::{SOON, answers, rest};

/// Each example's name, and the file behind it.
const EXAMPLES: [(&str, &str); 7] = [
    ("iris", "iris.onnx"),
    ("wine", "wine/model.onnx"),
    ("breast-cancer", "breast-cancer/2/model.onnx"),
    ("breast-cancer:1", "breast-cancer/1/model.onnx"),
    ("diabetes", "diabetes.onnx"),
    ("digits", "digits/model.onnx"),
    ("digits-cnn", "digits-cnn/model.onnx"),
];

/// How the two find each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    /// A port for the runtime SPI and one for inference.
    Tcp,
    /// One socket for both.
    Unix,
}

/// Two running processes.
pub(crate) struct Pair {
    pub(crate) router: Process,
    adapter: Process,
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

impl Pair {
    /// Serves the example models under their names.
    pub(crate) async fn examples(link: Link) -> Self {
        let pair = Self::start(link, &answers::folder().join("models"), 1 << 30).await;
        for (name, file) in EXAMPLES {
            pair.register(name, file).await;
        }
        pair
    }

    /// Starts both, with files below `models` and this much memory for models; no model is registered.
    pub(crate) async fn start(link: Link, models: &Path, capacity: u64) -> Self {
        Self::start_with(link, models, capacity, &[]).await
    }

    /// The same, with more environment for the router.
    pub(crate) async fn start_with(link: Link, models: &Path, capacity: u64, more: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("the temporary folder can be written");
        let [spi, data, grpc, rest, probe, prestop, metrics] = free_ports().map(|port| port.to_string());
        let socket = folder.path().join("runtime.sock").display().to_string();
        let (listen, connect) = match link {
            Link::Unix => (
                [
                    ("STOWAGE_ADAPTER_SOCKET", &socket),
                    ("STOWAGE_RUNTIME_SOCKET", &socket),
                ],
                [
                    ("INTERNAL_GRPC_SOCKET_PATH", &socket),
                    ("INTERNAL_SERVING_GRPC_SOCKET_PATH", &socket),
                ],
            ),
            Link::Tcp => (
                [("ADAPTER_PORT", &spi), ("RUNTIME_PORT", &data)],
                [
                    ("INTERNAL_GRPC_PORT", &spi),
                    ("INTERNAL_SERVING_GRPC_PORT", &data),
                ],
            ),
        };
        let mut adapter = command("stowage-adapter");
        adapter
            .arg("onnx")
            .envs(listen)
            .env("ROOT_MODEL_DIR", models)
            .env("CONTAINER_MEM_REQ_BYTES", capacity.to_string())
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
            .env("MM_METRICS", format!("prometheus:port={metrics};scheme=http"))
            .envs(more.iter().copied());
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
        Self {
            router,
            adapter,
            _folder: folder,
            grpc: format!("127.0.0.1:{grpc}"),
            rest: format!("127.0.0.1:{rest}"),
        }
    }

    /// Gives a file below the models folder a name.
    pub(crate) async fn register(&self, name: &str, file: &str) {
        let mut client = ModelMeshClient::connect(format!("http://{}", self.grpc))
            .await
            .expect("the router can be reached");
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

    pub(crate) fn rest(&self) -> &str {
        &self.rest
    }

    pub(crate) fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Fails unless both processes run.
    pub(crate) fn check_running(&mut self) {
        self.router.check_running().expect("the router still runs");
        self.adapter.check_running().expect("the adapter still runs");
    }
}
