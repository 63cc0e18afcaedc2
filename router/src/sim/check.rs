//! What must hold at every step, and what must hold in the end.

use std::{collections::BTreeSet, fmt};

use super::{
    scenario::Scenario,
    world::{Event, World, is_broken, size},
};
use crate::core::fleet::{Ix, Own, janitor};

/// Something that must hold did not.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In which scenario.
    pub scenario: Scenario,
    /// When, in milliseconds from the start.
    pub at: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, at, what } = self;
        write!(f, "seed {}, at {at} ms: {what}\n{scenario:#?}", scenario.seed)
    }
}

impl std::error::Error for Violation {}

/// Time that requests have at the end.
const PATIENCE_MS: u64 = 120_000;
/// Time between two of them: no longer than a fleet needs that is too small for its models.
const PACE_MS: u64 = 3_000;

/// Time between two looks at the order of things.
const LOOK_MS: u64 = 60_000;

impl World {
    pub(super) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn violation_of(&self, what: String) -> Violation {
        Violation {
            scenario: self.scenario.clone(),
            at: self.now,
            what,
        }
    }

    /// Neither the books nor the model server hold more than fits.
    pub(super) fn check_memory(&mut self, ix: Ix) {
        let node = self.node(ix);
        let (booked, used) = (node.copies.totals().used(), node.runtime.used);
        let capacity = self.scenario.capacity;
        if booked > u128::from(capacity) || used > capacity {
            self.violate(format!(
                "router {ix} has booked {booked} and holds {used} of {capacity} bytes"
            ));
        }
    }

    /// Nobody else acts as the leader.
    pub(super) fn check_leader(&mut self, ix: Ix) {
        if let Some(other) = (0..self.scenario.routers).find(|other| *other != ix && self.leads(*other)) {
            self.violate(format!("routers {ix} and {other} both lead"));
        }
    }

    /// Records say what is there, and bounds are kept. A fleet is never quite still, so only what is wrong for longer than
    /// the janitor's period counts.
    pub(super) fn check_order(&mut self) -> Result<(), Violation> {
        let mut lasting = self.disorder();
        for _ in 0..=janitor::PERIOD_MS / LOOK_MS {
            self.go(self.now + LOOK_MS)?;
            let now = self.disorder();
            lasting.retain(|what| now.contains(what));
        }
        match lasting.pop_first() {
            Some(what) => Err(self.violation_of(what)),
            None => Ok(()),
        }
    }

    fn disorder(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let fleet = self.log.fleet(self.log.revision);
        for model in 0..self.scenario.models {
            let (_, record) = self.log.model(model, self.log.revision);
            for node in &self.nodes {
                let ix = node.ix;
                if fleet.get(ix).is_none() {
                    found.insert(format!("router {ix} is not registered"));
                }
                let has = node.own(model, self.clock(ix)).0 != Own::Absent;
                if has != record.copies.iter().any(|copy| copy.instance == ix) {
                    let what = if has { "has" } else { "does not have" };
                    found.insert(format!(
                        "router {ix} {what} a copy of model {model}; its record says otherwise"
                    ));
                }
            }
            let copies = u32::try_from(record.copies.len()).unwrap_or(u32::MAX);
            if record.max > 0 && copies > record.max {
                found.insert(format!("model {model} has more than {} copies", record.max));
            }
            let least = record.min.min(self.scenario.routers);
            if copies < least && self.has_room() && !is_broken(model) {
                found.insert(format!("model {model} has less than {least} copies"));
            }
        }
        found
    }

    /// Whether every router could hold all models.
    fn has_room(&self) -> bool {
        let all: u64 = (0..self.scenario.models).map(size).sum();
        all <= self.scenario.capacity * 9 / 10
    }

    /// Every model that can be loaded is served, wherever it is asked for.
    pub(super) fn check_service(&mut self) -> Result<(), Violation> {
        let asked: Vec<_> = (0..self.scenario.models)
            .filter(|model| !is_broken(*model) && size(*model) <= self.scenario.capacity)
            .collect();
        let pace = |at: usize| u64::try_from(at).unwrap_or(0) * PACE_MS;
        for (at, model) in asked.iter().enumerate() {
            let watch = u64::try_from(at).unwrap_or(0);
            self.at(pace(at), Event::Check { model: *model, watch });
        }
        self.go(self.now + pace(asked.len()) + PATIENCE_MS)?;
        for (at, model) in asked.iter().enumerate() {
            if !self.watched.contains_key(&u64::try_from(at).unwrap_or(0)) {
                let what = format!("model {model} was not served after the faults were over");
                return Err(self.violation_of(what));
            }
        }
        Ok(())
    }
}
