//! Something on a peer's port that does what no router should: hangs up, refuses streams, says nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use h2::Reason;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
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
        let addr = listener.local_addr().expect("bound");
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            // Ended with the impostor.
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("accepts");
                connections.spawn(connection(socket, manner, seen.clone()));
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

async fn connection(socket: TcpStream, manner: Manner, calls: Arc<AtomicUsize>) {
    if matches!(manner, Manner::GoAway) {
        // Who is called by a router that ends is done then.
        let _ = go_away(socket, &calls).await;
        return;
    }
    let handshake = h2::server::handshake(socket).await;
    let mut connection = handshake.expect("routers speak HTTP/2");
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
                _ = std::future::poll_fn(|cx| connection.poll_closed(cx)) => return,
            }
        }
        match manner {
            Manner::HangUp | Manner::GoAway => return,
            Manner::Refuse => respond.send_reset(Reason::REFUSED_STREAM),
            Manner::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
            Manner::Freeze => return std::future::pending().await,
        }
    }
}

/// HTTP/2 by hand: a library would look at the stream.
async fn go_away(mut socket: TcpStream, calls: &AtomicUsize) -> std::io::Result<()> {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    socket.read_exact(&mut [0; PREFACE]).await?;
    socket.write_all(b"\0\0\0\x04\0\0\0\0\0").await?;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await?;
        let [a, b, c, kind, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        socket.read_exact(&mut vec![0; length]).await?;
        if kind == HEADERS {
            calls.fetch_add(1, Ordering::Relaxed);
            // The last stream that was looked at is 0, and there is no error.
            socket
                .write_all(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")
                .await?;
        }
    }
}
