//! What one call leaves behind, however it ends: its place in the metrics, and a line in the log when
//! `router::observe` is logged at debug, or each call is to be logged; payload processors are told.

use std::{sync::Arc, time::Instant};

use api::names::headers;
use http::HeaderMap;
use tonic::Code;

mod calls;

pub use self::calls::{LoggedHeader, LoggedHeadersError, Observers, follow_config, logged_headers, start};
use crate::{
    exchange::Exchange,
    failure,
    metrics::{MethodMetrics, Metrics},
    payload::{Ended, Tap},
    upstream::Head,
};

/// Bytes of a client's text in a log line; ids and names are shorter.
const LOGGED: usize = 256;

/// What the log says of a call, beyond what is counted. Only there when it is going to be logged.
#[derive(Debug)]
struct Line {
    method: String,
    /// The model that answers, and the vmodel that led to it; until one does, what the headers ask for.
    model: Option<String>,
    vmodel: Option<String>,
    request_id: Option<String>,
    /// Headers that are to be logged, as JSON.
    headers: Option<String>,
    /// For every log, not only for that of somebody who looks for something.
    each: bool,
}

impl Line {
    fn of(path: &str, metadata: &HeaderMap) -> Self {
        let text = |name| {
            let value = metadata.get(name)?.as_bytes();
            let shown = value.get(..LOGGED).unwrap_or(value);
            Some(String::from_utf8_lossy(shown).into_owned())
        };
        Self {
            method: path.to_owned(),
            model: text(headers::MODEL_ID),
            vmodel: text(headers::VMODEL_ID),
            request_id: text(headers::REQUEST_ID),
            headers: None,
            each: false,
        }
    }
}

macro_rules! call_ended {
    ($level:ident, $line:expr, $code:expr, $elapsed_ms:expr) => {
        tracing::$level!(
            method = $line.method,
            model = $line.model,
            vmodel = $line.vmodel,
            code = kit::status::name($code),
            elapsed_ms = $elapsed_ms,
            request_id = $line.request_id,
            headers = $line.headers,
            "call ended"
        )
    };
}

impl Line {
    fn write(&self, code: Code, elapsed_ms: f64) {
        if self.each {
            call_ended!(info, self, code, elapsed_ms);
        } else {
            call_ended!(debug, self, code, elapsed_ms);
        }
    }
}

/// One call, from its headers to its status. One that is dropped before its end counts as CANCELLED.
#[derive(Debug)]
pub struct Observation {
    metrics: Metrics,
    method: Arc<MethodMetrics>,
    started: Instant,
    invoked: Option<Instant>,
    request_bytes: u64,
    response_bytes: u64,
    ended: bool,
    /// The router that the client called counts it.
    forwarded: bool,
    line: Option<Box<Line>>,
    tap: Option<Box<Tapped>>,
}

/// What payload processors are told of.
#[derive(Debug)]
struct Tapped {
    tap: Arc<Tap>,
    /// Model and vmodel, once one answers.
    names: Option<(String, Option<String>)>,
}

impl Observation {
    /// Begins with the call.
    pub fn start(metrics: &Metrics, path: &str, metadata: &HeaderMap) -> Self {
        Self {
            metrics: metrics.clone(),
            method: metrics.method(path),
            started: Instant::now(),
            invoked: None,
            request_bytes: 0,
            response_bytes: 0,
            ended: false,
            forwarded: false,
            line: tracing::enabled!(tracing::Level::DEBUG).then(|| Box::new(Line::of(path, metadata))),
            tap: None,
        }
    }

    /// Lets others see the call, too. After [`Observation::is_forwarded`]: who took it from its client tells of it.
    pub fn show(&mut self, observers: Option<&Observers>, path: &str, metadata: &HeaderMap) {
        let Some(observers) = observers.filter(|_| !self.forwarded) else {
            return;
        };
        if observers.logs_each() && tracing::enabled!(tracing::Level::INFO) {
            self.line
                .get_or_insert_with(|| Box::new(Line::of(path, metadata)))
                .each = true;
        }
        if let Some(line) = &mut self.line {
            line.headers = observers.headers_of(metadata);
        }
        self.tap = observers
            .tap(path, metadata)
            .map(|tap| Box::new(Tapped { tap, names: None }));
    }

    /// Where copies of what passes go, if anywhere.
    pub fn tap(&self) -> Option<&Arc<Tap>> {
        self.tap.as_ref().map(|tapped| &tapped.tap)
    }

    /// Another router has forwarded the call: what its client sees is counted there.
    pub fn is_forwarded(&mut self) {
        self.forwarded = true;
    }

    /// When the call began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The model server has begun to answer.
    pub fn answered(&mut self, path: &str, head: &Head, exchange: &Exchange) {
        if let Some(model) = exchange.model() {
            if let Some(line) = &mut self.line {
                line.model = Some(model.to_owned());
                line.vmodel = exchange.vmodel().map(str::to_owned);
            }
            if let Some(tapped) = &mut self.tap {
                tapped.names = Some((model.to_owned(), exchange.vmodel().map(str::to_owned)));
            }
            let exists = failure::code(&head.headers) != Some(Code::Unimplemented);
            if exists && !self.method.is_known() {
                // A method that a model has answered exists: it may have a label of its own.
                self.metrics.admit_method(path);
                self.method = self.metrics.method(path);
            }
            self.method = self.metrics.model(&self.method, model, exchange.vmodel());
            if exchange.remote().is_none() {
                self.invoked = Some(exchange.started());
            }
        }
    }

    /// Counts the request so far.
    pub fn request_bytes(&mut self, bytes: u64) {
        self.request_bytes = bytes;
    }

    /// Counts the response so far.
    pub fn response_bytes(&mut self, bytes: u64) {
        self.response_bytes = bytes;
    }

    /// Ends with a status.
    pub fn end(mut self, code: Code) {
        self.record(code);
    }

    fn record(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        if !self.forwarded {
            self.method.api_request(
                code,
                now.saturating_duration_since(self.started),
                self.request_bytes,
                self.response_bytes,
            );
        }
        if let Some(invoked) = self.invoked {
            self.method
                .invoke_model(code, now.saturating_duration_since(invoked));
        }
        if let Some(Tapped {
            tap,
            names: Some((model, vmodel)),
        }) = self.tap.take().map(|tapped| *tapped)
        {
            tap.finish(Ended { code, model, vmodel });
        }
        if let Some(line) = &self.line {
            let elapsed_ms = now.saturating_duration_since(self.started).as_secs_f64() * 1e3;
            line.write(code, elapsed_ms);
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.record(Code::Cancelled);
    }
}
