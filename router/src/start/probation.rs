//! A new version of a runtime that cannot load what the old one could must not take its place: while most loads fail soon
//! after the start, the router stays unready, and a rolling update stops there.

use std::time::Duration;

use kit::{admin::Readiness, drain::Drain};
use tokio::time::Instant;

use crate::metrics::Metrics;

/// How often the counts are looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// With fewer loads nothing is decided: a few bad models are no bad runtime. Source: upstream.
const ENOUGH: u64 = 20;

/// Watches loads for a while after the start; holds readiness back, for good, when most of many fail.
pub async fn watch_loads(metrics: Metrics, readiness: Readiness, period: Duration, drain: Drain) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        tokio::select! {
            () = drain.started() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let (loaded, failed) = metrics.loads();
        if is_unfit(loaded, failed) {
            tracing::error!(loaded, failed, "most loads fail; this router stays unready");
            let _hold = readiness.hold(format!("{failed} of {} loads have failed", loaded + failed));
            drain.started().await;
            return;
        }
    }
}

fn is_unfit(loaded: u64, failed: u64) -> bool {
    loaded + failed > ENOUGH && failed > loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_many() {
        assert!(!is_unfit(0, 20));
        assert!(is_unfit(0, 21));
        assert!(is_unfit(10, 11));
        assert!(!is_unfit(11, 11));
    }
}
