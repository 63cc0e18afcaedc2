//! Accepts HTTP/2 connections, of clients and of other routers, and hands their streams to [`crate::respond`].

use std::{hash::BuildHasher as _, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::server::Connection;
use kit::drain::Drain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};

mod tls;

pub use self::tls::Tls;
use crate::{failure::Failure, keepalive, peer::Refusal, plane::Plane, respond};

/// Limits of the gRPC listener.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Streams of one connection at once.
    pub streams: u32,
    /// Calls at once over all connections; more are answered `RESOURCE_EXHAUSTED`.
    pub calls: usize,
    /// Largest header list in bytes.
    pub header_list: u32,
    /// A connection that is older is told to be opened anew; `None` = never.
    pub age: Option<Duration>,
    /// How long calls on it may then still take; `None` = as long as they want.
    pub age_grace: Option<Duration>,
    /// Who calls.
    pub door: Door,
    /// Speaks TLS, and nothing else then.
    pub tls: Option<Tls>,
}

/// Who calls a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Clients: anything.
    Clients,
    /// Other routers: calls that they forward, and what they ask about copies.
    Routers,
}

impl Default for ListenOptions {
    fn default() -> Self {
        // Streams: gRPC clients put up to a few hundred calls on a connection. Calls: some kB of state each.
        Self {
            connections: 4096,
            streams: 1024,
            calls: 16_384,
            header_list: 16 << 10,
            age: None,
            age_grace: None,
            door: Door::Clients,
            tls: None,
        }
    }
}

impl ListenOptions {
    /// For other routers: each has a few connections, with the calls of all of its clients on them.
    pub fn for_routers() -> Self {
        Self {
            streams: 16_384,
            // A client's headers and a few more.
            header_list: 64 << 10,
            door: Door::Routers,
            ..Self::default()
        }
    }

    /// Receive window of a connection. Requests that a model server does not take yet count against it, a stream's
    /// window each: between routers so many of them must not hold up the calls of others.
    fn window(&self) -> u32 {
        match self.door {
            Door::Clients => CONNECTION_WINDOW,
            Door::Routers => 256 * STREAM_WINDOW,
        }
    }
}

/// A client must say its first HTTP/2 words within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Receive window of a stream and of a connection: a large tensor should not wait for window updates.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Largest frame that clients may send: fewer, larger frames for large tensors.
const FRAME: u32 = 64 << 10;
/// A connection that does not answer a ping for so long is dead.
const PING: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(20));
/// Pause after the kernel refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the drain starts, then lets those that are open finish.
pub async fn run(listener: TcpListener, plane: Arc<Plane>, options: ListenOptions, drain: Drain) {
    let places = Arc::new(Semaphore::new(options.connections));
    let calls = Arc::new(Semaphore::new(options.calls));
    if let Some(busy) = plane.busy() {
        busy.watch(options.calls, calls.clone());
    }
    let options = Arc::new(options);
    loop {
        let permit = tokio::select! {
            () = drain.started() => return,
            permit = places.clone().acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = drain.started() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (plane, options, calls, drain) = (plane.clone(), options.clone(), calls.clone(), drain.clone());
        // Taken here, so that a drain that starts before the task does waits for it.
        let guard = drain.guard();
        tokio::spawn(async move {
            let (_permit, _guard) = (permit, guard);
            if let Err(error) = secured(socket, plane, &options, calls, &drain).await {
                log_end(peer, &error);
            }
        });
    }
}

fn log_end(peer: SocketAddr, error: &io::Error) {
    tracing::debug!(%peer, %error, "connection ended");
}

async fn secured(
    socket: TcpStream,
    plane: Arc<Plane>,
    options: &ListenOptions,
    calls: Arc<Semaphore>,
    drain: &Drain,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    match &options.tls {
        None => connection(socket, plane, options, calls, drain).await,
        Some(tls) => {
            let socket = tokio::select! {
                socket = tls.accept(socket) => socket?,
                () = drain.started() => return Ok(()),
            };
            // It is rare, and large.
            Box::pin(connection(socket, plane, options, calls, drain)).await
        }
    }
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin>(
    socket: T,
    plane: Arc<Plane>,
    options: &ListenOptions,
    calls: Arc<Semaphore>,
    drain: &Drain,
) -> io::Result<()> {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(options.window())
        .max_frame_size(FRAME)
        .max_concurrent_streams(options.streams)
        // A client may give up all of its calls at once: that alone is no attack, and no reason to end the others.
        .max_pending_accept_reset_streams(options.streams as usize)
        .max_header_list_size(options.header_list);
    let handshake = builder.handshake::<_, Bytes>(socket);
    let mut connection = time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    let pings = connection.ping_pong();
    let dead = async {
        match pings {
            Some(pings) => keepalive::dead(pings, PING.0, PING.1, || true).await,
            None => std::future::pending().await,
        }
    };
    let age = options.age.map(spread);
    let too_old = async {
        match (age, options.age_grace) {
            (Some(age), Some(grace)) => time::sleep(age + grace).await,
            _ => std::future::pending().await,
        }
    };
    let leave = async {
        match age {
            Some(age) => tokio::select! {
                () = drain.started() => {}
                () = time::sleep(age) => {}
            },
            None => drain.started().await,
        }
    };
    tokio::select! {
        end = streams(&mut connection, &plane, options.door, &calls, leave) => end,
        () = dead => Err(io::Error::other("the client does not answer pings")),
        () = too_old => Err(io::Error::other("calls go on after the grace of the connection's age")),
    }
}

/// A tenth more or less, so that connections that were opened together are not closed together.
fn spread(age: Duration) -> Duration {
    let random = std::hash::RandomState::new().hash_one(0_u8) % 201;
    // 0.9 to 1.1.
    age.mul_f64(0.9 + random as f64 / 1000.0)
}

/// Starts a task for each stream; returns when the connection has ended.
async fn streams<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    plane: &Arc<Plane>,
    door: Door,
    calls: &Arc<Semaphore>,
    leave: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut leave = std::pin::pin!(leave);
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = connection.accept() => accepted,
            () = &mut leave, if !told => {
                // GOAWAY: the client opens its next streams elsewhere, those that are open go on.
                connection.graceful_shutdown();
                told = true;
                continue;
            }
        };
        let (request, mut respond) = match accepted {
            None => return Ok(()),
            Some(Err(error)) => return Err(io::Error::other(error)),
            Some(Ok(stream)) => stream,
        };
        if let Ok(permit) = calls.clone().try_acquire_owned() {
            let plane = plane.clone();
            // In a box of its own: tokio moves a task's future more often than a box is worth.
            tokio::spawn(Box::pin(async move {
                respond::serve(plane, door, request, respond).await;
                drop(permit);
            }));
        } else {
            let mut failure = Failure::new(
                tonic::Code::ResourceExhausted,
                "too many calls at once; try again later",
            );
            failure.refused = (door == Door::Routers).then_some(Refusal::Overloaded);
            let mut response = http::Response::new(());
            *response.headers_mut() = failure.headers();
            let _ = respond.send_response(response, true);
        }
    }
}
