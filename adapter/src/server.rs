//! The runtime behind sockets: the SPI, V2 inference and health, on one endpoint or two.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use futures::future;
use kit::drain::Drain;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Server, server::Router};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::onnx::OnnxRuntime;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket. One that is left over is replaced.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Endpoint of the runtime SPI.
    pub management: Listen,
    /// Endpoint of V2 inference; `None` = the SPI's endpoint serves both.
    pub inference: Option<Listen>,
    /// Time that requests in flight have once the drain starts.
    pub drain_timeout: Duration,
}

/// How often an idle connection is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Window of one stream: a request of this size never waits for the other side.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Window of one connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Streams of one connection. The router has one connection for many clients.
const MAX_STREAMS: u32 = 4096;

/// Bound sockets, and what will be served on them.
#[derive(Debug)]
pub struct BoundServer {
    runtime: OnnxRuntime,
    management: Bound,
    inference: Option<Bound>,
    drain_timeout: Duration,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Bound {
    async fn new(listen: &Listen) -> anyhow::Result<Self> {
        let bound = match listen {
            Listen::Tcp(addr) => TcpListener::bind(addr).await.map(Self::Tcp),
            Listen::Unix(path) => remove_stale(path)
                .and_then(|()| UnixListener::bind(path))
                .map(|l| Self::Unix(l, path.clone())),
        };
        bound.with_context(|| format!("listen on {listen}"))
    }

    fn local(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }
}

/// Removes a socket that an earlier process left behind. Whatever is no socket stays, and the bind fails on it.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl BoundServer {
    /// Binds the sockets, so that a bad port fails before anything is served.
    pub async fn bind(runtime: OnnxRuntime, config: &ServerConfig) -> anyhow::Result<Self> {
        let ServerConfig {
            management,
            inference,
            drain_timeout,
        } = config;
        let management = Bound::new(management).await?;
        let inference = match inference {
            Some(listen) => Some(Bound::new(listen).await?),
            None => None,
        };
        Ok(Self {
            runtime,
            management,
            inference,
            drain_timeout: *drain_timeout,
        })
    }

    /// Where the SPI listens, with the port that was chosen for port 0.
    pub fn management(&self) -> io::Result<Listen> {
        self.management.local()
    }

    /// Where V2 inference listens.
    pub fn inference(&self) -> io::Result<Listen> {
        self.inference.as_ref().unwrap_or(&self.management).local()
    }

    /// Serves until the drain starts, then until no request is in flight or the drain's time is up.
    pub async fn serve(self, drain: Drain) -> anyhow::Result<()> {
        let Self {
            runtime,
            management,
            inference,
            drain_timeout,
        } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let data = || runtime.inference_service();
        let serving = match inference {
            None => {
                let router = builder()
                    .add_service(health_service)
                    .add_service(runtime.management_service());
                vec![run(router.add_service(data()), management, drain.clone())]
            }
            Some(inference) => {
                let spi = builder()
                    .add_service(health_service.clone())
                    .add_service(runtime.management_service());
                let data = builder().add_service(health_service).add_service(data());
                vec![
                    run(spi, management, drain.clone()),
                    run(data, inference, drain.clone()),
                ]
            }
        };
        let serving = future::try_join_all(serving);
        tokio::pin!(serving);
        tokio::select! {
            // Nothing ends a listener but the drain, so one that ends early has failed.
            result = &mut serving => return result.map(|_| ()),
            () = drain.started() => {}
        }
        set_health(&health, ServingStatus::NotServing).await;
        let Ok(result) = tokio::time::timeout(drain_timeout, serving).await else {
            tracing::warn!("requests were still in flight when the drain's time was up");
            return Ok(());
        };
        result.map(|_| ())
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", "mmesh.ModelRuntime", api::names::methods::INFERENCE_SERVICE] {
        health.set_service_status(service, status).await;
    }
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .tcp_nodelay(true)
}

fn run(router: Router, bound: Bound, drain: Drain) -> future::BoxFuture<'static, anyhow::Result<()>> {
    let stop = drain.into_started();
    Box::pin(async move {
        match bound {
            Bound::Tcp(listener) => {
                router
                    .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
                    .await?;
            }
            Bound::Unix(listener, path) => {
                let served = router
                    .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
                    .await;
                if let Err(error) = fs::remove_file(&path) {
                    tracing::debug!(path = %path.display(), error = %error, "socket not removed");
                }
                served?;
            }
        }
        Ok(())
    })
}
