//! Outlier ejection: a router whose calls break off at the transport is left alone for a while.
//!
//! Only transport failures count. A status, a refusal too, is an answer, and a router that answers is alive. When the
//! time is over it is asked again, and the next failure ejects it for longer.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Failures in a row that eject. One may be a connection that broke in a restart.
const FAILURES: u32 = 3;
/// Length of the first ejection; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest ejection: a router that is back is found again within this time.
const LONGEST: Duration = Duration::from_secs(30);

/// Health of one peer. Times are milliseconds on any clock that does not go back.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// In a row.
    failures: AtomicU32,
    /// In a row; the last one may be over.
    ejections: AtomicU32,
    until_ms: AtomicU64,
}

impl Health {
    /// The peer has answered.
    pub(super) fn answered(&self) {
        // Read first: the usual answer changes nothing, and must not take the cache line from other threads.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
            self.until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// A call broke off at the transport. Returns how long the peer is ejected, if that begins now.
    pub(super) fn failed(&self, now_ms: u64) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES || now_ms < self.until_ms.load(Ordering::Relaxed) {
            return None;
        }
        let before = self.ejections.fetch_add(1, Ordering::Relaxed);
        let length = FIRST.saturating_mul(1 << before.min(16)).min(LONGEST);
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.until_ms
            .store(now_ms.saturating_add(length_ms), Ordering::Relaxed);
        Some(length)
    }

    /// Whether the peer is left alone now.
    pub(super) fn is_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejections_grow_end_and_are_forgotten() {
        let health = Health::default();
        let mut now = 1_000;
        assert_eq!(health.failed(now), None);
        assert_eq!(health.failed(now), None);
        health.answered();
        assert!(!health.is_ejected(now));
        assert_eq!(
            [health.failed(now), health.failed(now)],
            [None, None],
            "counted anew"
        );
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let length = health.failed(now).expect("one failure more ejects again");
            assert!(health.is_ejected(now));
            assert_eq!(health.failed(now), None, "a late failure of before");
            lengths.push(length.as_secs());
            now += u64::try_from(length.as_millis()).expect("small");
            assert!(!health.is_ejected(now), "for a bounded time");
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 30, 30, 30]);
        health.answered();
        assert_eq!([health.failed(now), health.failed(now)], [None, None]);
        assert_eq!(health.failed(now), Some(FIRST));
    }
}
