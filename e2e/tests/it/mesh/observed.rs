//! What a router tells of its calls: log lines, metrics, payload processors.

use e2e::mesh::{Pod, Settings, get};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tonic::Code;

use super::tools::{check_said, check_serves, mesh, until};

/// Log lines about calls, as JSON.
fn lines(pod: &Pod) -> Vec<Value> {
    pod.output()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "call ended")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_headers_are_logged_and_no_others() {
    let settings = Settings::default()
        .env("MM_LOG_EACH_INVOKE", "true")
        .env("MM_LOG_REQUEST_HEADERS", r#"{"x-tenant": "tenant"}"#);
    let mesh = mesh(settings).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    let predictor = pod.predictor().expect("a channel");
    let metadata = [
        ("mm-model-id", "m"),
        ("x-tenant", "acme"),
        ("x-private", "hushed"),
    ];
    let answer = predictor.call(&metadata, "", "hello").await;
    check_said(answer, "hello", "m");
    until("the line", async || {
        lines(pod)
            .iter()
            .any(|line| line["method"] == "/mmesh.ExamplePredictor/predict")
    })
    .await;
    let line = lines(pod)
        .into_iter()
        .find(|line| line["method"] == "/mmesh.ExamplePredictor/predict")
        .expect("there");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["model"], "m");
    assert_eq!(line["code"], "OK");
    assert_eq!(line["headers"], r#"{"tenant":"acme"}"#);
    assert!(!pod.output().contains("hushed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_not_logged_unless_it_is_asked_for() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    check_serves(pod, "m").await;
    // The counts are written after the line would be.
    until("the call to be counted", async || count(pod).await > 0.0).await;
    assert_eq!(lines(pod), Vec::<Value>::new());
}

async fn count(pod: &Pod) -> f64 {
    let series = r#"modelmesh_api_request_milliseconds_count{method="predict",code="OK"}"#;
    pod.metric(series).await.expect("metrics")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_exactly() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    let predictor = pod.predictor().expect("a channel");
    for n in 0..40 {
        if n % 4 == 0 {
            let failed = predictor.ask("m", "test:error:code=ABORTED:message=no").await;
            assert_eq!(failed.expect_err("it fails").0, Code::Aborted);
        } else {
            check_serves(pod, "m").await;
        }
    }
    until("all calls to be counted", async || count(pod).await >= 30.0).await;
    // Whole numbers, compared as they are written.
    let metric = async |series: &str| pod.metric(series).await.expect("metrics").to_string();
    let labels = |code: &str| format!(r#"{{method="predict",code="{code}"}}"#);
    for (code, calls) in [("OK", "30"), ("ABORTED", "10")] {
        for name in ["api_request", "invoke_model"] {
            let series = format!("modelmesh_{name}_milliseconds_count{}", labels(code));
            assert_eq!(metric(&series).await, calls, "{series}");
        }
        let slowest = format!(
            r#"modelmesh_api_request_milliseconds_bucket{{le="+Inf",method="predict",code="{code}"}}"#
        );
        let text = pod.metrics().await.expect("metrics");
        assert!(
            text.lines().any(|line| {
                line.starts_with("modelmesh_api_request_milliseconds_bucket")
                    && line.contains(r#"le="+Inf""#)
                    && line.contains(&format!(r#"code="{code}""#))
                    && line.ends_with(&format!(" {calls}"))
            }),
            "{slowest}: {text}"
        );
    }
    assert_eq!(metric("modelmesh_loadmodel_milliseconds_count").await, "1");
    assert_eq!(metric("modelmesh_models_managed_total").await, "1");
    assert_eq!(metric("modelmesh_instance_models_total").await, "1");
    assert_eq!(metric("modelmesh_loaded_model_size_bytes_sum").await, "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_methods_models_and_the_instance() {
    let ports = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has ports");
    let port = ports.local_addr().expect("bound").port();
    drop(ports);
    let settings = Settings::default()
        .env(
            "MM_METRICS",
            format!("prometheus:port={port};scheme=http;fq_names=true;per_model_metrics=true"),
        )
        .env("MM_INFO_METRICS", "assistant_info;pod=WKUBE_POD_NAME,color=COLOR")
        .env("COLOR", "red");
    let mesh = mesh(settings).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    check_serves(pod, "m").await;
    let info = format!(r#"assistant_info{{pod="{}",color="red"}} 1"#, pod.name());
    until("the labels", async || {
        let (_, text) = get(port, "/metrics").await.expect("metrics");
        text.contains(&info)
            && text.contains(
                r#"modelmesh_api_request_milliseconds_count{method="mmesh.ExamplePredictor/predict",code="OK",modelId="m",vModelId=""} 1"#,
            )
    })
    .await;
}

/// A server that hands on the events that it gets.
async fn receiver() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has ports");
    let address = listener.local_addr().expect("bound");
    let (send, events) = mpsc::channel(64);
    let app = axum::Router::new().route(
        "/events",
        axum::routing::post(async move |request: axum::extract::Request| {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let event = serde_json::from_slice(&body).expect("JSON");
            send.send(event).await.expect("the test listens");
        }),
    );
    tokio::spawn(kit::admin::serve(
        listener,
        app,
        kit::drain::Drain::new(std::time::Duration::ZERO),
    ));
    (format!("http://{address}/events"), events)
}

async fn next(events: &mut mpsc::Receiver<Value>) -> Value {
    tokio::time::timeout(e2e::mesh::SOON, events.recv())
        .await
        .expect("in time")
        .expect("the receiver lives")
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_processors_get_what_they_ask_for() {
    let (uri, mut events) = receiver().await;
    let settings = Settings::default().env(
        "MM_PAYLOAD_PROCESSORS",
        format!("{uri}?wanted#predict {uri}?stable#mmesh.ExamplePredictor/predict"),
    );
    let mesh = mesh(settings).await;
    let pod = mesh.pod(0);
    for id in ["wanted", "other"] {
        pod.register(id, "SIZE_1000_0_0").await.expect("registered");
    }
    let mut management = pod.manage().expect("a channel");
    let vmodel = api::mmesh::SetVModelRequest {
        v_model_id: "stable".to_owned(),
        target_model_id: "other".to_owned(),
        ..Default::default()
    };
    management.set_v_model(vmodel).await.expect("set");
    let predictor = pod.predictor().expect("a channel");
    // Neither the model nor the vmodel.
    check_serves(pod, "other").await;
    let metadata = [
        ("mm-model-id", "wanted"),
        ("authorization", "Bearer hushed"),
        ("x-color", "red"),
    ];
    let answer = predictor.call(&metadata, "", "hello").await;
    check_said(answer, "hello", "wanted");
    let request = next(&mut events).await;
    assert_eq!(
        (&request["modelid"], &request["vModelId"], &request["kind"]),
        (&"wanted".into(), &Value::Null, &"request".into())
    );
    assert_eq!(request["status"], "");
    assert_eq!(request["metadata"]["x-color"], "red");
    assert!(!request.to_string().contains("hushed"), "{request}");
    // PredictRequest{text: "hello"}.
    assert_eq!(request["data"], "EgVoZWxsbw==");
    let response = next(&mut events).await;
    assert_eq!(
        (&response["kind"], &response["status"], &response["id"]),
        (&"response".into(), &"OK".into(), &request["id"])
    );
    assert_ne!(response["data"], "");

    let answer = predictor
        .call(
            &[("mm-vmodel-id", "stable")],
            "",
            "test:error:code=ABORTED:message=no",
        )
        .await;
    assert_eq!(answer.expect_err("it fails").0, Code::Aborted);
    let request = next(&mut events).await;
    assert_eq!(
        (&request["modelid"], &request["vModelId"]),
        (&"other".into(), &"stable".into())
    );
    let response = next(&mut events).await;
    assert_eq!(
        (&response["status"], &response["data"]),
        (&"ABORTED".into(), &"".into())
    );
    let sent = r#"stowage_payload_events_total{outcome="sent"}"#;
    until("the events to be counted", async || {
        pod.metric(sent).await.expect("metrics") >= 4.0
    })
    .await;
}

/// `SidecarModelMeshPayloadProcessingTest`: nobody listens, and nobody is held up.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_payload_processor_disturbs_nobody() {
    let settings = Settings::default()
        .env("MM_PAYLOAD_PROCESSORS", "http://127.0.0.1:9/events")
        .env("MM_PAYLOAD_PROCESSORS_CAPACITY", "2");
    let mut mesh = mesh(settings).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    for _ in 0..50 {
        check_serves(pod, "m").await;
    }
    until("failures to be counted", async || {
        let failed = r#"stowage_payload_events_total{outcome="failed"}"#;
        pod.metric(failed).await.expect("metrics") > 0.0
    })
    .await;
    mesh.check_running().expect("the router still runs");
}
