//! What a simulation is made of. A seed gives all of it.

use crate::core::fleet::Rng;

/// What routers go by: a session lives for 25 seconds.
const CERTAIN_MS: u64 = 20_000;

/// Something that goes wrong, for a while. Times are in milliseconds from the start, routers are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A router dies, with what it holds, and is started again under the same name.
    Crash {
        /// Who.
        router: u32,
        /// When it dies.
        at: u64,
        /// When it is back.
        back: u64,
    },
    /// A router is asked to leave, hands its models over, and is started again.
    Leave {
        /// Who.
        router: u32,
        /// When it is asked.
        at: u64,
        /// When it is back.
        back: u64,
    },
    /// Routers below `split` and the others cannot reach each other; those below it cannot reach the store either, if so.
    Partition {
        /// The first router on the other side.
        split: u32,
        /// Whether the store is out of reach for those below.
        store: bool,
        /// From then on.
        from: u64,
        /// Until then.
        until: u64,
    },
    /// Messages are lost.
    Loss {
        /// How many of a hundred.
        percent: u64,
        /// From then on.
        from: u64,
        /// Until then.
        until: u64,
    },
    /// The store does not answer. What it was asked is done when it is back, or never.
    Pause {
        /// From then on.
        from: u64,
        /// Until then.
        until: u64,
    },
    /// Loads take longer.
    SlowLoads {
        /// So many times.
        factor: u64,
        /// From then on.
        from: u64,
        /// Until then.
        until: u64,
    },
    /// Loads fail.
    FailingLoads {
        /// How many of a hundred.
        percent: u64,
        /// From then on.
        from: u64,
        /// Until then.
        until: u64,
    },
    /// The clock of a router is wrong, always.
    Skew {
        /// Whose.
        router: u32,
        /// By so many milliseconds.
        offset: i64,
        /// And runs so many millionths too fast.
        drift: i64,
    },
}

impl Fault {
    /// When it is over.
    pub fn until(&self) -> u64 {
        match *self {
            Self::Crash { back, .. } | Self::Leave { back, .. } => back,
            Self::Partition { until, .. }
            | Self::Loss { until, .. }
            | Self::Pause { until, .. }
            | Self::SlowLoads { until, .. }
            | Self::FailingLoads { until, .. } => until,
            Self::Skew { .. } => 0,
        }
    }

    /// Whether it means a router that is not there.
    pub(super) fn is_beyond(&self, routers: u32) -> bool {
        match *self {
            Self::Crash { router, .. } | Self::Leave { router, .. } | Self::Skew { router, .. } => {
                router >= routers
            }
            Self::Partition { split, .. } => split >= routers,
            _ => false,
        }
    }
}

/// A simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of everything that is left to chance.
    pub seed: u64,
    /// Routers.
    pub routers: u32,
    /// Registered models.
    pub models: u32,
    /// Requests from clients until the faults are over.
    pub requests: u32,
    /// Until then, in milliseconds.
    pub duration: u64,
    /// Bytes for models in each router; a model takes 5 to 12.
    pub capacity: u64,
    /// How long after it asked a router is certain of its session. Less than a session lives, because clocks run at
    /// different speeds; more is a mistake that a simulation has to find.
    pub certain_ms: u64,
    /// Requests in a minute that are enough for one copy.
    pub rpm_threshold: u32,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Scenario {
    /// A small fleet and some faults.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let routers = 2 + to_u32(rng.below(5));
        let models = 5 + to_u32(rng.below(40));
        let duration = 60_000 + rng.below(240_000);
        let faults = (0..rng.below(7))
            .map(|_| fault(&mut rng, routers, duration))
            .collect();
        Self {
            seed,
            routers,
            models,
            requests: 100 + to_u32(rng.below(400)),
            duration,
            capacity: 40 + rng.below(160),
            certain_ms: CERTAIN_MS,
            rpm_threshold: 60,
            faults,
        }
    }

    /// A large fleet in which a few routers die: what it takes in memory and time.
    pub fn large(routers: u32, models: u32, requests: u32, seed: u64) -> Self {
        let duration = 120_000;
        let crash = |n: u64| Fault::Crash {
            router: to_u32(n * 7) % routers,
            at: 30_000 + n * 1_000,
            back: 60_000 + n * 1_000,
        };
        Self {
            seed,
            routers,
            models,
            requests,
            duration,
            capacity: u64::from(models) * 8 / 10 / u64::from(routers.max(1)) + 50,
            certain_ms: CERTAIN_MS,
            rpm_threshold: 2_000,
            faults: (0..u64::from(routers / 100)).map(crash).collect(),
        }
    }
}

fn fault(rng: &mut Rng, routers: u32, duration: u64) -> Fault {
    let router = to_u32(rng.below(u64::from(routers)));
    let from = rng.below(duration * 3 / 4);
    let until = from + 1_000 + rng.below(duration / 2);
    match rng.below(8) {
        0 => Fault::Crash {
            router,
            at: from,
            back: until,
        },
        1 => Fault::Leave {
            router,
            at: from,
            back: until + 40_000,
        },
        2 => Fault::Partition {
            split: 1 + router.min(routers.saturating_sub(2)),
            store: rng.chance(500_000),
            from,
            until,
        },
        3 => Fault::Loss {
            percent: 1 + rng.below(30),
            from,
            until,
        },
        4 => Fault::Pause { from, until },
        5 => Fault::SlowLoads {
            factor: 2 + rng.below(20),
            from,
            until,
        },
        6 => Fault::FailingLoads {
            percent: 10 + rng.below(91),
            from,
            until,
        },
        _ => Fault::Skew {
            router,
            offset: signed(rng, 300_000),
            drift: signed(rng, 2_000),
        },
    }
}

fn signed(rng: &mut Rng, most: u64) -> i64 {
    let by = i64::try_from(rng.below(2 * most)).unwrap_or(0);
    by - i64::try_from(most).unwrap_or(0)
}

fn to_u32(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
