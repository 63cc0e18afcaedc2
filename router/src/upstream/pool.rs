//! A few HTTP/2 connections to one server, re-established when they break: to the model server, or to another router.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::future::BoxFuture;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Request, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::Notify,
    time,
};

use super::{CallError, Frame, Head, Tls, ready_ok};

/// Receive window of a stream: a large tensor should not wait for window updates on a fast link.
const STREAM_WINDOW: u32 = 1 << 20;
/// Receive window of a connection. Responses that slow clients do not take yet count against it, a stream's window each:
/// so many of them hold up the calls of others.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;
/// What small frames that are not taken yet may cost, 256 bytes each at most, before HTTP/2 ends the connection with all
/// its calls: a stream of tokens to a slow client is no attack, and the windows bound it.
const FRAME_BUDGET: usize = 1 << 30;
/// Largest frame that the server may send: fewer, larger frames for large tensors.
const MAX_FRAME: u32 = 64 << 10;
/// Trailers and metadata of a response.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// Pause between attempts to connect, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// When a connection is taken for dead.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    /// Pause between pings of a connection that is in use.
    pub interval: Duration,
    /// A connection that does not answer a ping for so long is dead.
    pub timeout: Duration,
}

impl Default for Pings {
    /// Not more often than gRPC servers allow by default (every five minutes, and not when nothing else is going on):
    /// they close the connection otherwise, and the calls with it.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5 * 60 + 10),
            timeout: Duration::from_secs(20),
        }
    }
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Connections: a few, so that one TCP window or one lock does not bound everything.
    pub connections: usize,
    /// How long a call waits for a connection.
    pub connect_timeout: Duration,
}

/// One server, and how it is reached.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is called in logs.
    pub title: Arc<str>,
    /// How many connections.
    pub options: PoolOptions,
    /// When they are dead.
    pub pings: Pings,
    /// There are other servers: a call waits for the attempt to connect that is under way, but not for the next one.
    pub fail_fast: bool,
    /// TLS, where the server speaks it.
    pub tls: Option<Tls>,
}

/// Connections to one server. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    link: Link,
    slots: Box<[Slot]>,
    next: AtomicUsize,
    /// Why the last attempt to connect failed; `None` since one succeeded, and before the first one.
    down: ArcSwapOption<String>,
}

#[derive(Default)]
struct Slot {
    sender: ArcSwapOption<Sender>,
    changed: Notify,
    /// The connection takes no more streams: a GOAWAY, or no numbers left for them. Wakes who connects anew.
    stale: Arc<Notify>,
}

struct Sender(SendRequest<Bytes>);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.link.endpoint).finish()
    }
}

impl Pool {
    /// A pool for the model server. Must be called on a tokio runtime.
    pub fn new(endpoint: Endpoint, options: PoolOptions) -> Self {
        Self::with(Link {
            endpoint,
            title: "the model server".into(),
            options,
            pings: Pings::default(),
            fail_fast: false,
            tls: None,
        })
    }

    /// A pool that connects in the background. Must be called on a tokio runtime.
    pub fn with(link: Link) -> Self {
        let slots = (0..link.options.connections.max(1))
            .map(|_| Slot::default())
            .collect();
        let inner = Arc::new(Inner {
            link,
            slots,
            next: AtomicUsize::new(0),
            down: ArcSwapOption::empty(),
        });
        for slot in 0..inner.slots.len() {
            tokio::spawn(keep_connected(Arc::downgrade(&inner), slot));
        }
        Self(inner)
    }

    pub(super) fn start(&self, request: Request<()>, whole: Option<Vec<Bytes>>) -> RemoteCall {
        if let Some(sender) = self.pick() {
            return match open(sender, request, whole) {
                Ok(open) => RemoteCall(open),
                Err(error) => RemoteCall(State::Failed(Some(error))),
            };
        }
        // No connection now.
        let pool = self.clone();
        RemoteCall(State::Connecting(Box::pin(async move {
            let sender = match pool.pick() {
                Some(sender) => sender,
                None => pool.wait().await?,
            };
            let ready = time::timeout(pool.0.link.options.connect_timeout, sender.ready()).await;
            let ready = ready.map_err(|_| CallError::Unreachable("it takes no more streams".into()))??;
            open(ready, request, whole)
        })))
    }

    /// A connection that takes another stream; those beyond the server's limit of streams wait within it.
    fn pick(&self) -> Option<SendRequest<Bytes>> {
        let slots = &self.0.slots;
        let start = self.0.next.fetch_add(1, Ordering::Relaxed);
        (0..slots.len()).find_map(|i| {
            let slot = slots.get((start.wrapping_add(i)) % slots.len())?;
            let mut sender = slot.sender.load().as_ref()?.0.clone();
            if is_stale(&mut sender) {
                slot.stale.notify_one();
                return None;
            }
            Some(sender)
        })
    }

    async fn wait(&self) -> Result<SendRequest<Bytes>, CallError> {
        let slot = self
            .0
            .slots
            .first()
            .ok_or_else(|| CallError::Unreachable("no connection".into()))?;
        let connected = async {
            loop {
                let changed = slot.changed.notified();
                if let Some(sender) = self.pick() {
                    return Ok(sender);
                }
                if self.0.link.fail_fast
                    && let Some(error) = &*self.0.down.load()
                {
                    return Err(self.unreachable(Some(error)));
                }
                changed.await;
            }
        };
        time::timeout(self.0.link.options.connect_timeout, connected)
            .await
            .unwrap_or_else(|_| Err(self.unreachable(self.0.down.load().as_ref())))
    }

    fn unreachable(&self, error: Option<&Arc<String>>) -> CallError {
        let endpoint = &self.0.link.endpoint;
        CallError::Unreachable(match error {
            Some(error) => format!("{endpoint}: {error}"),
            None => endpoint.to_string(),
        })
    }
}

/// Connects a slot again and again, as long as the pool exists.
async fn keep_connected(pool: std::sync::Weak<Inner>, slot: usize) {
    let mut pause = BACKOFF.0 / 2;
    while let Some(inner) = pool.upgrade() {
        let link = inner.link.clone();
        let started = time::Instant::now();
        let connected = time::timeout(link.options.connect_timeout, connect(&link, &pool)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::Error::other("timed out")));
        if let Err(error) = &connected {
            tracing::debug!(to = %link.title, endpoint = %link.endpoint, %error, "failed to connect");
        }
        // Before anybody is woken, so that who waits sees it.
        inner
            .down
            .store(connected.as_ref().err().map(|error| Arc::new(error.to_string())));
        if connected.is_err() {
            inner.slots.iter().for_each(|slot| slot.changed.notify_waiters());
        }
        drop(inner);
        if let Ok((sender, connection)) = connected {
            serve(&pool, slot, sender, connection, &link).await;
        }
        pause = next_pause(pause, started.elapsed());
        time::sleep(pause).await;
    }
}

/// The pause after a connection, or an attempt to have one, that lived so long: a server that hangs up at once is not
/// asked in a loop.
fn next_pause(last: Duration, lived: Duration) -> Duration {
    if lived >= BACKOFF.1 {
        BACKOFF.0
    } else {
        (last * 2).min(BACKOFF.1)
    }
}

/// Offers a connection to calls until it ends or takes no more of them.
async fn serve(
    pool: &std::sync::Weak<Inner>,
    slot: usize,
    sender: SendRequest<Bytes>,
    mut connection: Connection,
    link: &Link,
) {
    let offer = |sender: Option<Arc<Sender>>| {
        let inner = pool.upgrade()?;
        let here = inner.slots.get(slot)?;
        here.sender.store(sender);
        inner.slots.iter().for_each(|slot| slot.changed.notify_waiters());
        Some(here.stale.clone())
    };
    let Some(stale) = offer(Some(Arc::new(Sender(sender)))) else {
        return;
    };
    let stale = async {
        loop {
            stale.notified().await;
            // It may be the connection before this one that was meant.
            let current = pool
                .upgrade()
                .and_then(|inner| inner.slots.get(slot)?.sender.load_full());
            if current.is_none_or(|sender| is_stale(&mut sender.0.clone())) {
                return;
            }
        }
    };
    let end = tokio::select! {
        end = &mut connection => Some(end),
        () = stale => None,
    };
    offer(None);
    if let Some(end) = end {
        tracing::debug!(to = %link.title, endpoint = %link.endpoint, error = ?end.err(), "connection ended");
    } else {
        tracing::debug!(to = %link.title, endpoint = %link.endpoint, "a connection takes no more calls");
        // It ends with the calls that it still has.
        tokio::spawn(connection);
    }
}

/// Whether a connection takes no more streams.
fn is_stale(sender: &mut SendRequest<Bytes>) -> bool {
    let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Err(_)))
}

type Connection = std::pin::Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

async fn connect(link: &Link, pool: &std::sync::Weak<Inner>) -> io::Result<(SendRequest<Bytes>, Connection)> {
    match &link.endpoint {
        Endpoint::Tcp(addr) => {
            let io = TcpStream::connect(addr).await?;
            io.set_nodelay(true)?;
            match &link.tls {
                None => handshake(io, link.pings, pool.clone()).await,
                Some(tls) => handshake(tls.connect(io).await?, link.pings, pool.clone()).await,
            }
        }
        Endpoint::Unix(path) => handshake(UnixStream::connect(path).await?, link.pings, pool.clone()).await,
    }
}

async fn handshake<T>(
    io: T,
    keepalive: Pings,
    pool: std::sync::Weak<Inner>,
) -> io::Result<(SendRequest<Bytes>, Connection)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(FRAME_BUDGET)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_frame_size(MAX_FRAME)
        .enable_push(false)
        .handshake::<T, Bytes>(io)
        .await
        .map_err(io::Error::other)?;
    let pings = connection.ping_pong();
    // Calls since the last look: a connection that nobody uses is not pinged.
    let mut seen = 0;
    let is_used = move || {
        let calls = pool
            .upgrade()
            .map_or(seen, |inner| inner.next.load(Ordering::Relaxed));
        std::mem::replace(&mut seen, calls) != calls
    };
    let driver = async move {
        match pings {
            None => connection.await,
            Some(pings) => tokio::select! {
                end = connection => end,
                () = crate::keepalive::dead(pings, keepalive.interval, keepalive.timeout, is_used) => Ok(()),
            },
        }
    };
    Ok((sender, Box::pin(driver)))
}

/// Opens a stream, and hands a body over that is in memory anyway: HTTP/2 sends it as the window allows.
fn open(
    mut sender: SendRequest<Bytes>,
    request: Request<()>,
    whole: Option<Vec<Bytes>>,
) -> Result<State, CallError> {
    let (response, mut send) = sender.send_request(request, false)?;
    if let Some(chunks) = whole {
        let last = chunks.len().saturating_sub(1);
        if chunks.is_empty() {
            send.send_data(Bytes::new(), true)?;
        }
        for (i, chunk) in chunks.into_iter().enumerate() {
            send.send_data(chunk, i == last)?;
        }
    }
    Ok(State::Open(send, Receive::Head(response)))
}

/// A call over HTTP/2.
pub(super) struct RemoteCall(State);

enum State {
    Connecting(BoxFuture<'static, Result<State, CallError>>),
    Open(SendStream<Bytes>, Receive),
    Failed(Option<CallError>),
}

enum Receive {
    Head(ResponseFuture),
    Body(RecvStream),
    Done,
}

impl fmt::Debug for RemoteCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteCall")
    }
}

impl RemoteCall {
    /// Ready when the stream is open, or could not be opened.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Connecting(connecting) = &mut self.0 {
            self.0 = ready!(connecting.as_mut().poll(cx)).unwrap_or_else(|error| State::Failed(Some(error)));
        }
        Poll::Ready(())
    }

    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
        end: bool,
    ) -> Poll<Result<(), CallError>> {
        ready!(self.poll_open(cx));
        let State::Open(send, _) = &mut self.0 else {
            // The head says why; until then there is nothing to send to.
            chunk.clear();
            return Poll::Ready(Ok(()));
        };
        loop {
            if chunk.is_empty() {
                return Poll::Ready(if end {
                    send.send_data(Bytes::new(), true).map_err(Into::into)
                } else {
                    Ok(())
                });
            }
            send.reserve_capacity(chunk.len());
            let window = send.capacity();
            if window >= chunk.len() {
                return Poll::Ready(send.send_data(std::mem::take(chunk), end).map_err(Into::into));
            }
            if window > 0 {
                send.send_data(chunk.split_to(window), false)?;
                continue;
            }
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                // The server has ended the stream already: what it says of it comes with the response.
                None => {
                    chunk.clear();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>> {
        ready!(self.poll_open(cx));
        let receive = match &mut self.0 {
            State::Open(_, receive) => receive,
            State::Failed(error) => return Poll::Ready(Err(error.take().unwrap_or(CallError::Refused))),
            State::Connecting(_) => return Poll::Ready(Err(CallError::Refused)),
        };
        let Receive::Head(response) = receive else {
            return Poll::Ready(Err(CallError::Broken("the response began twice".into())));
        };
        let (parts, body) = ready_ok!(std::pin::Pin::new(response).poll(cx)).into_parts();
        let content_type = parts.headers.get("content-type");
        let grpc = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if parts.status != StatusCode::OK && !grpc {
            return Poll::Ready(Err(CallError::NotGrpc(parts.status)));
        }
        let end = body.is_end_stream();
        *receive = if end { Receive::Done } else { Receive::Body(body) };
        Poll::Ready(Ok(Head {
            headers: parts.headers,
            end,
        }))
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, CallError>>> {
        let State::Open(_, receive) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let Receive::Body(body) = receive else {
            return Poll::Ready(None);
        };
        match ready!(body.poll_data(cx)) {
            Some(Ok(chunk)) => {
                // One chunk at a time is held: the next is asked for when this one is on its way to the client.
                let _ = body.flow_control().release_capacity(chunk.len());
                return Poll::Ready(Some(Ok(Frame::Data(chunk))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => {}
        }
        let trailers = match ready!(body.poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        *receive = Receive::Done;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::Trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lives_make_long_pauses() {
        let (mut pause, mut pauses) = (BACKOFF.0 / 2, Vec::new());
        for _ in 0..9 {
            pause = next_pause(pause, Duration::from_millis(1));
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
        assert_eq!(
            next_pause(pause, Duration::from_mins(1)),
            BACKOFF.0,
            "after a useful life"
        );
    }
}
