//! What one call leaves behind in the metrics: counted when it ends, however it ends.

use std::{sync::Arc, time::Instant};

use tonic::Code;

use crate::{
    exchange::Exchange,
    failure,
    metrics::{MethodMetrics, Metrics},
    upstream::Head,
};

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
}

impl Observation {
    /// Begins with the call.
    pub fn start(metrics: &Metrics, path: &str) -> Self {
        Self {
            metrics: metrics.clone(),
            method: metrics.method(path),
            started: Instant::now(),
            invoked: None,
            request_bytes: 0,
            response_bytes: 0,
            ended: false,
        }
    }

    /// When the call began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The model server has begun to answer.
    pub fn answered(&mut self, path: &str, head: &Head, exchange: &Exchange) {
        if let Some(model) = exchange.model() {
            let exists = failure::code(&head.headers) != Some(Code::Unimplemented);
            if exists && !self.method.is_known() {
                // A method that a model has answered exists: it may have a label of its own.
                self.metrics.admit_method(path);
                self.method = self.metrics.method(path);
            }
            self.method = self.metrics.model(&self.method, model, None);
            self.invoked = Some(exchange.started());
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
        self.method.api_request(
            code,
            now.saturating_duration_since(self.started),
            self.request_bytes,
            self.response_bytes,
        );
        if let Some(invoked) = self.invoked {
            self.method
                .invoke_model(code, now.saturating_duration_since(invoked));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.record(Code::Cancelled);
    }
}
