//! Pauses between attempts.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles from a quarter of a second to 15 seconds, each a little different, so that replicas do not come together.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    random: RandomState,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            next: FIRST,
            random: RandomState::new(),
        }
    }
}

impl Backoff {
    /// The next pause: 75 % to 125 % of the step.
    pub fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        let percent = 75 + u32::try_from(self.random.hash_one(step) % 51).unwrap_or_default();
        step * percent / 100
    }

    /// It worked: the next pause is short again.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST * 5 / 4 && pauses[0] >= FIRST * 3 / 4);
        assert!(pauses[9] <= LONGEST * 5 / 4 && pauses[9] >= LONGEST * 3 / 4);
        backoff.reset();
        assert!(backoff.pause() <= FIRST * 5 / 4);
    }
}
