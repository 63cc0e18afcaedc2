//! What the admin address shows.

use http::StatusCode;
use serde_json::Value;

use crate::support::{Served, example, http, request};

#[tokio::test(flavor = "multi_thread")]
async fn page_models_metrics_and_probes() {
    let server = Served::start(&example("models")).await;
    let (status, answer) = server.infer("iris", &request("iris")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    let get = async |path: &str| {
        let (status, body) = http(&server.addresses.admin, "GET", path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}");
        String::from_utf8_lossy(&body).into_owned()
    };
    assert!(get("/").await.starts_with("<!doctype html>"));
    assert_eq!(get("/ready").await, "ready\n");
    assert_eq!(get("/live").await, "live\n");

    let list: Value = serde_json::from_str(&get("/models.json").await).expect("the list is JSON");
    assert_eq!((&list["loaded"], &list["total"]), (&1.into(), &7.into()));
    assert_eq!(list["capacity_bytes"], 1 << 30);
    assert!(
        list["used_bytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "{list}"
    );
    assert_eq!(list["models"][0]["name"], "iris");
    assert_eq!(list["models"][0]["state"], "LOADED");

    // What the page draws its rates from.
    let metrics = get("/metrics").await;
    let counted = metrics.lines().any(|line| {
        line.starts_with("modelmesh_api_request_milliseconds_count{") && line.contains("code=\"OK\"")
    });
    assert!(counted, "{metrics}");
    assert!(
        metrics.contains("modelmesh_api_request_milliseconds_bucket{"),
        "{metrics}"
    );
}
