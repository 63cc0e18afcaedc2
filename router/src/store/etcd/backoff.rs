//! Pauses between attempts.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// First pause and longest one.
const RANGE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Pauses that double, each cut by a random part up to a half so that routers do not come all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: RandomState,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            next: RANGE.0,
            random: RandomState::new(),
        }
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.next = RANGE.0;
    }

    pub(super) fn next(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(RANGE.1);
        self.random = RandomState::new();
        let part = u32::try_from(self.random.hash_one(full) % 1000).unwrap_or_default();
        full.saturating_sub(full * part / 2000)
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

/// A number below `bound`, any of them.
pub(super) fn random_below(bound: usize) -> usize {
    let random = RandomState::new().hash_one(bound);
    usize::try_from(random % bound.max(1) as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= RANGE.0 && pauses[0] >= RANGE.0 / 2);
        assert!(
            pauses[10..]
                .iter()
                .all(|pause| *pause <= RANGE.1 && *pause >= RANGE.1 / 2)
        );
        backoff.reset();
        assert!(backoff.next() <= RANGE.0);
    }
}
