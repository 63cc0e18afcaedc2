//! How busy this router is, as it says with every response to another one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use http::HeaderValue;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

/// Counting those who wait takes the lock of the cache: done this often at most.
const COUNT_EVERY_MS: u64 = 20;

/// Calls in flight and calls that wait. Costs local calls nothing: listeners count their calls anyway.
#[derive(Debug)]
pub struct Busy {
    doors: RwLock<Vec<(usize, Arc<Semaphore>)>>,
    /// Calls that are only passing through to another router.
    passing: AtomicU32,
    waiting: AtomicU32,
    counted_ms: AtomicU64,
    start: Instant,
}

impl Busy {
    pub(crate) fn new() -> Self {
        Self {
            doors: RwLock::default(),
            passing: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            counted_ms: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    /// Counts the permits of a listener that are taken.
    pub(crate) fn watch(&self, permits: usize, calls: Arc<Semaphore>) {
        self.doors.write().push((permits, calls));
    }

    pub(crate) fn passes(&self) {
        self.passing.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn passed(&self) {
        self.passing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Calls that are served here.
    pub fn in_flight(&self) -> u32 {
        let doors = self.doors.read();
        let taken =
            |(permits, calls): &(usize, Arc<Semaphore>)| permits.saturating_sub(calls.available_permits());
        let all = u32::try_from(doors.iter().map(taken).sum::<usize>()).unwrap_or(u32::MAX);
        all.saturating_sub(self.passing.load(Ordering::Relaxed))
    }

    /// `stowage-load`. `waiting` counts the requests that wait for a load or a slot.
    pub(crate) fn header(&self, waiting: impl FnOnce() -> usize) -> Option<HeaderValue> {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let counted = self.counted_ms.load(Ordering::Relaxed);
        if now.saturating_sub(counted) >= COUNT_EVERY_MS
            && self
                .counted_ms
                .compare_exchange(counted, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let waiting = u32::try_from(waiting()).unwrap_or(u32::MAX);
            self.waiting.store(waiting, Ordering::Relaxed);
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        HeaderValue::from_str(&format!("{},{waiting}", self.in_flight())).ok()
    }
}

/// What a response says in `stowage-load`: calls in flight, calls that wait.
pub(super) fn parse(value: &HeaderValue) -> Option<(u32, u32)> {
    let (in_flight, queued) = value.to_str().ok()?.split_once(',')?;
    Some((in_flight.parse().ok()?, queued.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_served_here() {
        let busy = Busy::new();
        let calls = Arc::new(Semaphore::new(10));
        busy.watch(10, calls.clone());
        let other = Arc::new(Semaphore::new(5));
        busy.watch(5, other.clone());
        assert_eq!(busy.in_flight(), 0);
        let _held = (calls.try_acquire_many(3).unwrap(), other.try_acquire().unwrap());
        busy.passes();
        assert_eq!(busy.in_flight(), 3);
        let header = busy.header(|| 7).unwrap();
        assert_eq!(parse(&header).unwrap().0, 3);
        busy.passed();
        assert_eq!(busy.in_flight(), 4);
    }

    #[test]
    fn what_is_no_load_is_left_out() {
        for text in ["", "1", "1,", "1,x", "-1,2", "1,2,3", "5000000000,1"] {
            assert_eq!(parse(&HeaderValue::from_static(text)), None, "{text}");
        }
        assert_eq!(parse(&HeaderValue::from_static("12,3")), Some((12, 3)));
    }
}
