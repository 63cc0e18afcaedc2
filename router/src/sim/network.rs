//! What becomes of a message.

use super::scenario::{Fault, Scenario};
use crate::core::fleet::{Ix, Rng};

/// One end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Router(Ix),
    Store,
}

/// Delays and losses.
#[derive(Debug)]
pub(super) struct Network {
    faults: Vec<Fault>,
    rng: Rng,
}

impl Network {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            faults: scenario.faults.clone(),
            rng: Rng::new(scenario.seed ^ 0x006e_6574),
        }
    }

    /// How long a message takes that is sent now; none: it is lost.
    pub(super) fn send(&mut self, from: Place, to: Place, now: u64) -> Option<u64> {
        for fault in &self.faults {
            match *fault {
                Fault::Partition {
                    split,
                    store,
                    from: begin,
                    until,
                } if (begin..until).contains(&now) => {
                    let below = |place| matches!(place, Place::Router(ix) if ix < split);
                    let with_store = from == Place::Store || to == Place::Store;
                    if below(from) != below(to) && (store || !with_store) {
                        return None;
                    }
                }
                Fault::Loss {
                    percent,
                    from: begin,
                    until,
                } if (begin..until).contains(&now) && self.rng.below(100) < percent => return None,
                _ => {}
            }
        }
        // Mostly one or two milliseconds, sometimes much more.
        let long = if self.rng.chance(20_000) {
            self.rng.below(200)
        } else {
            0
        };
        Some(1 + self.rng.below(2) + long)
    }

    /// Whether the store is stopped, and until when.
    pub(super) fn paused(&self, now: u64) -> Option<u64> {
        let pauses = self.faults.iter().filter_map(|fault| match *fault {
            Fault::Pause { from, until } if (from..until).contains(&now) => Some(until),
            _ => None,
        });
        pauses.max()
    }

    /// How many times longer loads take now.
    pub(super) fn slowness(&self, now: u64) -> u64 {
        let factors = self.faults.iter().filter_map(|fault| match *fault {
            Fault::SlowLoads { factor, from, until } if (from..until).contains(&now) => Some(factor),
            _ => None,
        });
        factors.max().unwrap_or(1)
    }

    /// Whether a load that ends now fails.
    pub(super) fn load_fails(&mut self, now: u64) -> bool {
        let percents = self.faults.iter().filter_map(|fault| match *fault {
            Fault::FailingLoads { percent, from, until } if (from..until).contains(&now) => Some(percent),
            _ => None,
        });
        let percent = percents.max().unwrap_or(0);
        percent > 0 && self.rng.below(100) < percent
    }

    /// How wrong the clock of a router is at `now`.
    pub(super) fn clock(&self, ix: Ix, now: u64) -> (i64, i64) {
        let skews = self.faults.iter().filter_map(|fault| match *fault {
            Fault::Skew {
                router,
                offset,
                drift,
            } if router == ix => Some((offset, drift)),
            _ => None,
        });
        let (offset, drift) = skews.fold((0, 0), |sum, one| (sum.0 + one.0, one.1));
        let passed = i64::try_from(now).unwrap_or(0);
        (offset, passed * drift / 1_000_000)
    }
}
