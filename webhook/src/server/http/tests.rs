use axum::body::to_bytes;
use kit::drain::Drain;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

const PATH: &str = "/validate-serving-kserve-io-v1beta1-inferenceservice";

fn app(limits: Limits) -> (Arc<App>, Registry) {
    let mut registry = Registry::default();
    let app = App {
        snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
        options: Options::default(),
        limits,
        metrics: Metrics::new(&mut registry),
        drain: Drain::new(Duration::ZERO),
    };
    (Arc::new(app), registry)
}

async fn ask(app: &Arc<App>, request: Request) -> (StatusCode, HeaderMap, String) {
    let response = router(app).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (
        head.status,
        head.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn post(path: &str, body: impl Into<Body>) -> Request {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

fn review(predictor: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"},
            "operation": "CREATE",
            "name": "iris",
            "namespace": "ns",
            "object": {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {"name": "iris", "namespace": "ns"},
                "spec": {"predictor": predictor},
            },
        },
    })
    .to_string()
}

#[tokio::test]
async fn a_review_is_answered_and_counted() {
    let (app, registry) = app(Limits::new(1, 1 << 20));
    let (status, headers, body) = ask(&app, post(PATH, review(&json!({})))).await;
    assert_eq!(
        (status, &headers[header::CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&answer["response"]["uid"], &answer["response"]["allowed"]),
        (&json!("u"), &json!(false))
    );
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for part in [
        r#"reviews_total{purpose="validate",kind="InferenceService",operation="CREATE",verdict="denied"} 1"#,
        "stowage_webhook_reviews_in_flight 0",
        r#"review_duration_seconds_count{purpose="validate"} 1"#,
        r#"severity="deny"} "#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn what_is_no_review_gets_a_reason() {
    let (app, _) = app(Limits::new(8, 1 << 20));
    let (status, _, text) = ask(&app, post(PATH, "{")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("no AdmissionReview"), "{text}");
    let (status, _, _) = ask(&app, post("/mutate-pods", "{}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let get = Request::get(PATH).body(Body::empty()).unwrap();
    assert_eq!(ask(&app, get).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let yaml = Request::post(PATH)
        .header(header::CONTENT_TYPE, "application/yaml")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&app, yaml).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn bodies_are_bounded_with_and_without_a_length() {
    let (app, _) = app(Limits::new(8, 1000));
    let large = vec![b' '; 1001];
    let mut announced = post(PATH, large.clone());
    announced
        .headers_mut()
        .insert(header::CONTENT_LENGTH, 1001.into());
    assert_eq!(ask(&app, announced).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _, text) = ask(&app, post(PATH, large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("1000 bytes"), "{text}");
}

#[tokio::test]
async fn a_large_review_is_answered_too() {
    let (app, _) = app(Limits::new(8, 7 << 20));
    let padding = "x".repeat(LARGE);
    let body = review(&json!({"model": {"modelFormat": {"name": "sklearn"}, "args": [padding]}}));
    let (status, _, body) = ask(&app, post(PATH, body)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains(r#""allowed":true"#), "{body}");
}

#[tokio::test]
async fn what_is_too_much_is_sent_away_at_once() {
    let (app, _) = app(Limits::new(1, 1 << 20));
    let held = app.limits.take(1).unwrap();
    let (status, headers, _) = ask(&app, post(PATH, review(&json!({})))).await;
    assert_eq!(
        (status, &headers[header::RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
    );
    drop(held);
    assert_eq!(ask(&app, post(PATH, review(&json!({})))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_api_servers_timeout_is_the_deadline() {
    let (app, _) = app(Limits::new(1, 1 << 20));
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let path = format!("{PATH}?timeout=10ms");
    assert_eq!(
        ask(&app, post(&path, never)).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(timeout(Some("timeout=10s")), Some(Duration::from_secs(10)));
    assert_eq!(timeout(Some("a=b&timeout=1m30s")), Some(Duration::from_secs(90)));
    assert_eq!(timeout(Some("timeout=soon")), None);
}
