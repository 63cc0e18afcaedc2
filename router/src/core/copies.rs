//! The life of every copy on one instance: who asked for it, what it waits for, what it holds.
//!
//! ```text
//! NotLoaded -> Queued -> Predicting -> Waiting (for memory) -> Loading -> Sizing -> Loaded -> Draining -> Unloading
//!                                                                 |          |                              |  ^
//!                                                                 +-- fails -+------------------------------+  |
//!                                                                                       Retrying, then Lost ---+
//! ```
//!
//! Events come in with the time, [`Action`]s come out; the shell does them in order and reports what came of them.
//! Every load has its own [`Generation`], so an answer that comes late finds nothing to harm.

mod ask;
mod load;
mod unload;
mod view;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
};

pub use self::view::{CopyState, CopyView};
use super::{
    cache::{
        WeightedCache,
        gate::{Gate, Generation, Home},
    },
    queue::LoadQueue,
};
use crate::model::{ModelId, ModelSpec};

/// One request that waits. Numbers rise, so their order is the order of arrival.
pub type Ticket = u64;

/// What bounds the state machine. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that models may take together.
    pub capacity: u64,
    /// Bytes that loaded models leave free.
    pub reserve: u64,
    /// Size of a model that nobody can predict.
    pub default_size: u64,
    /// Loads at once.
    pub loading_concurrency: usize,
    /// Longest load.
    pub load_timeout: u64,
    /// Whether the concurrency that a load answers with is a limit.
    pub limit_concurrency: bool,
    /// Requests that may wait for one copy: 0 = max(16, 8 x its concurrency), negative = no limit.
    pub max_waiting_per_copy: i64,
    /// Requests that may wait at all.
    pub max_tickets: usize,
    /// Loads that may be queued.
    pub max_queued: usize,
    /// How long a failure is remembered.
    pub failure_expiry: u64,
    /// Wait after the first failure; doubles with every further one.
    pub failure_backoff: u64,
    /// How long an unload waits for requests in flight.
    pub drain: u64,
    /// The same for a copy that the runtime says it does not have.
    pub forget_drain: u64,
    /// Tries of an unload.
    pub unload_attempts: u32,
    /// Wait after the first failed unload; doubles up to [`MAX_UNLOAD_BACKOFF_MS`].
    pub unload_backoff: u64,
}

/// Longest wait between two tries of an unload: long enough to be no load, short enough to get the memory back soon.
pub const MAX_UNLOAD_BACKOFF_MS: u64 = 60_000;

/// Longest wait after loads that failed through no fault of their model: a runtime that restarts is back in seconds.
pub const MAX_UNAVAILABLE_BACKOFF_MS: u64 = 5_000;

/// Why a load failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The runtime said so.
    Runtime(String),
    /// The runtime could not be reached, or had no place: no fault of the model.
    Unavailable(String),
    /// No answer in time.
    TimedOut {
        /// The time it had, in ms.
        timeout: u64,
    },
    /// Does not fit even alone.
    TooLarge {
        /// Predicted or measured.
        bytes: u64,
        /// What can be used.
        usable: u64,
    },
    /// An earlier copy could not be unloaded.
    Stuck(String),
}

/// A failed load that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: u64,
    /// Nobody tries again before.
    pub retry_at: u64,
    count: u32,
}

/// Why a ticket gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The load failed, just now or not long enough ago.
    Failed(Failure),
    /// Too many wait for this copy.
    Overloaded,
    /// Too many wait at all.
    TooManyWaiting,
    /// Too many loads are queued.
    QueueFull,
    /// It would push out what was used more recently.
    NotWorthIt,
    /// There is no load to watch.
    NotLoading,
    /// The model was removed.
    Removed,
    /// No loads any more.
    ShuttingDown,
}

/// Something for the shell to do, in order.
#[derive(Debug)]
pub enum Action {
    /// Ask for the size; answer with [`Copies::predicted`].
    Predict(Arc<Gate>, Arc<ModelSpec>),
    /// Load; answer with [`Copies::loaded`] or [`Copies::load_failed`].
    Load(Arc<Gate>, Arc<ModelSpec>),
    /// Measure; answer with [`Copies::sized`].
    Size(Arc<Gate>),
    /// Stop the load or measurement of this generation; no answer is due any more.
    Cancel(Generation),
    /// Unload; answer with [`Copies::unloaded`].
    Unload(Arc<Gate>),
    /// Let requests in.
    Serve(Arc<Gate>),
    /// Do not let requests in any more.
    Withdraw(Arc<Gate>),
    /// Answer one who waits. A gate means that a place inside was taken in its name.
    Wake(Ticket, Result<Option<Arc<Gate>>, Refusal>),
    /// Tell people and metrics.
    Note(ModelId, Note),
}

/// Something that people and metrics want to know. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Note {
    Turn { queued: u64 },
    Measured { took: u64 },
    Loaded { took: u64 },
    Serves { bytes: u64 },
    LoadFailed { cause: Cause },
    Evicted { age: u64 },
    Unloaded { took: u64 },
    UnloadTryFailed { message: String },
    UnloadFailed { bytes: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Predicting,
    Waiting { bytes: u64 },
    Loading,
    Sizing,
    Loaded,
    Draining,
    Unloading,
    Retrying,
    Lost,
}

impl Phase {
    /// Whether the runtime has not been told to load yet, so that dropping it costs nothing.
    fn before_load(self) -> bool {
        matches!(self, Self::Queued | Self::Predicting | Self::Waiting { .. })
    }
}

/// One generation of one model.
#[derive(Debug)]
struct Copy {
    gate: Arc<Gate>,
    phase: Phase,
    since: u64,
    /// When this copy wakes up by itself.
    timer: Option<u64>,
    /// Those who wait for a slot, in order of arrival.
    slots: BTreeSet<Ticket>,
    /// Unloads that failed.
    attempts: u32,
}

/// One model that somebody asked for.
#[derive(Debug)]
struct Model {
    spec: Arc<ModelSpec>,
    /// From queued to loaded.
    current: Option<Generation>,
    /// From draining to gone. A new load waits until it is.
    leaving: Option<Generation>,
    /// Requests that wait for the load.
    places: BTreeSet<Ticket>,
    /// Those who only want to know when it is loaded.
    watches: BTreeSet<Ticket>,
    /// Asked for without waiting, with this last use.
    wanted: Option<u64>,
    failure: Option<Failure>,
    /// Size of the last load of this spec.
    measured: Option<u64>,
    last_used: u64,
    since: u64,
    loads: u64,
    evictions: u64,
    /// Nobody knows the model any more; the record goes when the last copy does.
    removed: bool,
}

#[derive(Clone, Debug)]
struct Waiter {
    id: ModelId,
    arrived: u64,
    /// The copy whose slot it waits for; none while it waits for a load.
    slot: Option<Generation>,
}

/// The state machine over all copies of one instance.
pub struct Copies {
    limits: Limits,
    home: Weak<dyn Home>,
    cache: WeightedCache,
    queue: LoadQueue,
    models: HashMap<ModelId, Model>,
    /// Every model with a failure, and perhaps some that had one.
    failed: HashSet<ModelId>,
    held: HashMap<Generation, Copy>,
    /// Copies that wait for memory, in the order in which they get it.
    waiting: VecDeque<Generation>,
    waiters: HashMap<Ticket, Waiter>,
    timers: BTreeSet<(u64, Generation)>,
    actions: VecDeque<Action>,
    next_generation: Generation,
    next_ticket: Ticket,
    closing: bool,
}

impl Copies {
    /// Nothing loaded. `home` is told when requests leave gates that need it.
    pub fn new(limits: Limits, home: Weak<dyn Home>) -> Self {
        Self {
            cache: WeightedCache::new(limits.capacity, limits.reserve),
            queue: LoadQueue::new(limits.max_queued, limits.loading_concurrency),
            limits,
            home,
            models: HashMap::new(),
            failed: HashSet::new(),
            held: HashMap::new(),
            waiting: VecDeque::new(),
            waiters: HashMap::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            next_generation: 1,
            next_ticket: 1,
            closing: false,
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Copies::expire`] has to be called at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn expired(&self, failure: &Failure, now: u64) -> bool {
        now >= failure.at.saturating_add(self.limits.failure_expiry)
    }

    fn set_phase(&mut self, generation: Generation, phase: Phase, now: u64) {
        if let Some(copy) = self.held.get_mut(&generation) {
            copy.phase = phase;
            copy.since = now;
        }
    }

    fn set_timer(&mut self, generation: Generation, at: Option<u64>) {
        let Some(copy) = self.held.get_mut(&generation) else {
            return;
        };
        if let Some(before) = copy.timer.take() {
            self.timers.remove(&(before, generation));
        }
        copy.timer = at;
        if let Some(at) = at {
            self.timers.insert((at, generation));
        }
    }

    fn phase(&self, generation: Generation) -> Option<Phase> {
        self.held.get(&generation).map(|copy| copy.phase)
    }

    fn note(&mut self, id: &ModelId, note: Note) {
        self.actions.push_back(Action::Note(id.clone(), note));
    }

    fn wake(&mut self, ticket: Ticket, result: Result<Option<Arc<Gate>>, Refusal>) {
        if self.waiters.remove(&ticket).is_some() {
            self.actions.push_back(Action::Wake(ticket, result));
        }
    }

    /// Answers everyone who waits for a load of the model, and forgets that it was asked for.
    fn wake_all(&mut self, id: &ModelId, refusal: &Refusal) {
        let Some(model) = self.models.get_mut(id.as_str()) else {
            return;
        };
        model.wanted = None;
        let tickets = std::mem::take(&mut model.places)
            .into_iter()
            .chain(std::mem::take(&mut model.watches));
        for ticket in tickets.collect::<Vec<_>>() {
            self.wake(ticket, Err(refusal.clone()));
        }
    }

    /// Forgets the record of a removed model once nothing of it is left.
    fn tidy(&mut self, id: &ModelId) {
        let gone = |model: &Model| model.removed && model.current.is_none() && model.leaving.is_none();
        if self.models.get(id.as_str()).is_some_and(gone) {
            self.models.remove(id.as_str());
            self.failed.remove(id.as_str());
        }
    }
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copies")
            .field("models", &self.models.len())
            .field("copies", &self.held.len())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

impl Model {
    fn new(spec: Arc<ModelSpec>, now: u64) -> Self {
        Self {
            spec,
            current: None,
            leaving: None,
            places: BTreeSet::new(),
            watches: BTreeSet::new(),
            wanted: None,
            failure: None,
            measured: None,
            last_used: 0,
            since: now,
            loads: 0,
            evictions: 0,
            removed: false,
        }
    }

    /// Whether a load is wanted by anybody.
    fn asked(&self) -> bool {
        self.wanted.is_some() || !self.places.is_empty()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
