//! One router: the real state machines, and what its shell keeps beside them.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{log::Presence, writes::Write};
use crate::{
    core::{
        cache::gate::{Gate, Generation, Home},
        copies::{Copies, CopyState, Limits, Ticket},
        fleet::{
            Instance, Ix, Ledger, LoadTimes, Own, PeerLoad, Rng, Sweep,
            drain::Drain,
            janitor,
            leader::{self, Absences, Proactive},
            publish::Published,
            rates::Usage,
        },
    },
    model::ModelId,
};

/// Longest load that a runtime allows.
pub(super) const LOAD_TIMEOUT_MS: u64 = 20_000;
/// How long a session lives without a sign of its router.
pub(super) const SESSION_MS: u64 = 25_000;

/// Gates say here that somebody left.
#[derive(Debug, Default)]
pub(super) struct Left(pub(super) Mutex<Vec<Generation>>);

impl Home for Left {
    fn left(&self, generation: Generation) {
        self.0.lock().push(generation);
    }
}

/// What a model server holds, from the call to load to the confirmed unload.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    pub(super) held: HashMap<Generation, u64>,
    pub(super) used: u64,
}

/// How a copy is used, and what was counted since that was noted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) usage: Usage,
    pub(super) requests: u32,
}

/// What the leader does between two steps.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) sweep: Sweep,
    pub(super) absences: Absences,
    pub(super) proactive: Option<Proactive>,
}

/// A router.
pub(super) struct Node {
    pub(super) ix: Ix,
    /// Grows with every start: what was sent to an earlier one finds nobody.
    pub(super) epoch: u32,
    pub(super) up: bool,
    pub(super) copies: Copies,
    pub(super) left: Arc<Left>,
    pub(super) runtime: Runtime,
    pub(super) serving: HashMap<u32, Arc<Gate>>,
    /// Visits that wait for a copy.
    pub(super) tickets: HashMap<Ticket, u64>,
    /// Visits inside a copy.
    pub(super) inside: HashMap<u64, Arc<Gate>>,
    /// Peers that wait for a load.
    pub(super) promised: HashMap<u32, Vec<Ix>>,
    pub(super) counted: HashMap<u32, Counted>,
    pub(super) ledger: Ledger,
    pub(super) load_times: LoadTimes,
    pub(super) peers: Vec<PeerLoad>,
    /// The part of the log that it has seen.
    pub(super) seen: u64,
    pub(super) watching: bool,
    pub(super) published: Option<Published>,
    /// Revision of its latch; 0 = none.
    pub(super) latch: u64,
    /// By its own clock.
    pub(super) certain_until: u64,
    pub(super) janitor: Sweep,
    pub(super) leading: Leading,
    pub(super) drain: Option<Drain>,
    pub(super) writes: HashMap<u64, Write>,
    /// When it wakes up for its copies.
    pub(super) timer: Option<u64>,
    pub(super) rng: Rng,
    pub(super) start_ms: u64,
    pub(super) served: u32,
    /// When it last looked at the number of its copies.
    pub(super) scaled_ms: u64,
    capacity: u64,
}

impl Node {
    pub(super) fn new(ix: Ix, epoch: u32, routers: u32, capacity: u64, seed: u64, now: u64) -> Self {
        let left = Arc::new(Left::default());
        let home: Arc<dyn Home> = left.clone();
        let mut rng = Rng::new(seed ^ (u64::from(ix) << 32 | u64::from(epoch)));
        let first = now + rng.below(janitor::PERIOD_MS / 4);
        Self {
            ix,
            epoch,
            up: false,
            copies: Copies::new(limits(capacity), Arc::downgrade(&home)),
            left,
            runtime: Runtime::default(),
            serving: HashMap::new(),
            tickets: HashMap::new(),
            inside: HashMap::new(),
            promised: HashMap::new(),
            counted: HashMap::new(),
            ledger: Ledger::new(),
            load_times: LoadTimes::new(LOAD_TIMEOUT_MS),
            peers: vec![PeerLoad::default(); routers as usize],
            seen: 0,
            watching: false,
            published: None,
            latch: 0,
            certain_until: 0,
            janitor: Sweep::new(janitor::PERIOD_MS, janitor::STEP, first),
            leading: Leading {
                sweep: Sweep::new(leader::PERIOD_MS, leader::STEP, now + leader::FIRST_MS),
                absences: Absences::new(),
                proactive: None,
            },
            drain: None,
            writes: HashMap::new(),
            timer: None,
            rng,
            start_ms: now,
            served: 0,
            scaled_ms: 0,
            capacity,
        }
    }

    /// What it says about itself at `now` by its clock.
    pub(super) fn describe(&mut self, now: u64) -> Instance {
        let loading = self.copies.queued_count() + self.copies.running_count();
        let rpm: u64 = self.counted.values().map(|one| u64::from(one.usage.rpm())).sum();
        Instance {
            id: name(self.ix).as_str().into(),
            start_ms: self.start_ms,
            version: 0,
            location: "".into(),
            zone: (self.ix % 3).to_string().into(),
            labels: [].into(),
            lru_ms: self.copies.oldest_use(now).unwrap_or(u64::MAX),
            models: u32::try_from(self.copies.loaded_count()).unwrap_or(u32::MAX),
            capacity: self.capacity,
            used: u64::try_from(self.copies.totals().used()).unwrap_or(u64::MAX),
            loading_threads: 4,
            loading: u32::try_from(loading).unwrap_or(u32::MAX),
            rpm: u32::try_from(rpm).unwrap_or(u32::MAX),
            shutting_down: self.drain.is_some(),
            peer: Some(([127, 0, 0, 1], 8080).into()),
        }
    }

    /// Its copy of a model, when its load began, and its last use.
    pub(super) fn own(&self, model: u32, now: u64) -> (Own, u64, u64) {
        let Some(view) = self.copies.view(&model.to_string(), now) else {
            return (Own::Absent, 0, 0);
        };
        let since_ms = view.since;
        let own = match view.state {
            CopyState::Loaded => Own::Loaded,
            CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing => {
                Own::Loading { since_ms }
            }
            CopyState::NotLoaded | CopyState::Unloading | CopyState::Failed => Own::Absent,
        };
        (own, since_ms, view.last_used)
    }

    /// Whether it may do what the leader does, as far as it knows. `present` is what it has seen of the others.
    pub(super) fn leads<'a>(
        &self,
        present: impl Iterator<Item = (Ix, &'a Presence)>,
        steady_now: u64,
    ) -> bool {
        if !self.up || self.latch == 0 || steady_now >= self.certain_until || self.seen < self.latch {
            return false;
        }
        let names: Vec<_> = present.map(|(ix, presence)| (name(ix), presence.latch)).collect();
        let latches = names.iter().map(|(name, latch)| (name.as_str(), *latch));
        leader::elected(latches) == Some(name(self.ix).as_str())
    }
}

pub(super) fn name(ix: Ix) -> String {
    format!("r{ix:06}")
}

pub(super) fn id(model: u32) -> ModelId {
    ModelId::from(model.to_string().as_str())
}

pub(super) fn number(id: &str) -> u32 {
    id.parse().unwrap_or(u32::MAX)
}

fn limits(capacity: u64) -> Limits {
    Limits {
        capacity,
        reserve: capacity / 20,
        default_size: 8,
        loading_concurrency: 4,
        load_timeout: LOAD_TIMEOUT_MS,
        limit_concurrency: false,
        max_waiting_per_copy: 0,
        max_tickets: 10_000,
        max_queued: 10_000,
        failure_expiry: 60_000,
        failure_backoff: 1_000,
        drain: 10_000,
        forget_drain: 1_000,
        unload_attempts: 12,
        unload_backoff: 1_000,
    }
}
