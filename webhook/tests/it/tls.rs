//! The server over TLS on loopback: both versions of HTTP, and a shutdown in the middle of a review.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kit::drain::Drain;
use prometheus_client::registry::Registry;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use webhook::{
    Options, Snapshot,
    certs::{
        Current,
        issue::{Authority, names},
    },
    health::Health,
    server::{App, Limits, listen, metrics::Metrics, router},
};

const PATH: &str = "/validate-serving-kserve-io-v1beta1-inferenceservice?timeout=10s";

struct Server {
    addr: std::net::SocketAddr,
    root: String,
    drain: Drain,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let (now, day) = (SystemTime::now(), Duration::from_hours(24));
        let authority = Authority::generate(now, day).unwrap();
        let leaf = authority
            .issue(&names("hook", "ns", &["127.0.0.1".to_owned()]), now, day)
            .unwrap();
        let metrics = Metrics::new(&mut Registry::default());
        let current = Current::new(Health::new(&[]), metrics.clone());
        current
            .offer(leaf.certificate.as_bytes(), leaf.key.as_bytes())
            .unwrap();
        let drain = Drain::new(Duration::from_mins(1));
        let app = App {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            options: Options::default(),
            limits: Limits::new(8, 1 << 20),
            metrics,
            drain: drain.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tls = listen::tls(Arc::new(current)).unwrap();
        let serve = listen::serve(
            listener,
            tls,
            router(&Arc::new(app)),
            drain.clone(),
            Duration::ZERO,
        );
        Self {
            addr,
            root: authority.pair.certificate,
            drain,
            task: tokio::spawn(serve),
        }
    }

    async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        stream
    }
}

fn review() -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"},
            "operation": "CREATE",
            "object": {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"},
        },
    })
    .to_string()
    .into_bytes()
}

fn request(body: Body) -> Request<Body> {
    Request::post(PATH)
        .header("host", "hook")
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

async fn check(response: http::Response<hyper::body::Incoming>) {
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&answer["response"]["uid"], &answer["response"]["allowed"]),
        (&json!("u-1"), &json!(false))
    );
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_kept_alive() {
    let server = Server::start().await;
    let stream = TokioIo::new(server.connect("http/1.1").await);
    let (mut send, connection) = conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        send.ready().await.unwrap();
        check(send.send_request(request(Body::from(review()))).await.unwrap()).await;
    }
    let stream = TokioIo::new(server.connect("h2").await);
    let (mut send, connection) = conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let mut request = request(Body::from(review()));
        *request.uri_mut() = format!("https://hook{PATH}").parse().unwrap();
        *request.version_mut() = Version::HTTP_2;
        check(send.send_request(request).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_review_in_flight_outlives_the_listener() {
    let server = Server::start().await;
    let stream = TokioIo::new(server.connect("http/1.1").await);
    let (mut send, connection) = conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (chunks, mut receiver) = mpsc::channel::<Bytes>(1);
    let body = futures::stream::poll_fn(move |context| {
        receiver
            .poll_recv(context)
            .map(|chunk| chunk.map(Ok::<_, std::io::Error>))
    });
    let answer = tokio::spawn(send.send_request(request(Body::from_stream(body))));
    let text = review();
    let (begin, end) = text.split_at(text.len() / 2);
    chunks.send(Bytes::copy_from_slice(begin)).await.unwrap();
    // The handler holds a guard of the drain, beside the one of the listener.
    while server.drain.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    server.drain.start();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    chunks.send(Bytes::copy_from_slice(end)).await.unwrap();
    drop(chunks);
    check(answer.await.unwrap().unwrap()).await;
    server.task.await.unwrap();
    assert_eq!(server.drain.finished().await, kit::drain::Drained::Clean);
}
