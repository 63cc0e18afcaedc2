//! A runtime and its requests without time of their own: for tests that drive [`Copies`] and check it at every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Action, Cause, Copies, Limits, Phase, Refusal, Ticket};
use crate::{
    core::cache::gate::{Gate, Generation, Home},
    model::{ModelId, ModelSpec},
};

/// Writes down which gates say that somebody left.
#[derive(Default)]
struct Left(Mutex<Vec<Generation>>);

impl Home for Left {
    fn left(&self, generation: Generation) {
        self.0.lock().push(generation);
    }
}

/// A call to the runtime that has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Predict(Generation),
    Load(Generation),
    Size(Generation),
    Unload(Generation),
}

pub(super) fn limits() -> Limits {
    Limits {
        capacity: 100,
        reserve: 0,
        default_size: 20,
        loading_concurrency: 2,
        load_timeout: 1_000,
        limit_concurrency: true,
        max_waiting_per_copy: 0,
        max_tickets: 1_000,
        max_queued: 1_000,
        failure_expiry: 60_000,
        failure_backoff: 100,
        drain: 5_000,
        forget_drain: 500,
        unload_attempts: 3,
        unload_backoff: 100,
    }
}

pub(super) struct World {
    pub(super) copies: Copies,
    left: Arc<Left>,
    pub(super) now: u64,
    pub(super) calls: BTreeSet<Call>,
    /// Canceled calls, whose answers may still come.
    pub(super) canceled: Vec<Call>,
    pub(super) serving: BTreeMap<ModelId, Arc<Gate>>,
    pub(super) leases: Vec<Arc<Gate>>,
    pub(super) pending: BTreeSet<Ticket>,
    pub(super) answers: BTreeMap<Ticket, Result<Option<Generation>, Refusal>>,
    /// What the runtime holds, from the load call to the confirmed unload.
    in_runtime: BTreeMap<Generation, ModelId>,
    withdrawn: BTreeMap<Generation, u64>,
    used: u128,
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let left = Arc::new(Left::default());
        let home: Arc<dyn Home> = left.clone();
        Self {
            copies: Copies::new(limits, Arc::downgrade(&home)),
            left,
            now: 1_000,
            calls: BTreeSet::new(),
            canceled: Vec::new(),
            serving: BTreeMap::new(),
            leases: Vec::new(),
            pending: BTreeSet::new(),
            answers: BTreeMap::new(),
            in_runtime: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            used: 0,
        }
    }

    /// An event, the actions that follow from it, and every check there is.
    pub(super) fn event<R>(&mut self, event: impl FnOnce(&mut Copies, u64) -> R) -> R {
        let result = event(&mut self.copies, self.now);
        self.perform();
        self.check_memory(false);
        self.check_books();
        result
    }

    pub(super) fn acquire(&mut self, id: &str) -> Result<Ticket, Refusal> {
        let ticket = self.copies.acquire(&id.into(), &ModelSpec::default(), self.now);
        self.expect(&ticket);
        self.event(|_, _| ticket)
    }

    pub(super) fn ensure(&mut self, id: &str, last_used: Option<u64>) -> Result<(), Refusal> {
        self.event(|copies, now| copies.ensure(&id.into(), &ModelSpec::default(), last_used, now))
    }

    pub(super) fn watch(&mut self, id: &str) -> Result<Ticket, Refusal> {
        let ticket = self.copies.watch(&id.into(), self.now);
        self.expect(&ticket);
        self.event(|_, _| ticket)
    }

    fn expect(&mut self, ticket: &Result<Ticket, Refusal>) {
        if let Ok(ticket) = ticket {
            assert!(self.pending.insert(*ticket), "a ticket was given twice");
        }
    }

    pub(super) fn give_up(&mut self, ticket: Ticket) {
        self.pending.remove(&ticket);
        self.event(|copies, now| copies.give_up(ticket, now));
    }

    /// The warm path.
    pub(super) fn enter(&mut self, id: &str) -> bool {
        let Some(gate) = self.serving.get(id).cloned() else {
            return false;
        };
        let entered = gate.enter(self.now);
        if entered {
            assert!(
                self.in_runtime.contains_key(&gate.generation()),
                "an unloaded model serves"
            );
            assert!(
                !self.withdrawn.contains_key(&gate.generation()),
                "a closing model lets someone in"
            );
            self.leases.push(gate);
        }
        entered
    }

    pub(super) fn leave(&mut self, index: usize) {
        let gate = self.leases.remove(index);
        gate.leave();
        let told = std::mem::take(&mut *self.left.0.lock());
        for generation in told {
            self.event(|copies, now| copies.left(generation, now));
        }
        self.event(|_, _| ());
    }

    pub(super) fn leave_all(&mut self) {
        while !self.leases.is_empty() {
            self.leave(0);
        }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.event(Copies::expire);
    }

    /// The one call of this kind that has no answer yet.
    pub(super) fn generation(&self, id: &str) -> Generation {
        let model = self.copies.models.get(id).expect("a model that was asked for");
        model.current.or(model.leaving).expect("a model with a copy")
    }

    pub(super) fn predicted(&mut self, id: &str, bytes: Option<u64>) {
        let generation = self.generation(id);
        assert!(
            self.calls.remove(&Call::Predict(generation)),
            "{id} is not being predicted"
        );
        self.event(|copies, now| copies.predicted(generation, bytes, now));
    }

    pub(super) fn loaded(&mut self, id: &str, bytes: u64, concurrency: u32) {
        let generation = self.generation(id);
        assert!(
            self.calls.remove(&Call::Load(generation)),
            "{id} is not being loaded"
        );
        self.sizing(|copies, now| copies.loaded(generation, bytes, concurrency, now));
    }

    pub(super) fn load_failed(&mut self, id: &str, cause: Cause) {
        let generation = self.generation(id);
        assert!(
            self.calls.remove(&Call::Load(generation)),
            "{id} is not being loaded"
        );
        self.event(|copies, now| copies.load_failed(generation, cause, now));
    }

    /// An event after which the books may exceed the capacity.
    pub(super) fn sizing(&mut self, event: impl FnOnce(&mut Copies, u64)) {
        event(&mut self.copies, self.now);
        self.perform();
        self.check_memory(true);
        self.check_books();
    }

    pub(super) fn unloaded(&mut self, generation: Generation, result: Result<(), &str>) {
        assert!(
            self.calls.remove(&Call::Unload(generation)),
            "{generation} is not being unloaded"
        );
        if result.is_ok() {
            self.in_runtime.remove(&generation);
        }
        self.event(|copies, now| copies.unloaded(generation, result.map_err(Into::into), now));
    }

    /// Loads a model to the end and gives the place up again.
    pub(super) fn load(&mut self, id: &str, bytes: u64) {
        let ticket = self.acquire(id).expect("nothing refuses");
        if self.calls.contains(&Call::Predict(self.generation(id))) {
            self.predicted(id, Some(bytes));
        }
        self.loaded(id, bytes, 0);
        assert!(matches!(self.answers.get(&ticket), Some(Ok(Some(_)))));
        self.leave_all();
    }

    fn perform(&mut self) {
        while let Some(action) = self.copies.next_action() {
            match action {
                Action::Predict(gate, _) => assert!(self.calls.insert(Call::Predict(gate.generation()))),
                Action::Load(gate, _) => self.load_called(&gate),
                Action::Size(gate) => assert!(self.calls.insert(Call::Size(gate.generation()))),
                Action::Cancel(generation) => {
                    let canceled = [Call::Load(generation), Call::Size(generation)];
                    let calls = canceled.into_iter().filter(|call| self.calls.contains(call));
                    self.canceled.extend(calls);
                    self.calls.retain(|call| !canceled.contains(call));
                }
                Action::Unload(gate) => self.unload_called(&gate),
                Action::Serve(gate) => {
                    assert!(!self.withdrawn.contains_key(&gate.generation()));
                    assert!(
                        self.serving.insert(gate.id().clone(), gate).is_none(),
                        "two copies serve"
                    );
                }
                Action::Withdraw(gate) => {
                    assert!(gate.is_closed(), "withdrawn without being closed");
                    let served = self
                        .serving
                        .remove(gate.id())
                        .expect("only what serves is withdrawn");
                    assert_eq!(served.generation(), gate.generation());
                    self.withdrawn.insert(gate.generation(), self.now);
                }
                Action::Wake(ticket, result) => self.woken(ticket, result),
                Action::Note(..) => {}
            }
        }
    }

    fn load_called(&mut self, gate: &Gate) {
        let generation = gate.generation();
        assert!(
            self.copies.cache.bytes(generation).is_some(),
            "load without reserved memory"
        );
        assert!(
            !self.in_runtime.values().any(|id| id == gate.id()),
            "load beside another copy of the model"
        );
        self.in_runtime.insert(generation, gate.id().clone());
        assert!(self.calls.insert(Call::Load(generation)));
    }

    fn unload_called(&mut self, gate: &Gate) {
        let generation = gate.generation();
        assert!(gate.is_closed(), "unload of a copy that lets requests in");
        assert!(
            self.in_runtime.contains_key(&generation),
            "unload of something that was never loaded"
        );
        let waited = self
            .withdrawn
            .get(&generation)
            .map_or(u64::MAX, |at| self.now - at);
        let inside = self.leases.iter().any(|lease| lease.generation() == generation);
        assert!(
            !inside || waited >= self.copies.limits.forget_drain,
            "unload under a request"
        );
        assert!(
            !self.calls.contains(&Call::Load(generation)),
            "unload beside the load"
        );
        assert!(self.calls.insert(Call::Unload(generation)));
    }

    fn woken(&mut self, ticket: Ticket, result: Result<Option<Arc<Gate>>, Refusal>) {
        assert!(self.pending.remove(&ticket), "woken twice, or after giving up");
        let answer = result.map(|gate| {
            gate.map(|gate| {
                assert!(
                    self.in_runtime.contains_key(&gate.generation()),
                    "a place in an unloaded model"
                );
                let generation = gate.generation();
                self.leases.push(gate);
                generation
            })
        });
        self.answers.insert(ticket, answer);
    }

    /// Never over capacity, unless a size was measured larger than predicted: then the excess only shrinks, and either
    /// enough is leaving to repay it or there is nothing left that could be evicted.
    fn check_memory(&mut self, sizing: bool) {
        let totals = self.copies.totals();
        let capacity = u128::from(self.copies.limits.capacity);
        let used = totals.used();
        if used > capacity {
            assert!(sizing || used <= self.used, "grew over capacity: {totals:?}");
            assert!(
                used - totals.leaving <= capacity || totals.loaded == 0,
                "excess is not repaid: {totals:?}"
            );
        }
        self.used = used;
        assert_eq!(totals, self.copies.cache.recount(), "totals do not add up");
    }

    fn check_books(&self) {
        let copies = &self.copies;
        let in_turn = |phase: Phase| {
            matches!(
                phase,
                Phase::Predicting | Phase::Waiting { .. } | Phase::Loading | Phase::Sizing
            )
        };
        let turns = copies.held.values().filter(|copy| in_turn(copy.phase)).count();
        assert_eq!(turns, copies.queue.running(), "turns do not add up");
        assert!(turns <= copies.limits.loading_concurrency);
        let queued = copies
            .held
            .values()
            .filter(|copy| copy.phase == Phase::Queued)
            .count();
        assert_eq!(queued, copies.queue.len(), "queue does not add up");
        assert!(
            queued == 0 || turns == copies.limits.loading_concurrency,
            "a free turn while loads wait"
        );
        for (generation, copy) in &copies.held {
            let waits = copies.waiting.contains(generation);
            assert_eq!(
                waits,
                matches!(copy.phase, Phase::Waiting { .. }),
                "waiting list does not add up"
            );
            assert_eq!(
                copies
                    .timers
                    .iter()
                    .filter(|(_, timed)| timed == generation)
                    .count(),
                usize::from(copy.timer.is_some())
            );
            let model = copies.models.get(copy.gate.id()).expect("a copy has a model");
            let known = [model.current, model.leaving]
                .iter()
                .flatten()
                .filter(|g| *g == generation)
                .count();
            assert_eq!(known, 1, "a copy that its model does not know");
            let mine = self
                .leases
                .iter()
                .filter(|lease| Arc::ptr_eq(lease, &copy.gate))
                .count();
            assert_eq!(
                copy.gate.in_flight(),
                mine as u64,
                "in-flight counts do not add up"
            );
            let limit = u64::from(copy.gate.limit());
            assert!(
                limit == 0 || copy.gate.in_flight() <= limit,
                "more inside than the limit"
            );
            assert!(
                copy.slots.is_empty() || (copy.phase == Phase::Loaded && copy.gate.in_flight() == limit),
                "a free slot while requests wait"
            );
        }
        let mut places = 0;
        for model in copies.models.values() {
            places += model.places.len() + model.watches.len();
            assert!(
                !model.asked() || model.current.is_some() || model.leaving.is_some(),
                "asked for, but nothing moves"
            );
        }
        places += copies.held.values().map(|copy| copy.slots.len()).sum::<usize>();
        assert_eq!(
            places,
            copies.waiters.len(),
            "a waiter is nowhere, or in two places"
        );
        assert_eq!(
            copies.waiters.keys().copied().collect::<BTreeSet<_>>(),
            self.pending
        );
    }
}
