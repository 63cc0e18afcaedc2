//! Reviews per second of one core, and how long they take, over HTTPS connections that are kept, as an API server keeps
//! them:
//!
//! ```text
//! cargo bench -p webhook --bench https
//! ```
//!
//! The server has one thread and the clients another; both are in this process, so the machine needs two idle cores.

#![allow(clippy::print_stdout, reason = "what it measured")]

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, StatusCode};
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
    runtime::Builder,
    task::JoinSet,
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

const MUTATE: &str = "/mutate-serving-kserve-io-v1beta1-inferenceservice?timeout=10s";
const VALIDATE: &str = "/validate-serving-kserve-io-v1beta1-inferenceservice?timeout=10s";
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURE: Duration = Duration::from_secs(5);
/// Requests at once.
const AT_ONCE: usize = 8;

fn main() {
    // Cargo runs benches as tests too, with other arguments: a short run shows that it works.
    let short = !std::env::args().any(|arg| arg == "--bench");
    let (warm_up, measure) = if short {
        (Duration::ZERO, Duration::from_millis(100))
    } else {
        (WARM_UP, MEASURE)
    };
    let (addr, root) = serve();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("{AT_ONCE} requests at once, one thread for the server");
    println!(
        "{:<10} {:<9} {:>10} {:>9} {:>9} {:>9}",
        "protocol", "review", "per second", "p50 us", "p99 us", "max us"
    );
    for protocol in ["http/1.1", "h2"] {
        for (name, path, object) in [
            ("mutate", MUTATE, legacy()),
            ("validate", VALIDATE, model()),
            ("deny", VALIDATE, wrong()),
        ] {
            let body = review(&object);
            let load = Load {
                addr,
                root: &root,
                protocol,
                path,
                body: &body,
            };
            runtime.block_on(load.run(warm_up));
            let begin = Instant::now();
            let mut times = runtime.block_on(load.run(measure));
            let elapsed = begin.elapsed();
            times.sort_unstable();
            let at = |part: usize| {
                times
                    .get(times.len() * part / 1000)
                    .map_or(0, Duration::as_micros)
            };
            println!(
                "{protocol:<10} {name:<9} {:>10.0} {:>9} {:>9} {:>9}",
                times.len() as f64 / elapsed.as_secs_f64(),
                at(500),
                at(990),
                times.last().map_or(0, Duration::as_micros),
            );
        }
    }
}

/// Starts the server on a thread; its address and whom to trust.
fn serve() -> (SocketAddr, String) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let (now, day) = (SystemTime::now(), Duration::from_hours(24));
            let authority = Authority::generate(now, day).expect("an authority");
            let names = names("hook", "ns", &["127.0.0.1".to_owned()]);
            let leaf = authority.issue(&names, now, day).expect("a certificate");
            let metrics = Metrics::new(&mut Registry::default());
            let current = Current::new(Health::new(&[]), metrics.clone());
            current
                .offer(leaf.certificate.as_bytes(), leaf.key.as_bytes())
                .expect("a good pair");
            let drain = Drain::new(Duration::ZERO);
            let app = App {
                snapshot: Arc::new(ArcSwap::from_pointee(snapshot())),
                options: Options::default(),
                limits: Limits::new(256, 7 << 20),
                metrics,
                drain: drain.clone(),
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let addr = listener.local_addr().expect("an address");
            sender
                .send((addr, authority.pair.certificate))
                .expect("the main thread waits");
            let tls = listen::tls(Arc::new(current)).expect("TLS");
            listen::serve(listener, tls, router(&Arc::new(app)), drain, Duration::ZERO).await;
        });
    });
    receiver.recv().expect("the server starts")
}

/// As many runtimes as upstream installs, and some more.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::synced();
    for n in 0..20 {
        let format = ["sklearn", "xgboost", "onnx", "tensorflow", "huggingface"][n % 5];
        let runtime = json!({
            "kind": "ClusterServingRuntime",
            "metadata": {"name": format!("runtime-{n}")},
            "spec": {
                "containers": [{"name": "kserve-container"}],
                "protocolVersions": ["v1", "v2"],
                "supportedModelFormats": [{"name": format, "version": "1", "autoSelect": true, "priority": n + 1}],
            },
        });
        snapshot.observe(&runtime, "").expect("no configuration");
    }
    snapshot
}

fn service(predictor: &Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "iris",
            "namespace": "models",
            "labels": {"team": "a", "app.kubernetes.io/part-of": "shop"},
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        },
        "spec": {"predictor": predictor},
    })
}

fn legacy() -> Value {
    service(&json!({"sklearn": {"storageUri": "s3://bucket/models/iris"}, "minReplicas": 1}))
}

fn model() -> Value {
    service(&json!({
        "model": {
            "modelFormat": {"name": "sklearn"},
            "storageUri": "s3://bucket/models/iris",
            "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
        },
        "minReplicas": 1,
        "maxReplicas": 3,
    }))
}

fn wrong() -> Value {
    service(&json!({
        "containers": [{"name": "kserve-container", "image": "x", "env": [{"name": "PYTHONPATH", "value": "/x"}]}],
        "minReplicas": 3,
        "maxReplicas": 1,
    }))
}

fn review(object: &Value) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"},
            "resource": {"group": "serving.kserve.io", "version": "v1beta1", "resource": "inferenceservices"},
            "name": "iris",
            "namespace": "models",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:ci:deployer", "groups": ["system:authenticated"]},
            "object": object,
            "dryRun": false,
        },
    })
    .to_string()
    .into_bytes()
}

#[derive(Clone, Copy)]
struct Load<'a> {
    addr: SocketAddr,
    root: &'a str,
    protocol: &'static str,
    path: &'static str,
    body: &'a [u8],
}

impl Load<'_> {
    /// How long each request took.
    async fn run(&self, time: Duration) -> Vec<Duration> {
        let end = Instant::now() + time;
        let mut tasks = JoinSet::new();
        if self.protocol == "h2" {
            let stream = TokioIo::new(self.connect().await);
            let (send, connection) = conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .expect("HTTP/2");
            tokio::spawn(connection);
            for _ in 0..AT_ONCE {
                let (mut send, uri, body) = (
                    send.clone(),
                    format!("https://hook{}", self.path),
                    self.body.to_vec(),
                );
                tasks.spawn(async move {
                    let mut times = Vec::new();
                    while Instant::now() < end || times.is_empty() {
                        let begin = Instant::now();
                        let response = send.send_request(request(&uri, &body)).await.expect("an answer");
                        finish(response).await;
                        times.push(begin.elapsed());
                    }
                    times
                });
            }
        } else {
            for _ in 0..AT_ONCE {
                let stream = TokioIo::new(self.connect().await);
                let (mut send, connection) = conn::http1::handshake(stream).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                let (path, body) = (self.path, self.body.to_vec());
                tasks.spawn(async move {
                    let mut times = Vec::new();
                    while Instant::now() < end || times.is_empty() {
                        let begin = Instant::now();
                        send.ready().await.expect("the connection is kept");
                        let response = send.send_request(request(path, &body)).await.expect("an answer");
                        finish(response).await;
                        times.push(begin.elapsed());
                    }
                    times
                });
            }
        }
        tasks.join_all().await.concat()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root.as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![self.protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.addr).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake")
    }
}

fn request(uri: &str, body: &[u8]) -> Request<Body> {
    Request::post(uri)
        .header("host", "hook")
        .header("content-type", "application/json")
        .body(Body::from(body.to_vec()))
        .expect("a request")
}

async fn finish(response: http::Response<hyper::body::Incoming>) {
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(body.starts_with(b"{"));
}
