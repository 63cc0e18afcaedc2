//! How much is taken on at once. What is more is refused at once: the API server waits, so a queue would only spend its
//! time.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for bodies of reviews, in KiB. A parsed object is several times its text, and nearly all are a few KiB.
const BODIES_KIB: u32 = 64 << 10;

/// Bounds of the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Longest time for a review, whatever the API server allows.
    pub longest: Duration,
    reviews: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
}

/// A place for one review, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _review: OwnedSemaphorePermit,
    _body: OwnedSemaphorePermit,
}

impl Limits {
    /// So many reviews at once, with bodies of at most `max_body` bytes.
    pub fn new(max_in_flight: u16, max_body: usize) -> Self {
        Self {
            max_body,
            longest: Duration::from_secs(10),
            reviews: Arc::new(Semaphore::new(max_in_flight.into())),
            bodies: Arc::new(Semaphore::new(BODIES_KIB as usize)),
        }
    }

    /// A place for a body of `bytes`, if there is one.
    pub(super) fn take(&self, bytes: usize) -> Option<Place> {
        let review = Arc::clone(&self.reviews).try_acquire_owned().ok()?;
        let kib = u32::try_from(bytes / 1024 + 1)
            .unwrap_or(BODIES_KIB)
            .min(BODIES_KIB);
        let body = Arc::clone(&self.bodies).try_acquire_many_owned(kib).ok()?;
        Some(Place {
            _review: review,
            _body: body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let limits = Limits::new(2, 1 << 20);
        let first = limits.take(10);
        let second = limits.take(10);
        assert!(first.is_some() && second.is_some() && limits.take(10).is_none());
        drop(first);
        assert!(limits.take(10).is_some());
    }

    #[test]
    fn large_bodies_count_for_more() {
        let limits = Limits::new(100, 1 << 30);
        let all = limits.take(1 << 30);
        assert!(all.is_some() && limits.take(0).is_none());
        drop(all);
        assert!(limits.take(0).is_some());
    }
}
