use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use super::*;

async fn get(app: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .map(|v| v.to_str().unwrap().to_owned());
    let (status, body) = (
        response.status(),
        response.into_body().collect().await.unwrap().to_bytes(),
    );
    (
        status,
        kind.unwrap_or_default(),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn readiness_has_a_reason() {
    let (readiness, drain) = (
        Readiness::new("waiting for the runtime"),
        Drain::new(Duration::from_secs(1)),
    );
    let app = probes(readiness.clone(), drain.clone());
    let (status, _, body) = get(&app, "/ready").await;
    assert_eq!(
        (status, &*body),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: waiting for the runtime\n"
        )
    );
    assert_eq!(get(&app, "/live").await.0, StatusCode::OK);

    readiness.set_ready();
    readiness.ready().await;
    assert_eq!(get(&app, "/ready").await.0, StatusCode::OK);

    readiness.set_unready("store lost");
    assert!(!readiness.is_ready());
    assert!(get(&app, "/ready").await.2.contains("store lost"));

    readiness.set_ready();
    drain.start();
    let (status, _, body) = get(&app, "/ready").await;
    assert_eq!(
        (status, &*body),
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n")
    );
    assert_eq!(get(&app, "/live").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let mut registry = Registry::default();
    let loads = Counter::<u64>::default();
    registry.register("stowage_loads", "Loads", loads.clone());
    loads.inc_by(3);
    let (status, kind, body) = get(&metrics(Arc::new(registry)), "/metrics").await;
    assert_eq!((status, &*kind), (StatusCode::OK, OPENMETRICS));
    assert!(
        body.contains("stowage_loads_total 3\n") && body.ends_with("# EOF\n"),
        "{body}"
    );
}

#[tokio::test]
async fn prestop_answers_when_the_drain_ends() {
    let drain = Drain::new(Duration::from_hours(1));
    let app = prestop(drain.clone(), Duration::from_hours(1));
    let guard = drain.guard();
    let answer = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/prestop").await.2 }
    });
    drain.start();
    tokio::task::yield_now().await;
    assert!(!answer.is_finished());
    drop(guard);
    assert_eq!(answer.await.unwrap(), "drained\n");
}

#[tokio::test]
async fn prestop_is_bounded() {
    let drain = Drain::new(Duration::from_millis(1));
    let app = prestop(drain.clone(), Duration::from_millis(10));
    assert_eq!(get(&app, "/prestop").await.2, "no drain within 10ms\n");
    let app = prestop(drain.clone(), Duration::from_hours(1));
    let _guard = drain.guard();
    drain.start();
    assert_eq!(
        get(&app, "/prestop").await.2,
        "drain deadline passed with 1 in flight\n"
    );
}

/// One HTTP/1.1 exchange over a socket.
async fn exchange(addr: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_server_outlives_the_start_of_the_drain() {
    let drain = Drain::new(Duration::from_secs(30));
    let readiness = Readiness::new("");
    readiness.set_ready();
    let app = probes(readiness, drain.clone()).merge(prestop(drain.clone(), Duration::from_mins(1)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, app, drain.clone()));
    assert!(exchange(addr, "/ready").await.starts_with("HTTP/1.1 200"));

    let guard = drain.guard();
    drain.start();
    let hook = tokio::spawn(exchange(addr, "/prestop"));
    assert!(exchange(addr, "/ready").await.starts_with("HTTP/1.1 503"));
    drop(guard);
    assert!(hook.await.unwrap().ends_with("drained\n"));
    server.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn only_this_machine_may_start_the_drain() {
    let drain = Drain::new(Duration::from_secs(1));
    let app = prestop(drain.clone(), Duration::from_hours(1));
    // Who calls is known to the server alone: without one it is nobody.
    let request = Request::post("/prestop/start").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!drain.is_started());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, app, drain.clone()));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(
            b"POST /prestop/start HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )
        .await
        .unwrap();
    drain.started().await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("drained\n"), "{answer}");
}
