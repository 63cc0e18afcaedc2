//! Time for the state machine: milliseconds since the epoch that never go back while the process lives.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    epoch_ms: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch_ms: u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX / 2),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.epoch_ms.saturating_add(elapsed)
    }
}
