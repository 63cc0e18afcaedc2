//! Decisions about a fleet of routers: which copy serves a request, where a copy is loaded, when there are more or fewer
//! of them. No router is in charge: each decides for itself from what it knows, which may be old or wrong.
//!
//! Pure: time is milliseconds since the epoch, chance is a seeded [`Rng`], and what a router knows is passed in:
//!
//! * [`Fleet`]: the live instances as they described themselves, an immutable snapshot;
//! * [`Model`]: where a model has copies and where it failed, from its record;
//! * [`PeerLoad`]: how busy a peer said it was with its last response;
//! * [`Ledger`]: the loads that this router has sent out and that no record shows yet.
//!
//! What a decision leads to is done elsewhere, by compare-and-set on the records; so a decision made on old knowledge
//! costs a detour and never harms.

mod constraints;
pub mod drain;
mod instance;
pub mod janitor;
pub mod leader;
mod ledger;
mod load;
pub mod load_times;
mod model;
mod names;
pub mod place;
pub mod publish;
mod random;
pub mod rates;
pub mod route;
pub mod scale;
mod snapshot;
pub mod sweep;

pub use constraints::{Constraints, ConstraintsError};
pub use instance::{Instance, InstanceId};
pub use ledger::{Ledger, Pending};
pub use load::PeerLoad;
pub use load_times::LoadTimes;
pub use model::{Copy, Failure, Model, Pin};
pub use names::{Ix, Names};
pub use place::{NoPlace, Place, Purpose, place};
pub use random::Rng;
pub use route::{Ask, Decision, Origin, Own, Why, route};
pub use snapshot::Fleet;
pub use sweep::Sweep;

/// What can be configured about decisions. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A full fleet takes no further model while everything in it was used within this time; 0 = always takes one.
    /// Keeps a fleet that is much too small from doing nothing but loading.
    pub min_churn_age: u64,
    /// How long a failed load counts against an instance, and against the model as a whole.
    pub failure_expiry: u64,
    /// As many failures, each on its own instance, make a model fail without another try.
    pub max_failures: usize,
    /// As many holders that could not serve make a request fail without loading one copy more.
    pub max_fruitless: usize,
}

impl Settings {
    /// Upstream's defaults for a runtime with this limit on the time of a load.
    pub fn of_load_timeout(load_timeout: u64) -> Self {
        Self {
            min_churn_age: 10 * (load_timeout / 3).max(3_000),
            failure_expiry: 900_000,
            max_failures: 3,
            max_fruitless: 5,
        }
    }
}

#[cfg(test)]
mod world;
