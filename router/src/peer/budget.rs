//! How many calls may be repeated at other routers: a share of the calls, so that a failing mesh is not buried under
//! repetitions.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a forwarded call pays in, and what a repetition costs: one repetition for five calls.
const DEPOSIT: u64 = 1;
const COST: u64 = 5;
/// Repetitions that can be saved up: what one router more or less in a mesh causes at once.
const SAVED: u64 = 100 * COST;
/// Repetitions in a second that are allowed whatever the number of calls, for meshes with little to do.
const PER_SECOND: u64 = 10;
/// The smallest time that pays in anything.
const STEP_MS: u64 = 1_000 / (PER_SECOND * COST);

/// One for a process. Times are milliseconds on any clock that does not go back.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: AtomicU64,
    /// Until when time has paid in.
    paid_ms: AtomicU64,
}

impl RetryBudget {
    /// A full budget.
    pub(super) fn new() -> Self {
        Self {
            tokens: AtomicU64::new(SAVED),
            paid_ms: AtomicU64::new(0),
        }
    }

    /// A call is forwarded for the first time.
    pub(super) fn pay(&self) {
        // A full budget is the usual case: it is only looked at.
        if self.tokens.load(Ordering::Relaxed) < SAVED {
            self.add(DEPOSIT);
        }
    }

    /// Whether a call may be repeated.
    pub(super) fn take(&self, now_ms: u64) -> bool {
        let paid = self.paid_ms.load(Ordering::Relaxed);
        let steps = now_ms.saturating_sub(paid) / STEP_MS;
        if steps > 0
            && self
                .paid_ms
                .compare_exchange(paid, paid + steps * STEP_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.add(steps);
        }
        let taken = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                tokens.checked_sub(COST)
            });
        taken.is_ok()
    }

    fn add(&self, tokens: u64) {
        // The closure always gives a value.
        let _ = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                Some(before.saturating_add(tokens).min(SAVED))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(budget: &RetryBudget, now_ms: u64) -> u64 {
        let mut spent = 0;
        while budget.take(now_ms) {
            spent += 1;
            assert!(spent <= SAVED, "endless");
        }
        spent
    }

    #[test]
    fn a_fifth_of_the_calls_and_a_little_every_second() {
        let budget = RetryBudget::new();
        assert_eq!(spend(&budget, 0), 100, "what was saved up");
        (0..1_000).for_each(|_| budget.pay());
        assert_eq!(spend(&budget, 0), 100, "no more than can be saved");
        (0..50).for_each(|_| budget.pay());
        assert_eq!(spend(&budget, 0), 10);
        assert_eq!(spend(&budget, 99), 0);
        assert_eq!(spend(&budget, 1_000), 10);
        assert_eq!(spend(&budget, 1_000), 0, "time pays once");
        assert_eq!(spend(&budget, 3_600_000), 100, "an hour pays no more either");
    }
}
