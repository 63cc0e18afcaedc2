//! Metrics of the router.

use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::{cache::CacheUsage, core::copies::Note};

/// Metrics of the router. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// Registers everything in `registry`.
    pub fn new(_registry: &mut Registry) -> Self {
        Self
    }

    pub(crate) fn watch_instance(&self, _usage: impl Fn() -> Option<CacheUsage> + Send + Sync + 'static) {}
    pub(crate) fn cold_request(&self, _id: &str, _was_loaded: bool, _took: Duration) {}
    pub(crate) fn remove_model(&self, _id: &str) {}
    pub(crate) fn note(&self, _id: &str, _note: &Note) {}
}
