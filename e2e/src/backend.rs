//! A gRPC backend on bare HTTP/2: as little work per call as can be, so that a bench measures what stands before it.
//!
//! - `/mmesh.ModelRuntime/*`: a runtime that is ready at once, loads anything in no time and lets any method pass.
//! - `/stowage.test.Echo/*`: streaming kinds, failures and slow calls for tests; see [`methods`].
//! - `/inference.GRPCInferenceService/ModelInfer`: a model whose outputs are its inputs, if [`Infer::Tensors`] is chosen.
//! - Anything else: unary; the request message is the answer.

pub mod methods;
mod runtime;
mod tensors;
mod wire;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::mmesh::RuntimeStatusResponse;
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::Request;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

/// Streams per connection: far above what a bench opens.
const MAX_STREAMS: u32 = 4096;
/// Windows that let a large message through without waiting for an update.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Pause after a failed accept: out of file descriptors, mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the runtime says of itself and of models.
#[derive(Clone, Debug)]
pub struct Options {
    /// Answer to `runtimeStatus`.
    pub status: RuntimeStatusResponse,
    /// Size of every model.
    pub model_bytes: u64,
    /// What models answer.
    pub infer: Infer,
}

/// What `ModelInfer` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Infer {
    /// The request's bytes, whatever they are: the least work for a bench of a proxy.
    #[default]
    Message,
    /// A `ModelInferResponse` whose outputs are the inputs, for those who read it.
    Tensors,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            status: runtime::ready(),
            model_bytes: 1 << 20,
            infer: Infer::default(),
        }
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Stats {
    /// Calls that came in, the runtime's own not counted.
    pub calls: AtomicU64,
    /// Calls of `Slow` that the client gave up.
    pub cancelled: AtomicU64,
    /// `loadModel`.
    pub loads: AtomicU64,
    /// `unloadModel`.
    pub unloads: AtomicU64,
    /// Set by a test: every call is answered `NOT_FOUND`, until a model is loaded.
    pub forgot: AtomicBool,
    /// Woken by a test: connections say GOAWAY, and end with their last call.
    pub leave: Notify,
}

impl Stats {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A backend in this process; ends when it is dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What has happened so far.
    pub stats: Arc<Stats>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of the loopback interface.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, stats) = (listener.local_addr()?, Arc::default());
        let task = tokio::spawn(serve(listener, options, Arc::clone(&stats)));
        Ok(Self { addr, stats, task })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    options: Options,
    stats: Arc<Stats>,
}

/// Serves until the future is dropped, and all connections with it.
pub async fn serve(listener: TcpListener, options: Options, stats: Arc<Stats>) {
    let shared = Arc::new(Shared { options, stats });
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.spawn(connection(socket, Arc::clone(&shared)));
            }
            Err(err) => {
                tracing::warn!(error = %err, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    if let Err(err) = calls(socket, shared).await {
        tracing::debug!(error = %err, "connection ended");
    }
}

async fn calls(socket: TcpStream, shared: Arc<Shared>) -> Result<(), h2::Error> {
    // Without it the answer waits for an acknowledgment; where it fails, only speed is lost.
    let _ = socket.set_nodelay(true);
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        // A load generator that ends gives up all its calls at once; the default takes twenty for an attack.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .handshake(socket)
        .await?;
    let (mut leave, mut left) = (std::pin::pin!(shared.stats.leave.notified()), false);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = &mut leave, if !left => {
                left = true;
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(accepted) = accepted else { return Ok(()) };
        let (request, respond) = accepted?;
        tokio::spawn(call(request, respond, Arc::clone(&shared)));
    }
}

async fn call(request: Request<RecvStream>, respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    let path = request.uri().path();
    let done = if let Some(method) = path.strip_prefix("/mmesh.ModelRuntime/") {
        let method = method.to_owned();
        runtime::call(&method, request, respond, &shared).await
    } else {
        Stats::add(&shared.stats.calls);
        if shared.stats.forgot.load(Ordering::Relaxed) {
            wire::fail(respond, "5", "gone")
        } else if let Some(method) = path.strip_prefix(methods::PREFIX) {
            let method = method.to_owned();
            methods::call(&method, request, respond, &shared.stats).await
        } else if shared.options.infer == Infer::Tensors && path == api::names::methods::MODEL_INFER {
            tensors::infer(request, respond).await
        } else {
            wire::unary_echo(request, respond).await
        }
    };
    if let Err(err) = done {
        tracing::debug!(error = %err, "call ended early");
    }
}

#[cfg(test)]
mod tests;
