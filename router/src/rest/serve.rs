//! HTTP/1.1 and HTTP/2 connections of the REST side.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use kit::drain::Drain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};

use crate::listen::Tls;

/// A client that sends no complete head in this time gives its place to another one; so does an idle one.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Read buffer of an HTTP/1 connection, and so the largest head.
const BUFFER: usize = 128 << 10;
/// Receive windows of HTTP/2, as on the gRPC side.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Pause after the kernel refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts up to `connections` at once until the drain starts. Requests in flight hold the drain up, idle
/// connections are closed.
pub async fn serve(listener: TcpListener, app: Router, connections: usize, tls: Option<Tls>, drain: Drain) {
    let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let builder = Arc::new(builder());
    loop {
        let place = tokio::select! {
            () = drain.started() => return,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = drain.started() => return,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (app, builder, tls, drain) = (app.clone(), builder.clone(), tls.clone(), drain.clone());
        tokio::spawn(async move {
            let _place = place;
            let _guard = drain.guard();
            if let Err(error) = secured(socket, app, &builder, tls, &drain).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(HEAD_TIMEOUT);
    builder
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn secured(
    socket: TcpStream,
    app: Router,
    builder: &Builder<TokioExecutor>,
    tls: Option<Tls>,
    drain: &Drain,
) -> Ended {
    socket.set_nodelay(true).map_err(io::Error::other)?;
    match tls {
        None => connection(socket, app, builder, drain).await,
        Some(tls) => {
            let socket = tokio::select! {
                socket = tls.accept(socket) => socket?,
                () = drain.started() => return Ok(()),
            };
            connection(socket, app, builder, drain).await
        }
    }
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: T,
    app: Router,
    builder: &Builder<TokioExecutor>,
    drain: &Drain,
) -> Ended {
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(app)));
    tokio::select! {
        end = connection.as_mut() => return end,
        () = drain.started() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
