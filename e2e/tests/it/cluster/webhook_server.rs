//! A webhook server: HTTPS on loopback, answers from a function.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Json, Router, routing::post, serve::Listener};
use e2e::cluster::certificates::Pair;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Ends with its test.
pub(super) struct WebhookServer {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl WebhookServer {
    /// Answers every request of an `AdmissionReview` with the `response` that `answer` gives.
    pub(super) async fn start(
        pair: &Pair,
        answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static,
    ) -> Self {
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("certificate and key belong together");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!(
            "https://{}/review",
            listener.local_addr().expect("the port is known")
        );
        let review = move |Json(mut review): Json<Value>| {
            let mut response = answer(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            review["request"] = Value::Null;
            review["response"] = response;
            async move { Json(review) }
        };
        let router = Router::new().route("/review", post(review));
        let tls = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let task = tokio::spawn(async move {
            axum::serve(tls, router)
                .await
                .expect("serving ends with the test");
        });
        Self { url, task }
    }
}

impl Drop for WebhookServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, addr) = self.listener.accept().await.expect("the port stays open");
            // A client that does not trust us is its own problem: the API server tells the test.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
