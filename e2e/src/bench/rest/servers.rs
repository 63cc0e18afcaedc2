//! Backend, router, Go proxy and `MLServer`, each on its core.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::{
    tensor::{ALL, Workload},
    verify::Checker,
    way::{Program, Protocol, WAYS, Way},
};
use crate::{
    bench::{
        servers::{LOAD_CORE, PROXY_CORE, START, Server, free_addr, pinned, register, router, sibling},
        workload::MODEL,
    },
    process::{self, eventually},
};

/// Threads of everything in Python that would start one for each core.
const ONE_THREAD: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];
/// `MLServer` imports a lot before it listens.
const PYTHON_START: Duration = Duration::from_mins(2);

/// Everything that runs during the bench; ends with it.
#[derive(Debug)]
pub struct Servers {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    program: Program,
    server: Server,
    rest: SocketAddr,
}

impl Servers {
    /// Builds and starts what `ways` need, and waits until a checked call passes each way.
    pub async fn start(ways: &[Way]) -> anyhow::Result<Self> {
        let wanted = |program| ways.iter().any(|way| way.program == program);
        let backend = start_backend().await?;
        let behind = backend.server.addr;
        let mut running = vec![backend];
        if wanted(Program::Router) {
            running.push(start_router(behind).await?);
        }
        if wanted(Program::Gateway) {
            running.push(start_gateway(behind).await?);
        }
        if wanted(Program::MlServer) {
            running.push(start_mlserver().await?);
        }
        let servers = Self { running };
        let [workload, ..] = ALL;
        for way in ways {
            servers.ready(way, workload).await?;
        }
        Ok(servers)
    }

    /// The server of a way, and where it takes the way's calls.
    pub fn of(&self, way: &Way) -> anyhow::Result<(&Server, SocketAddr)> {
        let running = self.running.iter().find(|running| running.program == way.program);
        let running = running.with_context(|| format!("{:?} does not run", way.program))?;
        let addr = match way.protocol {
            Protocol::Grpc => running.server.addr,
            Protocol::Http1 | Protocol::Http2 => running.rest,
        };
        Ok((&running.server, addr))
    }

    async fn ready(&self, way: &Way, workload: Workload) -> anyhow::Result<()> {
        let (_, addr) = self.of(way)?;
        let limit = if way.program == Program::MlServer {
            PYTHON_START
        } else {
            START
        };
        let mut last = None;
        let answered = eventually(way.name, limit, async || {
            let attempt = async { Checker::new(addr, *way, workload).await?.check().await };
            match attempt.await {
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
}

/// The core for the load generator: it must not be the server's.
pub fn load_core(way: &Way) -> u32 {
    match way.program {
        Program::Backend => PROXY_CORE,
        Program::Router | Program::Gateway | Program::MlServer => LOAD_CORE,
    }
}

/// Ways whose name has one of these parts, all without any. The backend's own is always there.
pub fn chosen(parts: &[String]) -> Vec<Way> {
    let wanted = |way: &&Way| {
        way.program == Program::Backend
            || parts.is_empty()
            || parts.iter().any(|part| way.name.contains(part.as_str()))
    };
    WAYS.iter().filter(wanted).copied().collect()
}

async fn start_backend() -> anyhow::Result<Running> {
    let addr = free_addr()?;
    let mut command = pinned(&sibling("echo-backend")?, LOAD_CORE);
    command.arg(addr.to_string()).arg("--tensors");
    Ok(Running {
        program: Program::Backend,
        server: Server::start("echo-backend", addr, command).await?,
        rest: addr,
    })
}

async fn start_router(backend: SocketAddr) -> anyhow::Result<Running> {
    let (addr, rest) = (free_addr()?, free_addr()?);
    let server = Server::start("stowage-router", addr, router(addr, rest, backend)?).await?;
    eventually("the router registers the model", START, async || {
        Ok(register(addr).await.ok())
    })
    .await?;
    Ok(Running {
        program: Program::Router,
        server,
        rest,
    })
}

async fn start_gateway(backend: SocketAddr) -> anyhow::Result<Running> {
    let addr = free_addr()?;
    let program = script("scripts/gateway.sh", &[]).await?;
    let mut command = pinned(&program, PROXY_CORE);
    command
        .args([addr.to_string(), backend.to_string()])
        .env("GOMAXPROCS", "1");
    Ok(Running {
        program: Program::Gateway,
        server: Server::start("gateway", addr, command).await?,
        rest: addr,
    })
}

async fn start_mlserver() -> anyhow::Result<Running> {
    let rest = free_addr()?;
    let folder = process::root().join("e2e/bench/mlserver");
    let requirements = folder.join("requirements.txt");
    let venv = script("scripts/venv.sh", &[&requirements]).await?;
    let mut command = pinned(&venv.join("bin/mlserver"), PROXY_CORE);
    command
        .arg("start")
        .arg(&folder)
        .current_dir(&folder)
        .env("MLSERVER_HOST", "127.0.0.1")
        .env("MLSERVER_HTTP_PORT", rest.port().to_string())
        .env("MLSERVER_GRPC_PORT", free_addr()?.port().to_string())
        .env("MLSERVER_METRICS_PORT", free_addr()?.port().to_string())
        .env("MLSERVER_MODEL_NAME", MODEL)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(ONE_THREAD.map(|name| (name, "1")));
    let server = Server::start_within("MLServer", rest, command, PYTHON_START).await?;
    Ok(Running {
        program: Program::MlServer,
        server,
        rest,
    })
}

/// The path that one of the project's scripts prints.
async fn script(name: &str, args: &[&Path]) -> anyhow::Result<PathBuf> {
    let done = process::run(process::root().join(name), args).await?;
    anyhow::ensure!(done.code == Some(0), "{name} failed:\n{}", done.stderr);
    Ok(PathBuf::from(done.stdout.trim()))
}
