//! What can be seen of the state machine from outside.

use super::{Copies, Copy, Failure, Phase};
use crate::core::cache::Totals;

/// Where a copy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// Not here, and nobody wants it here.
    NotLoaded,
    /// Waits for its turn to load, or for an earlier copy of the same model to be gone.
    Queued,
    /// Its turn has come; waits for memory.
    Waiting,
    /// The runtime loads it.
    Loading,
    /// Loaded; its size is being measured.
    Sizing,
    /// Serves.
    Loaded,
    /// Drains or unloads.
    Unloading,
    /// The last load failed.
    Failed,
}

/// What is known of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyView {
    /// Where it is in its life.
    pub state: CopyState,
    /// Since when.
    pub since: u64,
    /// Bytes it holds, with those of an earlier copy on its way out.
    pub bytes: u64,
    /// Last use; 0 = never.
    pub last_used: u64,
    /// Loads that succeeded.
    pub loads: u64,
    /// Times others pushed it out.
    pub evictions: u64,
    /// Requests inside.
    pub in_flight: u64,
    /// The failure, while it is remembered.
    pub failure: Option<Failure>,
}

impl Copies {
    /// Bytes by what they are held for.
    pub fn totals(&self) -> Totals {
        self.cache.totals()
    }

    /// Bytes that loaded models may fill without touching the reserve.
    pub fn usable(&self) -> u64 {
        self.limits.capacity.saturating_sub(self.limits.reserve)
    }

    /// Last use of the copy that would be evicted first.
    pub fn oldest_use(&mut self, now: u64) -> Option<u64> {
        self.cache.oldest_use(now)
    }

    /// Number of loaded copies.
    pub fn loaded_count(&self) -> usize {
        self.cache.loaded()
    }

    /// Loads that wait for their turn.
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }

    /// Loads that have their turn.
    pub fn running_count(&self) -> usize {
        self.queue.running()
    }

    /// Requests that wait.
    pub fn waiting_count(&self) -> usize {
        self.waiters.len()
    }

    /// Models with a failure that is remembered.
    pub fn failed_count(&mut self, now: u64) -> usize {
        let mut failed = std::mem::take(&mut self.failed);
        failed.retain(|id| {
            let failure = self
                .models
                .get(id.as_str())
                .and_then(|model| model.failure.as_ref());
            failure.is_some_and(|failure| !self.expired(failure, now))
        });
        self.failed = failed;
        self.failed.len()
    }

    /// Whether a model serves.
    pub fn serves(&self, id: &str) -> bool {
        self.loaded_generation(id).is_some()
    }

    /// Whether [`Copies::shutdown`] was called.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether nothing is left but what could not be unloaded.
    pub fn is_idle(&self) -> bool {
        self.held.values().all(|copy| copy.phase == Phase::Lost)
    }

    /// What is known of a model.
    pub fn view(&self, id: &str, now: u64) -> Option<CopyView> {
        let model = self.models.get(id)?;
        let current = model.current.and_then(|generation| self.held.get(&generation));
        let leaving = model.leaving.and_then(|generation| self.held.get(&generation));
        let failure = model
            .failure
            .clone()
            .filter(|failure| !self.expired(failure, now));
        let (state, since) = match (current, leaving, &failure) {
            (Some(copy), _, _) => (copy.state(), copy.since),
            (None, _, _) if model.asked() => (CopyState::Queued, model.since),
            (None, _, Some(failure)) => (CopyState::Failed, failure.at),
            (None, Some(copy), None) => (CopyState::Unloading, copy.since),
            (None, None, None) => (CopyState::NotLoaded, model.since),
        };
        let held = [model.current, model.leaving].into_iter().flatten();
        let stamps = [current, leaving]
            .into_iter()
            .flatten()
            .map(|copy| copy.gate.last_used());
        Some(CopyView {
            state,
            since,
            bytes: held
                .filter_map(|generation| self.cache.bytes(generation))
                .fold(0, u64::saturating_add),
            last_used: stamps.fold(model.last_used, u64::max),
            loads: model.loads,
            evictions: model.evictions,
            in_flight: [current, leaving]
                .into_iter()
                .flatten()
                .map(|copy| copy.gate.in_flight())
                .sum(),
            failure,
        })
    }
}

impl Copy {
    fn state(&self) -> CopyState {
        match self.phase {
            Phase::Queued => CopyState::Queued,
            Phase::Predicting | Phase::Waiting { .. } => CopyState::Waiting,
            Phase::Loading => CopyState::Loading,
            Phase::Sizing => CopyState::Sizing,
            Phase::Loaded => CopyState::Loaded,
            Phase::Draining | Phase::Unloading | Phase::Retrying | Phase::Lost => CopyState::Unloading,
        }
    }
}
