//! What one router does for all: the one whose latch is oldest, as long as its session certainly lives.
//!
//! Everything here is an edit by compare-and-set that is right whoever makes it, so two leaders for a moment do no harm, and
//! one that changes mid-way leaves nothing half done: the next one walks all records anew.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{Fleet, Ix, Model};
use crate::model::ModelId;

mod transition;

pub use transition::{Pointer, Side, Transition, transition};

/// Period of the walk over all models.
pub const PERIOD_MS: u64 = 420_000;
/// The first walk begins so long after the election: the fleet has to be complete.
pub const FIRST_MS: u64 = 120_000;
/// Records that are looked at in one step.
pub const STEP: usize = 1_024;
/// An instance that is missing for so long is not coming back.
pub const GONE_MS: u64 = 600_000;

/// Who leads: the latch that was created first. Equal revisions cannot be, but are told apart by name.
pub fn elected<'a>(latches: impl IntoIterator<Item = (&'a str, u64)>) -> Option<&'a str> {
    latches
        .into_iter()
        .min_by_key(|(name, created)| (*created, *name))
        .map(|(name, _)| name)
}

/// Since when instances are missing, as far as this router has seen itself: a new leader waits anew.
#[derive(Debug, Default)]
pub struct Absences {
    since: HashMap<Ix, u64>,
}

impl Absences {
    /// Nobody missed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets who is back. Called when the fleet changes.
    pub fn see(&mut self, fleet: &Fleet) {
        self.since.retain(|ix, _| fleet.get(*ix).is_none());
    }

    /// Instances that the model's record names, and that are gone for good.
    pub fn gone(&mut self, model: &Model<'_>, fleet: &Fleet, now_ms: u64) -> Vec<Ix> {
        let named = model.copies.iter().map(|copy| copy.instance);
        let named = named.chain(model.failures.iter().map(|failure| failure.instance));
        let mut gone: Vec<_> = named
            .filter(|ix| fleet.get(*ix).is_none())
            .filter(|ix| {
                let since = *self.since.entry(*ix).or_insert(now_ms);
                now_ms.saturating_sub(since) >= GONE_MS
            })
            .collect();
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    /// Instances that no record named since `walk_began_ms` are not remembered any longer. Called after a walk.
    pub fn forget(&mut self, instances: &[Ix]) {
        for ix in instances {
            self.since.remove(ix);
        }
    }
}

/// A model that could be loaded before anybody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its last use, in milliseconds since the epoch: the newest first.
    pub last_used_ms: u64,
    /// The model.
    pub model: ModelId,
}

/// Collects, in one walk over the models, those that are worth loading into free memory: the most recently used ones.
#[derive(Debug)]
pub struct Proactive {
    limit: usize,
    /// Models may be this many more than fit, when they were used later than this.
    oldest_ms: u64,
    free: usize,
    /// The least recent one is on top, to be replaced.
    best: BinaryHeap<Reverse<Candidate>>,
}

/// Failures after which a model is not loaded without need.
const MAX_FAILURES: usize = 2;
/// Copies on average from which their size is a good guess.
const ENOUGH_MODELS: u64 = 10;
/// Loads for each loading thread that one walk causes at most.
const LOADS_PER_THREAD: u64 = 50;
/// Age that what is evicted for it must have more.
const MARGIN_MS: u64 = 20 * 60_000;

impl Proactive {
    /// A walk over the models of this fleet. `default_size` is what is assumed while few models are loaded.
    pub fn new(fleet: &Fleet, default_size: u64, now_ms: u64) -> Self {
        let default_size = default_size.max(1);
        let live = || fleet.iter().map(|(_, one)| one).filter(|one| !one.shutting_down);
        let models: u64 = live().map(|one| u64::from(one.models)).sum();
        let used: u64 = live().map(|one| one.used).fold(0, u64::saturating_add);
        let capacity: u64 = live().map(|one| one.capacity).fold(0, u64::saturating_add);
        let average = used.checked_div(models).unwrap_or(default_size).max(1);
        let size = match models {
            0..3 => default_size,
            3..=ENOUGH_MODELS => u64::midpoint(average, default_size),
            _ => average,
        };
        let free: u64 = live()
            .map(|one| {
                let threads = u64::from(one.loading_threads.max(1));
                let loads = (LOADS_PER_THREAD * threads).saturating_sub(u64::from(one.loading));
                (one.free().saturating_sub(one.capacity / 8) / size).min(loads)
            })
            .sum::<u64>()
            / 2;
        let limit = free.max(capacity / 20 / size);
        let oldest = live().map(|one| one.lru_ms).min().unwrap_or(u64::MAX).min(now_ms);
        let age = now_ms - oldest;
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            free: usize::try_from(free).unwrap_or(usize::MAX),
            oldest_ms: oldest.saturating_add((age / 3).max(MARGIN_MS)),
            best: BinaryHeap::new(),
        }
    }

    /// Looks at one model. True: it has fewer copies than its minimum, and is loaded whatever room there is.
    pub fn offer(
        &mut self,
        id: &ModelId,
        model: &Model<'_>,
        fleet: &Fleet,
        failure_expiry_ms: u64,
        now_ms: u64,
    ) -> bool {
        let there = model.copies.iter().any(|copy| fleet.get(copy.instance).is_some());
        let failures = model.fresh_failures(failure_expiry_ms, now_ms).count();
        if there || failures >= MAX_FAILURES {
            return false;
        }
        if model.min > 0 || !model.pinned.is_empty() {
            return true;
        }
        let candidate = Candidate {
            last_used_ms: model.last_used_ms.min(now_ms),
            model: id.clone(),
        };
        if self.best.len() < self.limit {
            self.best.push(Reverse(candidate));
        } else if self.best.peek().is_some_and(|Reverse(least)| *least < candidate) {
            self.best.pop();
            self.best.push(Reverse(candidate));
        }
        false
    }

    /// What to load, most recently used first. What does not fit into free memory is among it only if it was used so
    /// recently that it is worth an eviction.
    pub fn finish(self) -> Vec<Candidate> {
        let (free, oldest_ms) = (self.free, self.oldest_ms);
        let sorted = self
            .best
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(candidate)| candidate);
        sorted
            .enumerate()
            .take_while(|(at, candidate)| *at < free || candidate.last_used_ms > oldest_ms)
            .map(|(_, candidate)| candidate)
            .collect()
    }
}

#[cfg(test)]
mod tests;
