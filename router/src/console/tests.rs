use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

#[derive(Debug, Default)]
struct Shelf {
    models: Vec<Model>,
    asked: AtomicUsize,
}

impl Source for Shelf {
    fn page(&self, after: &str, limit: usize) -> Vec<Model> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.models
            .iter()
            .filter(|model| model.model_id.as_str() > after)
            .take(limit)
            .cloned()
            .collect()
    }

    fn memory(&self) -> Memory {
        Memory {
            capacity_bytes: 1_000,
            used_bytes: 300,
        }
    }
}

fn model(name: &str, state: &str, size_bytes: u64, last_used_ms: u64) -> Model {
    Model {
        name: name.into(),
        model_id: format!("{name}-0"),
        state: state.into(),
        size_bytes,
        last_used_ms,
        ..Model::default()
    }
}

fn shelf(models: Vec<Model>) -> Arc<Shelf> {
    Arc::new(Shelf {
        models,
        ..Shelf::default()
    })
}

async fn get_json(app: &Router, path: &str) -> Value {
    let response = app
        .clone()
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn names(answer: &Value) -> Vec<&str> {
    answer["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn models_and_what_they_add_up_to() {
    let app = app(shelf(vec![
        model("a", "NOT_LOADED", 0, 0),
        model("b", "LOADED", 100, 5),
        model("c", "LOADING_FAILED", 0, 7),
        model("d", "LOADED", 200, 9),
    ]));
    let answer = get_json(&app, "/models.json").await;
    assert_eq!(names(&answer), ["d", "c", "b", "a"]);
    for (key, value) in [
        ("total", 4),
        ("loaded", 2),
        ("failed", 1),
        ("used_bytes", 300),
        ("capacity_bytes", 1_000),
        ("matching", 4),
    ] {
        assert_eq!(answer[key], value, "{key}");
    }
    assert_eq!(answer["complete"], true);
}

#[tokio::test]
async fn filters_by_name() {
    let app = app(shelf(vec![
        model("Iris", "LOADED", 1, 1),
        model("digits", "LOADED", 1, 1),
    ]));
    let answer = get_json(&app, "/models.json?q=%20iRi").await;
    assert_eq!(names(&answer), ["Iris"]);
    assert_eq!((&answer["matching"], &answer["total"]), (&1.into(), &2.into()));
    assert!(names(&get_json(&app, "/models.json?q=nothing").await).is_empty());
}

#[tokio::test]
async fn answers_are_bounded_and_listing_is_shared() {
    let models = (0..2_500)
        .map(|i| model(&format!("m{i:04}"), "NOT_LOADED", 0, 0))
        .collect();
    let shelf = shelf(models);
    let app = app(Arc::<Shelf>::clone(&shelf));
    let answer = get_json(&app, "/models.json").await;
    assert_eq!((names(&answer).len(), &answer["total"]), (SHOWN, &2_500.into()));
    let asked = shelf.asked.load(Ordering::Relaxed);
    assert_eq!(asked, 4, "three pages with models and an empty one");
}

#[tokio::test]
async fn a_list_is_kept_for_a_moment() {
    for (fresh, lists) in [(Duration::from_hours(1), 1), (Duration::ZERO, 2)] {
        let shelf = shelf(vec![model("a", "LOADED", 1, 1)]);
        let app = routes(Arc::<Shelf>::clone(&shelf), fresh);
        get_json(&app, "/models.json").await;
        let asked = shelf.asked.load(Ordering::Relaxed);
        get_json(&app, "/models.json?q=b").await;
        assert_eq!(shelf.asked.load(Ordering::Relaxed), lists * asked);
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let app = app(shelf(vec![]));
    let response = app
        .oneshot(Request::get("/").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
    let page = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let elsewhere: Vec<_> = page
        .match_indices("//")
        .map(|(at, _)| &page[at.saturating_sub(6)..at])
        .collect();
    let names_only = elsewhere
        .iter()
        .all(|before| before.ends_with("http:") || !before.ends_with(':'));
    assert!(names_only, "{elsewhere:?}");
    assert!(!page.contains("src=") && !page.contains("@import") && !page.contains("innerHTML"));
}
