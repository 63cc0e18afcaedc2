//! TLS connections, HTTP/1.1 and HTTP/2, and their end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use kit::drain::Drain;
use rustls::{ServerConfig, server::ResolvesServerCert};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;

/// Connections at once. An API server keeps a handful; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// Reviews at once on one HTTP/2 connection; an API server opens another one above that.
const MAX_STREAMS: u32 = 256;
/// Headers of a request.
const MAX_HEADERS: u32 = 32 << 10;
/// A client that is not done with the handshake, or with a head, in this time is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often an idle HTTP/2 connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Pause after a failed accept: out of file descriptors, mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// TLS 1.2 and 1.3 with HTTP/2 preferred, and the certificate that `resolver` has at the moment.
pub fn tls(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until `drain` has started and `delay` has passed, then lets what is in flight finish.
pub async fn serve(listener: TcpListener, tls: ServerConfig, app: Router, drain: Drain, delay: Duration) {
    // The drain ends after the last answer, not in a moment without requests.
    let _serving = drain.guard();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let end = async {
        drain.started().await;
        tokio::time::sleep(delay).await;
    };
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let connection = connection(stream, acceptor.clone(), app.clone(), graceful.watcher());
                tokio::spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(err) => {
                tracing::warn!(error = %err, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let deadline = drain.deadline().unwrap_or_else(Instant::now);
    if timeout_at(deadline, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the shutdown");
    }
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
    // Only slower without it.
    let _: io::Result<()> = stream.set_nodelay(true);
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, app: Router, watcher: Watcher) {
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => {
            tracing::debug!(error = %err, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("TLS handshake took too long");
            return;
        }
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(KEEP_ALIVE);
    let served = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .into_owned();
    if let Err(err) = watcher.watch(served).await {
        tracing::debug!(error = %err, "connection ended");
    }
}
