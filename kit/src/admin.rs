//! Probes, metrics and the pre-stop hook, as parts that a service puts on one port or on several.
//!
//! No trace layer and no authentication: bind them to loopback or to a port that only the cluster reaches.

mod readiness;
mod serve;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::drain::{Drain, Drained};
pub use readiness::{Hold, Readiness};
pub use serve::serve;
#[cfg(feature = "tls")]
pub use serve::serve_tls;

/// Scrapes at once. One scraper is usual and two are a migration; each encodes the whole registry.
const MAX_SCRAPES: usize = 4;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/live` (200 while the event loop turns) and `/ready` (200, or 503 with the reason; 503 while draining).
pub fn probes(readiness: Readiness, drain: Drain) -> Router {
    let ready = move || {
        let reason = if drain.is_started() {
            Some("draining".into())
        } else {
            readiness.reason()
        };
        std::future::ready(match reason {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        })
    };
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
}

/// `/metrics`: the registry as `OpenMetrics` text.
pub fn metrics(registry: Arc<Registry>) -> Router {
    let state = Scrape {
        registry,
        slots: Arc::new(Semaphore::new(MAX_SCRAPES)),
    };
    Router::new().route("/metrics", get(scrape)).with_state(state)
}

/// `/prestop`: answers when the drain has finished, or after `longest`. For containers that must outlive the router in
/// their pod; it starts nothing itself. `POST /prestop/start` does, from this machine only, and then answers the same.
pub fn prestop(drain: Drain, longest: Duration) -> Router {
    let start = drain.clone();
    let wait = async move || match tokio::time::timeout(longest, drain.finished()).await {
        Ok(Drained::Clean) => "drained\n".to_owned(),
        Ok(Drained::Late(left)) => format!("drain deadline passed with {left} in flight\n"),
        Err(_) => format!("no drain within {}\n", humantime::format_duration(longest)),
    };
    let also = wait.clone();
    let start = async move |caller: Option<Extension<serve::Caller>>| {
        if !caller.is_some_and(|Extension(caller)| caller.is_local) {
            let text = "only programs of this machine may end it\n".to_owned();
            return (StatusCode::FORBIDDEN, text);
        }
        tracing::info!("asked to end; draining");
        start.start();
        (StatusCode::OK, also().await)
    };
    Router::new()
        .route("/prestop", get(wait.clone()).post(wait))
        .route("/prestop/start", post(start))
}

#[derive(Clone)]
struct Scrape {
    registry: Arc<Registry>,
    slots: Arc<Semaphore>,
}

async fn scrape(State(scrape): State<Scrape>) -> Response {
    let Ok(_slot) = scrape.slots.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n").into_response();
    };
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &scrape.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(err) => {
            tracing::error!(error = %err, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
