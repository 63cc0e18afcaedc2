//! Something on a peer's port that does what no router should: hangs up, refuses streams, says nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::Reason;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does with a call when it has read the request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// Closes the connection: perhaps it has executed the call.
    HangUp,
    /// Resets the stream with `REFUSED_STREAM`.
    Refuse,
    /// Says GOAWAY, and that it has looked at no stream.
    GoAway,
    /// Resets the stream: perhaps it has executed the call.
    Reset,
    /// Answers nothing, and not to pings either.
    Freeze,
}

/// Runs until it is dropped.
pub(super) struct Impostor {
    pub(super) addr: SocketAddr,
    /// Calls that it has seen.
    pub(super) calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Impostor {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (addr, calls) = (listener.local_addr().expect("bound"), Arc::default());
        let seen = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            let mut frozen = Vec::new();
            loop {
                let (socket, _) = listener.accept().await.expect("accepts");
                if let Some(socket) = connection(socket, manner, &seen).await {
                    frozen.push(socket);
                }
            }
        });
        Self { addr, calls, task }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Held = h2::server::Connection<TcpStream, Bytes>;

async fn connection(socket: TcpStream, manner: Manner, calls: &AtomicUsize) -> Option<Held> {
    let mut connection: Held = h2::server::handshake(socket).await.ok()?;
    if matches!(manner, Manner::GoAway) {
        connection.abrupt_shutdown(Reason::NO_ERROR);
        while connection.accept().await.is_some() {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        return None;
    }
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        calls.fetch_add(1, Ordering::Relaxed);
        let mut body = request.into_body();
        // Only the connection makes progress on its streams, so the body is read beside it.
        let mut reading = std::pin::pin!(async {
            while let Some(Ok(chunk)) = body.data().await {
                let _ = body.flow_control().release_capacity(chunk.len());
            }
        });
        if !matches!(manner, Manner::Freeze) {
            tokio::select! {
                () = &mut reading => {}
                _ = std::future::poll_fn(|cx| connection.poll_closed(cx)) => return None,
            }
        }
        match manner {
            Manner::HangUp => return None,
            Manner::Refuse => respond.send_reset(Reason::REFUSED_STREAM),
            Manner::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
            Manner::Freeze => {
                std::mem::forget(respond);
                return Some(connection);
            }
            Manner::GoAway => {}
        }
    }
    None
}
