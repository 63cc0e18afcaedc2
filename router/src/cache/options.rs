//! Limits of the cache that the runtime does not set.

use std::time::Duration;

/// Limits of the cache that the runtime does not set.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// How long a failed load is remembered (`MM_LOAD_FAILURE_EXPIRY_TIME_MS`), which also caps the backoff.
    pub load_failure_expiry: Duration,
    /// Wait after the first failed load before the next try; doubles with every failure.
    pub load_backoff: Duration,
    /// Requests that may wait for one copy's slots: 0 = max(16, 8 x its concurrency), negative = no limit.
    pub max_inflight_per_copy: i64,
    /// Requests that may wait at all.
    pub max_waiting_requests: usize,
    /// Loads that may be queued.
    pub max_queued_loads: usize,
    /// Memory that loaded models leave free, so that a load need not wait for the unload that makes room for it.
    pub unload_reserve_bytes: u64,
    /// How long an unload waits for the requests in flight.
    pub drain_timeout: Duration,
    /// Deadline of one unload call.
    pub unload_timeout: Duration,
    /// Tries of an unload before its space counts as lost.
    pub unload_attempts: u32,
    /// Wait after the first failed unload; doubles up to a minute.
    pub unload_backoff: Duration,
    /// Deadline of a size prediction.
    pub predict_timeout: Duration,
    /// Deadline of a size measurement.
    pub size_timeout: Duration,
    /// How long the runtime may take until it is READY.
    pub start_timeout: Duration,
}

impl Default for CacheOptions {
    /// Upstream's values where it has them.
    fn default() -> Self {
        Self {
            load_failure_expiry: Duration::from_mins(15),
            load_backoff: Duration::from_secs(1),
            max_inflight_per_copy: 0,
            max_waiting_requests: 10_000,
            max_queued_loads: 10_000,
            unload_reserve_bytes: 0,
            drain_timeout: Duration::from_mins(2),
            unload_timeout: Duration::from_mins(1),
            unload_attempts: 12,
            unload_backoff: Duration::from_secs(1),
            predict_timeout: Duration::from_millis(500),
            size_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_mins(3),
        }
    }
}
