//! A page for people: which models there are, which of them are in memory, and how much traffic they see.
//!
//! `/` is one static page without anything from elsewhere; it asks `/models.json` here and the `/metrics` beside it.

use std::{
    cmp::Reverse,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::mesh_v1::Model;
use axum::{
    Json, Router,
    extract::{Query, State},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};

use crate::{cache::CacheUsage, mesh::Mesh};

const PAGE: &str = include_str!("console/page.html");

/// The page runs its own script and talks to its own address, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Models in one answer; the page filters on the server, nobody reads more.
const SHOWN: usize = 200;

/// Models that are looked at; the answer says when there are more.
const MAX_MODELS: usize = 100_000;

/// Models asked for at a time: short holds of the registry's lock.
const CHUNK: usize = 1_000;

/// However many pages are open, the models are listed no more often.
const FRESH: Duration = Duration::from_secs(1);

/// What the page shows.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// At most `limit` models with an id after `after`, in order of id.
    fn page(&self, after: &str, limit: usize) -> Vec<Model>;
    /// Memory for models.
    fn memory(&self) -> Memory;
}

/// Memory for models, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What there is.
    pub capacity_bytes: u64,
    /// What is taken.
    pub used_bytes: u64,
}

impl Source for Mesh {
    fn page(&self, after: &str, limit: usize) -> Vec<Model> {
        self.list(after, limit)
    }

    fn memory(&self) -> Memory {
        let CacheUsage {
            capacity_bytes,
            used_bytes,
            ..
        } = self.cache().usage();
        Memory {
            capacity_bytes,
            used_bytes,
        }
    }
}

/// `/` and `/models.json`, to be mounted beside `/metrics`.
pub fn app(source: Arc<dyn Source>) -> Router {
    routes(source, FRESH)
}

fn routes(source: Arc<dyn Source>, fresh: Duration) -> Router {
    let console = Arc::new(Console {
        source,
        fresh,
        listed: Mutex::new(None),
    });
    Router::new()
        .route("/", get(page))
        .route("/models.json", get(models))
        .with_state(console)
}

#[derive(Debug)]
struct Console {
    source: Arc<dyn Source>,
    /// How old a list may be that is shown once more.
    fresh: Duration,
    listed: Mutex<Option<(Instant, Arc<Listed>)>>,
}

/// All models, most interesting first, and what they add up to.
#[derive(Debug, Default)]
struct Listed {
    models: Vec<Model>,
    loaded: usize,
    failed: usize,
    complete: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// Part of a name, in any case.
    #[serde(default)]
    q: String,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    version: &'static str,
    now_ms: u64,
    #[serde(flatten)]
    memory: Memory,
    total: usize,
    /// Whether `total` and the sums are of all models.
    complete: bool,
    loaded: usize,
    failed: usize,
    /// Models that have `q` in their name.
    matching: usize,
    models: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    model_id: &'a str,
    state: &'a str,
    size_bytes: u64,
    last_used_ms: u64,
    loads: u64,
    evictions: u64,
    r#type: &'a str,
    path: &'a str,
    error: &'a str,
}

impl<'a> From<&'a Model> for Row<'a> {
    fn from(model: &'a Model) -> Self {
        Self {
            name: &model.name,
            model_id: &model.model_id,
            state: &model.state,
            size_bytes: model.size_bytes,
            last_used_ms: model.last_used_ms,
            loads: model.loads,
            evictions: model.evictions,
            r#type: &model.r#type,
            path: &model.path,
            error: &model.error,
        }
    }
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE)).into_response()
}

const HEADERS: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

async fn models(State(console): State<Arc<Console>>, Query(wanted): Query<Wanted>) -> Response {
    let Some(listed) = console.listed().await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "models cannot be listed\n").into_response();
    };
    let part = wanted.q.trim().to_lowercase();
    let matches = |model: &&Model| part.is_empty() || model.name.to_lowercase().contains(&part);
    let answer = Answer {
        version: env!("CARGO_PKG_VERSION"),
        now_ms: now_ms(),
        memory: console.source.memory(),
        total: listed.models.len(),
        complete: listed.complete,
        loaded: listed.loaded,
        failed: listed.failed,
        matching: listed.models.iter().filter(matches).count(),
        models: listed
            .models
            .iter()
            .filter(matches)
            .take(SHOWN)
            .map(Row::from)
            .collect(),
    };
    (HEADERS, Json(answer)).into_response()
}

impl Console {
    /// A list that is no older than `fresh`. Those who ask at the same time share one.
    async fn listed(&self) -> Option<Arc<Listed>> {
        let mut kept = self.listed.lock().await;
        if let Some((at, listed)) = &*kept
            && at.elapsed() < self.fresh
        {
            return Some(Arc::clone(listed));
        }
        let source = Arc::clone(&self.source);
        // Sorting tens of thousands of models takes milliseconds, which belong to requests.
        let listed = match tokio::task::spawn_blocking(move || Listed::of(&*source)).await {
            Ok(listed) => Arc::new(listed),
            Err(err) => {
                tracing::error!(error = %err, "models cannot be listed");
                return None;
            }
        };
        *kept = Some((Instant::now(), Arc::clone(&listed)));
        Some(listed)
    }
}

impl Listed {
    fn of(source: &dyn Source) -> Self {
        let mut listed = Self::default();
        let mut after = String::new();
        loop {
            let page = source.page(&after, CHUNK);
            let Some(last) = page.last() else {
                listed.complete = true;
                break;
            };
            after.clone_from(&last.model_id);
            listed.models.extend(page);
            if listed.models.len() >= MAX_MODELS {
                listed.complete = source.page(&after, 1).is_empty();
                break;
            }
        }
        for model in &listed.models {
            match model.state.as_str() {
                "LOADED" => listed.loaded += 1,
                "LOADING_FAILED" => listed.failed += 1,
                _ => {}
            }
        }
        // What is in memory or failed comes before what was never asked for, the latest use first.
        listed.models.sort_by_cached_key(|model| {
            (
                model.state == "NOT_LOADED",
                Reverse(model.last_used_ms),
                model.name.clone(),
            )
        });
        listed
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
