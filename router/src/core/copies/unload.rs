//! From a copy that serves to memory that is free again.

use super::{Action, Cause, Copies, MAX_UNLOAD_BACKOFF_MS, Model, Note, Phase, Refusal};
use crate::core::cache::gate::Generation;

impl Copies {
    /// A request left a gate that is closed or has a queue in front.
    pub fn left(&mut self, generation: Generation, now: u64) {
        match self.phase(generation) {
            Some(Phase::Loaded) => self.serve_slots(generation, now),
            Some(Phase::Draining) => self.unload_if_drained(generation, now),
            _ => {}
        }
    }

    /// What came of an unload.
    pub fn unloaded(&mut self, generation: Generation, result: Result<(), String>, now: u64) {
        if self.phase(generation) != Some(Phase::Unloading) {
            return;
        }
        match result {
            Ok(()) => self.gone(generation, now),
            Err(message) => self.unload_failed(generation, message, now),
        }
        self.advance(now);
    }

    /// The model is not known any more: as [`Copies::discard`], and what is known of it goes with its last copy.
    pub fn remove(&mut self, id: &str, now: u64) {
        if let Some(model) = self.models.get_mut(id) {
            model.removed = true;
        }
        self.discard(id, now);
    }

    /// The model stays known, its copy goes: no new requests, and no copy once the last one is done.
    pub fn discard(&mut self, id: &str, now: u64) {
        let Some(model) = self.models.get_mut(id) else {
            return;
        };
        model.failure = None;
        let current = model.current;
        let Some((id, _)) = self.models.get_key_value(id) else {
            return;
        };
        let id = id.clone();
        self.wake_all(&id, &Refusal::Removed);
        if let Some(generation) = current {
            self.dismiss(generation, &Refusal::Removed, now);
        }
        self.tidy(&id);
        self.advance(now);
    }

    /// The runtime does not have this copy any more. Only this generation is touched.
    pub fn forget(&mut self, generation: Generation, now: u64) {
        if self.phase(generation) == Some(Phase::Loaded) {
            // The unload tells a runtime whose parts disagree that the copy is gone for good.
            self.close(generation, None, self.limits.forget_drain, now);
            self.advance(now);
        }
    }

    /// Nothing is loaded any more, and everything that is goes.
    pub fn shutdown(&mut self, now: u64) {
        self.closing = true;
        let ids: Vec<_> = self.models.keys().cloned().collect();
        for id in ids {
            self.wake_all(&id, &Refusal::ShuttingDown);
        }
        let generations: Vec<_> = self.held.keys().copied().collect();
        for generation in generations {
            self.dismiss(generation, &Refusal::ShuttingDown, now);
        }
    }

    pub(super) fn evict(&mut self, generation: Generation, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let gate = copy.gate.clone();
        if let Some(model) = self.models.get_mut(gate.id().as_str()) {
            model.evictions += 1;
        }
        self.note(
            gate.id(),
            Note::Evicted {
                age: now.saturating_sub(gate.last_used()),
            },
        );
        self.close(generation, None, self.limits.drain, now);
    }

    /// Ends a current copy, whatever it is doing.
    fn dismiss(&mut self, generation: Generation, refusal: &Refusal, now: u64) {
        match self.phase(generation) {
            Some(Phase::Queued | Phase::Predicting | Phase::Waiting { .. }) => {
                self.drop_before_load(generation, refusal);
            }
            Some(Phase::Loading | Phase::Sizing) => {
                self.actions.push_back(Action::Cancel(generation));
                self.queue.done();
                self.abandon(generation, now);
            }
            Some(Phase::Loaded) => self.close(generation, Some(refusal), self.limits.drain, now),
            Some(Phase::Draining | Phase::Unloading | Phase::Retrying | Phase::Lost) | None => {}
        }
    }

    /// Closes a copy that serves, and unloads it once it is empty. Those who wait for a slot are told `refusal`;
    /// without one they wait for the next load.
    fn close(&mut self, generation: Generation, refusal: Option<&Refusal>, drain: u64, now: u64) {
        let Some(copy) = self.held.get_mut(&generation) else {
            return;
        };
        copy.gate.close();
        let gate = copy.gate.clone();
        let slots = std::mem::take(&mut copy.slots);
        self.actions.push_back(Action::Withdraw(gate.clone()));
        self.cache.leave(generation);
        if let Some(model) = self.models.get_mut(gate.id().as_str()) {
            model.current = None;
            model.leaving = Some(generation);
            model.last_used = model.last_used.max(gate.last_used());
            model.since = now;
        }
        for ticket in slots {
            if let Some(refusal) = refusal {
                self.wake(ticket, Err(refusal.clone()));
            } else if let Some(waiter) = self.waiters.get_mut(&ticket) {
                waiter.slot = None;
                if let Some(model) = self.models.get_mut(gate.id().as_str()) {
                    model.places.insert(ticket);
                }
            }
        }
        self.set_phase(generation, Phase::Draining, now);
        self.set_timer(generation, Some(now.saturating_add(drain)));
        self.unload_if_drained(generation, now);
    }

    fn unload_if_drained(&mut self, generation: Generation, now: u64) {
        if self
            .held
            .get(&generation)
            .is_some_and(|copy| copy.gate.in_flight() == 0)
        {
            self.unload(generation, now);
        }
    }

    /// Gives up a load that the runtime knows of: it may be there in part, so it is unloaded.
    pub(super) fn abandon(&mut self, generation: Generation, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        copy.gate.close();
        let id = copy.gate.id().clone();
        self.cache.leave(generation);
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.current = None;
            model.leaving = Some(generation);
            model.since = now;
        }
        self.unload(generation, now);
    }

    pub(super) fn unload(&mut self, generation: Generation, now: u64) {
        self.set_timer(generation, None);
        self.set_phase(generation, Phase::Unloading, now);
        if let Some(copy) = self.held.get(&generation) {
            self.actions.push_back(Action::Unload(copy.gate.clone()));
        }
    }

    /// One more try for a copy that could not be unloaded, because its model is asked for again.
    pub(super) fn retry_lost(&mut self, generation: Generation, now: u64) {
        self.cache.leave(generation);
        self.unload(generation, now);
    }

    fn gone(&mut self, generation: Generation, now: u64) {
        self.set_timer(generation, None);
        self.cache.release(generation);
        let Some(copy) = self.held.remove(&generation) else {
            return;
        };
        let id = copy.gate.id().clone();
        self.note(
            &id,
            Note::Unloaded {
                took: now.saturating_sub(copy.since),
            },
        );
        let Some(model) = self.models.get_mut(id.as_str()) else {
            return;
        };
        model.leaving = None;
        model.since = now;
        if model.asked()
            && let Err(refusal) = self.start(&id, now)
        {
            self.wake_all(&id, &refusal);
        }
        self.tidy(&id);
    }

    fn unload_failed(&mut self, generation: Generation, message: String, now: u64) {
        let Some(copy) = self.held.get_mut(&generation) else {
            return;
        };
        copy.attempts = copy.attempts.saturating_add(1);
        let (id, attempts) = (copy.gate.id().clone(), copy.attempts);
        self.note(
            &id,
            Note::UnloadTryFailed {
                message: message.clone(),
            },
        );
        if attempts < self.limits.unload_attempts {
            let doubled = 1_u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
            let wait = self
                .limits
                .unload_backoff
                .saturating_mul(doubled)
                .min(MAX_UNLOAD_BACKOFF_MS);
            self.set_phase(generation, Phase::Retrying, now);
            self.set_timer(generation, Some(now.saturating_add(wait)));
            return;
        }
        self.set_phase(generation, Phase::Lost, now);
        self.cache.lose(generation);
        self.note(
            &id,
            Note::UnloadFailed {
                bytes: self.cache.bytes(generation).unwrap_or(0),
            },
        );
        if self.models.get(id.as_str()).is_some_and(Model::asked) {
            let refusal = self.record_failure(&id, Cause::Stuck(message), now);
            self.wake_all(&id, &refusal);
        }
    }
}
