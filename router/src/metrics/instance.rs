//! Gauges of the instance, read when they are scraped.

use std::fmt;

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

use crate::cache::CacheUsage;

type Read = Box<dyn Fn() -> Option<CacheUsage> + Send + Sync>;

/// Reads the state of the cache at every scrape; says nothing before there is one.
#[derive(Default)]
pub(super) struct Instance {
    read: Mutex<Option<Read>>,
}

impl Instance {
    pub(super) fn watch(&self, read: impl Fn() -> Option<CacheUsage> + Send + Sync + 'static) {
        *self.read.lock() = Some(Box::new(read));
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl Collector for Instance {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = self.read.lock().as_ref().and_then(|read| read()) else {
            return Ok(());
        };
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let basis_points = u128::from(usage.used_bytes) * 10_000 / u128::from(usage.capacity_bytes.max(1));
        let models = usage.models as u64;
        gauge(
            "modelmesh_instance_capacity_bytes",
            "Bytes that models may take.",
            usage.capacity_bytes,
        )?;
        gauge(
            "modelmesh_instance_used_bytes",
            "Bytes that models take.",
            usage.used_bytes,
        )?;
        gauge(
            "modelmesh_instance_used_bps",
            "Used part of the capacity, in hundredths of a percent.",
            u64::try_from(basis_points).unwrap_or(u64::MAX),
        )?;
        gauge(
            "modelmesh_instance_models_total",
            "Models loaded on this instance.",
            models,
        )?;
        // One instance is the whole mesh.
        gauge("modelmesh_models_loaded_total", "Models loaded.", models)?;
        gauge(
            "modelmesh_models_with_failure_total",
            "Models whose last load failed not long ago.",
            usage.failed as u64,
        )?;
        if let Some(oldest) = usage.oldest_use_ms {
            let help = "Last use of the model that would be evicted first, in seconds since the epoch.";
            gauge("modelmesh_instance_lru_seconds", help, oldest / 1000)?;
            let age = usage.at_ms.saturating_sub(oldest) / 1000;
            gauge("modelmesh_instance_lru_age_seconds", "Time since that use.", age)?;
        }
        gauge(
            "stowage_cache_lost_bytes",
            "Bytes of models that could not be unloaded.",
            usage.lost_bytes,
        )?;
        gauge(
            "stowage_cache_queued_loads",
            "Loads that wait for their turn.",
            usage.queued_loads as u64,
        )?;
        gauge(
            "stowage_cache_running_loads",
            "Loads that have their turn.",
            usage.running_loads as u64,
        )?;
        gauge(
            "stowage_cache_waiting_requests",
            "Requests that wait for a load or a slot.",
            usage.waiting_requests as u64,
        )
    }
}
