//! A small HTTP server that stays up through the drain: probes and `/prestop` must answer until the end.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::drain::Drain;

/// Connections at once: probes, a scraper and a few people. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;
/// A client that sends no complete head in this time is dropped, so that it cannot hold a place.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// What answers in flight get once the drain has finished.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of file descriptors, mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves `app` until `drain` has finished.
pub async fn serve(listener: TcpListener, app: Router, drain: Drain) {
    serve_with(listener, drain, |stream, slot, graceful| {
        let app = app.clone().layer(Extension(Caller::of(&stream)));
        tokio::spawn(connection(stream, slot, app, graceful.watcher()));
    })
    .await;
}

/// Who is connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// From this machine, or this pod.
    pub(super) is_local: bool,
}

impl Caller {
    fn of(stream: &TcpStream) -> Self {
        let is_local = stream
            .peer_addr()
            .is_ok_and(|addr| addr.ip().to_canonical().is_loopback());
        Self { is_local }
    }
}

/// The same over HTTPS.
#[cfg(feature = "tls")]
pub async fn serve_tls(listener: TcpListener, app: Router, tls: crate::tls::Server, drain: Drain) {
    serve_with(listener, drain, |stream, slot, graceful| {
        let (app, tls, watcher) = (app.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            match tls.accept(stream).await {
                Ok(stream) => connection(stream, slot, app, watcher).await,
                Err(err) => tracing::debug!(error = %err, "admin connection ended"),
            }
        });
    })
    .await;
}

async fn serve_with(
    listener: TcpListener,
    drain: Drain,
    start: impl Fn(TcpStream, OwnedSemaphorePermit, &GracefulShutdown),
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut finished = pin!(drain.finished());
    loop {
        let accepted = tokio::select! {
            _ = &mut finished => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => start(stream, slot, &graceful),
            Err(err) => {
                tracing::warn!(error = %err, "accept failed on the admin port");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    // Late clients are cut off; the process is about to end.
    let _ = tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection<T>(stream: T, slot: OwnedSemaphorePermit, app: Router, watcher: Watcher)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT);
    let conn = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .into_owned();
    if let Err(err) = watcher.watch(conn).await {
        tracing::debug!(error = %err, "admin connection ended");
    }
    drop(slot);
}
