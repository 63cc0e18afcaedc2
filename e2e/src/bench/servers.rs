//! The backend and what stands before it, each on its core.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use api::mmesh::{ModelInfo, RegisterModelRequest, model_mesh_client::ModelMeshClient};
use tempfile::TempDir;

use super::{
    verify::Checker,
    workload::{ALL, MODEL},
};
use crate::process::{Process, eventually};

/// Core of the backend and the load generator.
pub const LOAD_CORE: u32 = 0;
/// Core of the proxy that is measured.
pub const PROXY_CORE: u32 = 1;
/// How long a server may take until it answers.
pub(super) const START: Duration = Duration::from_secs(30);
/// A way to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Shown in tables.
    pub name: &'static str,
    /// Program that it goes through; none is the backend itself.
    pub proxy: Option<&'static str>,
    /// Metadata of every call.
    pub metadata: Option<(&'static str, &'static str)>,
}

/// All of them, in the order of a round.
pub const WAYS: [Way; 5] = [
    Way {
        name: "direct",
        proxy: None,
        metadata: None,
    },
    Way {
        name: "stowage, name in message",
        proxy: Some("stowage-router"),
        metadata: None,
    },
    Way {
        name: "stowage, name in header",
        proxy: Some("stowage-router"),
        metadata: Some((api::names::headers::MODEL_ID, MODEL)),
    },
    Way {
        name: "haproxy",
        proxy: Some("haproxy"),
        metadata: None,
    },
    Way {
        name: "nginx",
        proxy: Some("nginx"),
        metadata: None,
    },
];

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Program.
    pub name: &'static str,
    /// Where it takes calls.
    pub addr: SocketAddr,
    process: Process,
}

/// Everything that runs during the bench; ends with it.
#[derive(Debug)]
pub struct Servers {
    servers: Vec<Server>,
    _folder: TempDir,
}

impl Servers {
    /// Starts the backend and the wanted proxies, and waits until a checked call passes each.
    pub async fn start(proxies: &[&'static str]) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let backend = free_addr()?;
        let mut command = pinned(&sibling("echo-backend")?, LOAD_CORE);
        command.arg(backend.to_string());
        let mut servers = vec![Server::start("echo-backend", backend, command).await?];
        for name in proxies {
            let addr = free_addr()?;
            let command = match *name {
                "stowage-router" => router(addr, free_addr()?, backend)?,
                "haproxy" => haproxy(addr, backend, folder.path())?,
                "nginx" => nginx(addr, backend, folder.path())?,
                other => anyhow::bail!("no way to start {other}"),
            };
            servers.push(Server::start(name, addr, command).await?);
        }
        let servers = Self {
            servers,
            _folder: folder,
        };
        for server in servers.servers.iter().skip(1) {
            server.ready().await?;
        }
        Ok(servers)
    }

    /// The server of a way; the backend for the direct one.
    pub fn of(&self, way: &Way) -> anyhow::Result<&Server> {
        let name = way.proxy.unwrap_or("echo-backend");
        self.servers
            .iter()
            .find(|server| server.name == name)
            .with_context(|| format!("{name} does not run"))
    }

    /// All, the backend first.
    pub fn all(&self) -> &[Server] {
        &self.servers
    }
}

impl Server {
    /// Starts a server and waits until it takes connections.
    pub(super) async fn start(
        name: &'static str,
        addr: SocketAddr,
        command: Command,
    ) -> anyhow::Result<Self> {
        Self::start_within(name, addr, command, START).await
    }

    /// Starts a server that may take so long until it takes connections.
    pub(super) async fn start_within(
        name: &'static str,
        addr: SocketAddr,
        command: Command,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let process = Process::start(command).with_context(|| {
            format!("start {name}; scripts/apt.sh installs haproxy, nginx and h2load where they are missing")
        })?;
        let mut server = Self { name, addr, process };
        eventually(name, limit, async || {
            server.process.check_running()?;
            Ok(tokio::net::TcpStream::connect(addr).await.ok())
        })
        .await?;
        Ok(server)
    }

    /// Waits until the echo passes.
    async fn ready(&self) -> anyhow::Result<()> {
        if self.name == "stowage-router" {
            eventually("the router registers the model", START, async || {
                Ok(register(self.addr).await.ok())
            })
            .await?;
        }
        let [workload, ..] = ALL;
        let what = format!("an answer through {}", self.name);
        let mut last = None;
        let answered = eventually(&what, START, async || {
            let mut checker = Checker::new(self.addr, workload, None).await?;
            match checker.check().await {
                Ok(()) => Ok(Some(())),
                Err(err) => {
                    last = Some(err);
                    Ok(None)
                }
            }
        })
        .await;
        match (answered, last) {
            (Err(err), Some(last)) => Err(last.context(err)),
            (answered, _) => answered,
        }
    }

    /// Memory now.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.resident_bytes()
    }

    /// CPU time so far in seconds, in steps of a hundredth, with that of threads that have ended.
    pub fn cpu_seconds_of_all_threads(&self) -> anyhow::Result<f64> {
        /// Fixed in Linux's interface, whatever the kernel uses itself.
        const TICKS: f64 = 100.0;
        let path = format!("/proc/{}/stat", self.process.id());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        // The name may hold anything; utime and stime are the 12th and 13th field behind it.
        let (_, fields) = text.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let ticks: f64 = ticks.sum::<Result<_, _>>().with_context(|| path)?;
        Ok(ticks / TICKS)
    }

    /// CPU time so far, of all threads that it has now, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.cpu_seconds()
    }
}

/// Makes the model known to a router, and loads it.
pub(super) async fn register(addr: SocketAddr) -> anyhow::Result<()> {
    let mut client = ModelMeshClient::connect(format!("http://{addr}")).await?;
    let request = RegisterModelRequest {
        model_id: MODEL.into(),
        model_info: Some(ModelInfo {
            r#type: "echo".into(),
            ..Default::default()
        }),
        load_now: true,
        sync: true,
        ..Default::default()
    };
    client.register_model(request).await?;
    Ok(())
}

/// A port of the loopback interface that was free a moment ago.
pub(super) fn free_addr() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A binary that was built beside this one.
pub(super) fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built; `make bench` builds it",
        path.display()
    );
    Ok(path)
}

pub(super) fn pinned(program: &Path, core: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Takes gRPC at `addr` and HTTP at `rest`.
pub(super) fn router(addr: SocketAddr, rest: SocketAddr, backend: SocketAddr) -> anyhow::Result<Command> {
    let mut command = pinned(&sibling("stowage-router")?, PROXY_CORE);
    command
        .args([
            "--bind",
            "127.0.0.1",
            "--threads",
            "1",
            "--log",
            "warn",
            "--log-format",
            "text",
        ])
        .args(["--grpc-port", &addr.port().to_string()])
        .args(["--rest-port", &rest.port().to_string()])
        .args([
            "--probe-port",
            "NONE",
            "--prestop-port",
            &free_addr()?.port().to_string(),
        ])
        .args([
            "--metrics",
            &format!("prometheus:port={};scheme=http", free_addr()?.port()),
        ])
        .args(["--runtime-port", &backend.port().to_string()]);
    Ok(command)
}

/// One thread; windows as large as the router's, and connections to the backend shared as freely as it can.
fn haproxy(addr: SocketAddr, backend: SocketAddr, folder: &Path) -> anyhow::Result<Command> {
    let path = folder.join("haproxy.cfg");
    let text = format!(
        "global
    nbthread 1
    maxconn 4096
    tune.h2.initial-window-size 1048576
    tune.h2.max-concurrent-streams 256
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend calls
    bind {addr} proto h2
    default_backend echo
backend echo
    server echo {backend} proto h2
"
    );
    fs::write(&path, text)?;
    let mut command = pinned(Path::new("haproxy"), PROXY_CORE);
    command.arg("-db").arg("-f").arg(path);
    Ok(command)
}

/// One process, so that none outlives the bench; bodies stay in memory and connections are kept.
fn nginx(addr: SocketAddr, backend: SocketAddr, folder: &Path) -> anyhow::Result<Command> {
    let path = folder.join("nginx.conf");
    let mut text = format!(
        "daemon off;
master_process off;
pid {0}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 2m;
    http2_max_concurrent_streams 256;
    http2_body_preread_size 1m;
    http2_chunk_size 16k;
    keepalive_requests 1000000000;
    upstream echo {{
        server {backend};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {addr} http2;
        location / {{
            grpc_pass grpc://echo;
            grpc_buffer_size 64k;
        }}
    }}
",
        folder.display(),
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "    {kind}_temp_path {}/{kind};", folder.display())?;
    }
    text.push_str("}\n");
    fs::write(&path, text)?;
    // Debian keeps it where only root's PATH looks.
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .iter()
        .map(Path::new)
        .find(|path| path.is_file());
    let mut command = pinned(program.unwrap_or(Path::new("nginx")), PROXY_CORE);
    command.arg("-e").arg("stderr").arg("-c").arg(path);
    Ok(command)
}
