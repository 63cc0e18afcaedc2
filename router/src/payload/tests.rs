use http::HeaderValue;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tonic::Code;

use super::*;

fn options(uris: &str) -> PayloadOptions {
    PayloadOptions {
        processors: processors(uris).unwrap(),
        threads: 2,
        capacity: 4,
        metadata: MetadataRule::Safe,
        trust: Vec::new(),
    }
}

fn ended() -> Ended {
    Ended {
        code: Code::Ok,
        model: "iris-1".into(),
        vmodel: Some("iris".into()),
    }
}

/// A server that hands on what it gets.
async fn receiver() -> (String, mpsc::Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/events", listener.local_addr().unwrap());
    let (send, events) = mpsc::channel(16);
    let app = axum::Router::new().route(
        "/events",
        axum::routing::post(async move |request: axum::extract::Request| {
            assert_eq!(request.headers()["content-type"], "application/json");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            send.send(serde_json::from_slice(&body).unwrap()).await.unwrap();
        }),
    );
    tokio::spawn(kit::admin::serve(
        listener,
        app,
        kit::drain::Drain::new(Duration::ZERO),
    ));
    (uri, events)
}

fn call(payloads: &Payloads, request: &[u8], response: &[u8]) {
    let headers = [("x-color", "red"), ("authorization", "secret")];
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let tap = payloads.tap("/a.B/predict", &headers).unwrap();
    for chunk in request.chunks(3) {
        tap.request(chunk);
    }
    tap.response(response);
    tap.finish(ended());
}

#[tokio::test]
async fn a_call_is_two_events() {
    let (uri, mut events) = receiver().await;
    let metrics = PayloadMetrics::default();
    let payloads = Payloads::start(options(&format!("{uri}?iris#predict")), metrics.clone()).unwrap();
    call(&payloads, b"\0\0\0\0\x02hi", b"\0\0\0\0\x03you");
    let request = events.recv().await.unwrap();
    assert_eq!(
        request,
        serde_json::json!({
            "id": "1", "modelid": "iris-1", "vModelId": "iris", "method": "a.B/predict", "data": "aGk=",
            "kind": "request", "status": "", "metadata": {"x-color": "red"},
        })
    );
    let response = events.recv().await.unwrap();
    assert_eq!(
        (&response["kind"], &response["status"], &response["data"]),
        (&"response".into(), &"OK".into(), &"eW91".into())
    );
    // Nobody asked for these.
    assert!(payloads.tap("/a.B/other", &HeaderMap::new()).is_none());
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Accepts, and never answers.
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let metrics = PayloadMetrics::default();
    let payloads = Payloads::start(options(&uri), metrics.clone()).unwrap();
    // Nobody runs in between: four wait, no consumer has looked yet.
    for _ in 0..6 {
        call(&payloads, b"\0\0\0\0\0", b"");
    }
    assert_eq!(metrics.get(Outcome::dropped_queue), 2);

    let tap = payloads.tap("/a.B/predict", &HeaderMap::new()).unwrap();
    let chunk = vec![0; 1 << 20];
    for _ in 0..=MEMORY / chunk.len() {
        tap.request(&chunk);
    }
    assert_eq!(metrics.get(Outcome::dropped_memory), 1);
    tap.finish(ended());
    // All of it was given back.
    let again = payloads.tap("/a.B/predict", &HeaderMap::new()).unwrap();
    for _ in 0..MEMORY / chunk.len() - 1 {
        again.request(&chunk);
    }
    assert_eq!(metrics.get(Outcome::dropped_memory), 1);
}
