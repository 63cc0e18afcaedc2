//! A router process and the runtime beside it.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use anyhow::Context as _;
use api::mmesh::model_mesh_client::ModelMeshClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::{Predictor, SOON, get};
use crate::{
    example_runtime::{Address, ExampleRuntime, Options},
    port,
    process::{self, Process, eventually, scratch},
};

/// Ports of a router, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Inference and management.
    pub grpc: u16,
    /// REST.
    pub rest: u16,
    /// Other routers.
    pub peer: u16,
    /// `/ready` and `/live`.
    pub probe: u16,
    /// `/prestop`.
    pub prestop: u16,
    /// `/metrics`.
    pub metrics: u16,
}

/// See the module's text.
#[derive(Debug)]
pub struct Pod {
    name: String,
    ports: Ports,
    env: Vec<(String, String)>,
    runtime: ExampleRuntime,
    process: Option<Process>,
    folder: TempDir,
}

impl Pod {
    pub(super) async fn start(
        name: String,
        mut runtime: Options,
        env: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::new_in(scratch()?)?;
        if let Address::Unix(path) = &mut runtime.address
            && path.is_relative()
        {
            *path = folder.path().join(&path);
        }
        let runtime = ExampleRuntime::start(runtime).await.context("start a runtime")?;
        let ports = Ports {
            grpc: port::free()?,
            rest: port::free()?,
            peer: port::free()?,
            probe: port::free()?,
            prestop: port::free()?,
            metrics: port::free()?,
        };
        let mut pod = Self {
            name,
            ports,
            env,
            runtime,
            process: None,
            folder,
        };
        pod.restart()?;
        Ok(pod)
    }

    /// Starts a router where none runs, without waiting for it.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process = Some(Process::start(self.command()?)?);
        Ok(())
    }

    /// Ends the router at once, and starts one by another command.
    pub fn replace(&mut self, command: Command) -> anyhow::Result<()> {
        self.kill()?;
        self.process = Some(Process::start(command)?);
        Ok(())
    }

    /// What starts its router.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(process::binary("stowage-router")?);
        let ports = &self.ports;
        let port = |port: u16| port.to_string();
        command
            .env("STOWAGE_BIND", "127.0.0.1")
            .env("STOWAGE_THREADS", "1")
            .env("STOWAGE_PEER_PORT", port(ports.peer))
            .env("MM_SVC_GRPC_PORT", port(ports.grpc))
            .env("REST_PROXY_LISTEN_PORT", port(ports.rest))
            .env("MM_PROBE_PORT", port(ports.probe))
            .env("MM_PRESTOP_WAIT_PORT", port(ports.prestop))
            .env(
                "MM_METRICS",
                format!("prometheus:port={};scheme=http", ports.metrics),
            )
            .env("MM_SERVICE_NAME", "modelmesh-serving")
            .env("MM_KVSTORE_PREFIX", "mm")
            .env("WKUBE_POD_NAME", &self.name)
            .env("WKUBE_POD_IPADDR", "127.0.0.1")
            .env("MM_LOCATION", "127.0.0.1")
            .env("LL_TERMINATION_MSG_PATH", self.termination_message());
        let mut endpoint = |address: &Address, port: &str, socket: &str| match address {
            Address::Tcp(addr) => {
                command.env(port, addr.port().to_string());
            }
            Address::Unix(path) => {
                command.env(socket, path);
            }
        };
        endpoint(
            self.runtime.address(),
            "INTERNAL_GRPC_PORT",
            "INTERNAL_GRPC_SOCKET_PATH",
        );
        endpoint(
            self.runtime.serving(),
            "INTERNAL_SERVING_GRPC_PORT",
            "INTERNAL_SERVING_GRPC_SOCKET_PATH",
        );
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its router says why it ended.
    pub fn termination_message(&self) -> PathBuf {
        self.folder.path().join("termination-log")
    }

    /// Name of the pod.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ports.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The runtime.
    pub fn runtime(&self) -> &ExampleRuntime {
        &self.runtime
    }

    /// The router's process, while there is one.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("no router runs in this pod")
    }

    /// What the router printed.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// Waits until its router takes requests.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let probe = self.ports.probe;
        let what = format!("{} to be ready", self.name);
        let process = self.process()?;
        eventually(&what, SOON, async || {
            process.check_running()?;
            let ready = get(probe, "/ready").await;
            Ok(ready.is_ok_and(|(status, _)| status.is_success()).then_some(()))
        })
        .await
        .with_context(|| process.output())
    }

    /// Fails, with its output, when the router has ended by itself.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check_running)
    }

    /// Ends the router at once, and its models with it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process()?.kill()?;
        self.process = None;
        self.runtime.purge();
        Ok(())
    }

    /// Asks the router to end, as Kubernetes does.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.process()?.terminate()
    }

    /// Waits for the end of a router that was asked to; gives how it ended and what it printed.
    pub async fn ended(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let process = self.process()?;
        let status = process.wait(SOON).await.with_context(|| process.output())?;
        let output = process.output();
        self.process = None;
        self.runtime.purge();
        Ok((status, output))
    }

    /// For calls of any service at its gRPC port.
    pub fn channel(&self) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{}", self.ports.grpc))?;
        Ok(endpoint.connect_timeout(SOON).timeout(SOON).connect_lazy())
    }

    /// Management.
    pub fn manage(&self) -> anyhow::Result<ModelMeshClient<Channel>> {
        Ok(ModelMeshClient::new(self.channel()?))
    }

    /// Inference.
    pub fn predictor(&self) -> anyhow::Result<Predictor> {
        Ok(Predictor::new(self.channel()?))
    }

    /// The text of its metrics.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let (status, text) = get(self.ports.metrics, "/metrics").await?;
        anyhow::ensure!(status.is_success(), "/metrics: {status}: {text}");
        Ok(text)
    }

    /// The value of one series, with its labels as they are written; 0 where there is none yet.
    pub async fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let text = self.metrics().await?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.unwrap_or("0").trim().parse()?)
    }
}
