//! How long a load probably takes, by type: a copy whose load began longer ago is taken for loaded.

use std::collections::HashMap;

/// Types that are kept apart; what comes beyond is lumped together.
const MAX_KINDS: usize = 1_024;
/// Samples until which the assumption still leans on the default.
const FEW: u64 = 3;
/// Samples until which the spread is known badly, so that more of it is added.
const SOME: u64 = 20;
/// Weight of the past: a type whose loads become slower or faster is followed within as many loads.
const MEMORY: u64 = 200;
/// The assumption is made anew with every so many samples.
const STEP: u64 = 4;

/// Time that one type takes to load.
#[derive(Clone, Copy, Debug)]
struct TimeStats {
    count: u64,
    mean: f64,
    /// Sum of squared differences from the mean.
    spread: f64,
    assumed_ms: u64,
}

/// Times that loads take, for each type of model.
#[derive(Debug)]
pub struct LoadTimes {
    default_ms: u64,
    kinds: HashMap<Box<str>, TimeStats>,
    others: TimeStats,
}

impl LoadTimes {
    /// Nothing known; `load_timeout_ms` is the longest load that the runtime allows.
    pub fn new(load_timeout_ms: u64) -> Self {
        let default_ms = (load_timeout_ms / 3).max(3_000);
        Self {
            default_ms,
            kinds: HashMap::new(),
            others: TimeStats::new(default_ms),
        }
    }

    /// A load of this type took so long.
    pub fn add(&mut self, kind: &str, took_ms: u64) {
        let room = self.kinds.len() < MAX_KINDS;
        match self.kinds.get_mut(kind) {
            Some(stats) => stats.add(took_ms),
            None if room => {
                let mut stats = TimeStats::new(self.default_ms);
                stats.add(took_ms);
                self.kinds.insert(kind.into(), stats);
            }
            None => self.others.add(took_ms),
        }
    }

    /// The time after which a load of this type is probably over.
    pub fn assumed_ms(&self, kind: &str) -> u64 {
        self.kinds.get(kind).unwrap_or(&self.others).assumed_ms
    }
}

impl TimeStats {
    fn new(assumed_ms: u64) -> Self {
        Self {
            count: 0,
            mean: 0.0,
            spread: 0.0,
            assumed_ms,
        }
    }

    fn add(&mut self, took_ms: u64) {
        let took = took_ms as f64;
        self.count += 1;
        let weight = self.count.min(MEMORY) as f64;
        let before = took - self.mean;
        self.mean += before / weight;
        let kept = if self.count > MEMORY {
            1.0 - 1.0 / weight
        } else {
            1.0
        };
        self.spread = self.spread * kept + before * (took - self.mean);
        if self.count <= FEW {
            self.assumed_ms = whole((2.0 * self.assumed_ms as f64 + self.mean) / 3.0);
        } else if self.count.is_multiple_of(STEP) {
            let deviation = (self.spread / weight).max(0.0).sqrt();
            let times = if self.count <= SOME { 5.0 } else { 3.0 };
            self.assumed_ms = whole(self.mean + times * deviation);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times are positive, and far below what a u64 holds; a conversion saturates"
)]
fn whole(ms: f64) -> u64 {
    ms.round() as u64
}

#[cfg(test)]
mod tests {
    use super::{LoadTimes, MAX_KINDS};

    #[test]
    fn the_first_samples_move_the_assumption_and_the_spread_adds_to_it() {
        let mut times = LoadTimes::new(90_000);
        assert_eq!(times.assumed_ms("a"), 30_000);
        let assumed = [20_000, 13_333, 8_889].map(|expected| (expected, ()));
        for (expected, ()) in assumed {
            times.add("a", 0);
            assert_eq!(times.assumed_ms("a"), expected);
        }
        assert_eq!(times.assumed_ms("b"), 30_000, "types do not mix");
        for took in [1_000, 1_200].repeat(50) {
            times.add("b", took);
        }
        assert_eq!(times.assumed_ms("b"), 1_400, "1100 and three deviations of 100");
    }

    #[test]
    fn a_type_that_becomes_slower_is_followed() {
        let mut times = LoadTimes::new(90_000);
        for took in std::iter::repeat_n(1_000, 10_000).chain(std::iter::repeat_n(9_000, 1_000)) {
            times.add("a", took);
        }
        assert!(times.assumed_ms("a") >= 8_900, "{}", times.assumed_ms("a"));
    }

    #[test]
    fn many_types_take_bounded_memory() {
        let mut times = LoadTimes::new(90_000);
        for kind in 0..2 * MAX_KINDS {
            times.add(&kind.to_string(), 1_000);
        }
        assert_eq!(times.kinds.len(), MAX_KINDS);
        assert!(
            times.assumed_ms("unheard of") < 30_000,
            "what is lumped together is known too"
        );
    }
}
