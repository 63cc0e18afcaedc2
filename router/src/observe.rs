//! What one call leaves behind in metrics and logs.

use std::time::Instant;

use tonic::Code;

use crate::metrics::Metrics;

/// One call, from its headers to its status.
#[derive(Debug)]
pub struct Observation {
    started: Instant,
}

impl Observation {
    /// Begins with the call.
    pub fn start(_metrics: &Metrics, _path: &str) -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Counts the response.
    pub fn response_bytes(&mut self, _bytes: u64) {}

    /// Ends with a status.
    pub fn end(&mut self, _code: Code) {
        let _ = self.started;
    }
}
