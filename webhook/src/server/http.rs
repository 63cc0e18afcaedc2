//! HTTP: paths, body limit, deadline, and what to say when a request is no review.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::{RawQuery, Request},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kit::drain::Drain;

use super::{
    answer::{Outcome, Verdict, answer},
    limits::Limits,
    metrics::Metrics,
    paths::{ENDPOINTS, Endpoint},
    wire::Review,
};
use crate::{Options, Severity, Snapshot};

/// Bodies above this are read on a thread of their own, so that small reviews do not wait for them.
const LARGE: usize = 256 << 10;

/// What a review needs.
#[derive(Debug)]
pub struct App {
    /// What rules look up.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Whose verdicts are given.
    pub options: Options,
    /// Bounds.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
    /// Waits for reviews in flight.
    pub drain: Drain,
}

/// The webhooks, each at its path.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for endpoint in &ENDPOINTS {
        let app = Arc::clone(app);
        let handler = move |query: RawQuery, request: Request| handle(app, endpoint, query, request);
        router = router.route(endpoint.path, post(handler));
    }
    router
        .fallback(async || plain(StatusCode::NOT_FOUND, "there is no webhook at this path"))
        .method_not_allowed_fallback(async || {
            plain(StatusCode::METHOD_NOT_ALLOWED, "webhooks are asked by POST")
        })
        .layer(axum::extract::DefaultBodyLimit::disable())
}

async fn handle(
    app: Arc<App>,
    endpoint: &'static Endpoint,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let begin = Instant::now();
    let _working = app.drain.guard();
    let _counted = app.metrics.begin();
    let longest = app.limits.longest;
    let deadline = timeout(query.as_deref()).map_or(longest, |timeout| timeout.min(longest));
    let answered = tokio::time::timeout(deadline, review(&app, endpoint, request, begin)).await;
    answered.unwrap_or_else(|_| {
        app.metrics.late();
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the review did not arrive or finish within its timeout",
        )
    })
}

async fn review(app: &Arc<App>, endpoint: &'static Endpoint, request: Request, begin: Instant) -> Response {
    if let Some(problem) = wrong_type(request.headers()) {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
    }
    let most = app.limits.max_body;
    let length = content_length(request.headers());
    if length.is_some_and(|length| length > most) {
        return too_large(most);
    }
    let Some(place) = app.limits.take(length.unwrap_or(most)) else {
        app.metrics.shed();
        return busy();
    };
    let body = match Limited::new(request.into_body(), most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(err) if err.is::<LengthLimitError>() => return too_large(most),
        Err(_) => return plain(StatusCode::BAD_REQUEST, "the body ended early"),
    };
    if body.len() <= LARGE {
        return judge(app, endpoint, &body, begin);
    }
    let app = Arc::clone(app);
    let work = move || {
        let _place = place;
        judge(&app, endpoint, &body, begin)
    };
    // It does not panic; a runtime that ends drops it.
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "the review was dropped"))
}

/// The whole of a review once its bytes are there.
fn judge(app: &App, endpoint: &Endpoint, body: &Bytes, begin: Instant) -> Response {
    let review = match Review::parse(body) {
        Ok(review) => review,
        Err(err) => {
            app.metrics.malformed();
            tracing::warn!(path = endpoint.path, error = %err, "request is no review");
            return plain(StatusCode::BAD_REQUEST, &err.to_string());
        }
    };
    let snapshot = app.snapshot.load();
    let outcome = answer(endpoint, &review.request, &snapshot, &app.options);
    let answer = review.answer(&outcome.response);
    let elapsed = begin.elapsed();
    app.metrics
        .reviewed(endpoint.purpose, &review.request.operation, &outcome, elapsed);
    log(endpoint, &review, &outcome, elapsed);
    ([(header::CONTENT_TYPE, "application/json")], Body::from(answer)).into_response()
}

/// Names and rules; what the object holds is never logged.
fn log(endpoint: &Endpoint, review: &Review<'_>, outcome: &Outcome, elapsed: Duration) {
    let question = &review.request;
    let ids = |wanted: Severity| {
        let ids: Vec<_> = outcome
            .rules
            .iter()
            .filter(|(_, severity)| *severity == wanted)
            .map(|(id, _)| *id)
            .collect();
        ids.join(",")
    };
    let (denied, warned) = (ids(Severity::Deny), ids(Severity::Warn));
    let kind = outcome.kind.map_or("other", crate::Kind::name);
    let namespace = question.namespace.as_deref().unwrap_or_default();
    let name = question.name.as_deref().unwrap_or_default();
    let purpose = endpoint.purpose.as_str();
    let verdict = outcome.verdict.as_str();
    let operation = &*question.operation;
    #[expect(clippy::cast_possible_truncation, reason = "a review takes seconds at most")]
    let elapsed_us = elapsed.as_micros() as u64;
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                purpose, kind, namespace, name, operation, verdict, denied, warned, elapsed_us, "review"
            )
        };
    }
    match outcome.verdict {
        Verdict::Allowed => event!(debug),
        Verdict::Warned | Verdict::Denied => event!(info),
        Verdict::Refused => event!(warn),
        Verdict::Failed => event!(error),
    }
}

/// The `timeout` that the API server sends along, such as `10s`.
fn timeout(query: Option<&str>) -> Option<Duration> {
    let mut pairs = query?.split('&');
    let text = pairs.find_map(|pair| pair.strip_prefix("timeout="))?;
    humantime::parse_duration(text).ok()
}

fn wrong_type(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    (!essence.eq_ignore_ascii_case("application/json"))
        .then_some("an AdmissionReview is sent as application/json")
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: usize) -> Response {
    let text = format!("the review is larger than {most} bytes");
    plain(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

fn busy() -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "too many reviews at once");
    let soon = http::HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, soon);
    response
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests;
