//! From the queue to a copy that serves, or to a failure that is remembered.

use std::{collections::BTreeSet, sync::Arc};

use super::{Action, Cause, Copies, Copy, Failure, MAX_UNAVAILABLE_BACKOFF_MS, Note, Phase, Refusal};
use crate::core::cache::{
    Room,
    gate::{Gate, Generation},
};

impl Copies {
    /// What the runtime thinks a model will take; `None` = it cannot tell.
    pub fn predicted(&mut self, generation: Generation, bytes: Option<u64>, now: u64) {
        if self.phase(generation) == Some(Phase::Predicting) {
            self.wait_for_memory(generation, bytes.unwrap_or(self.limits.default_size), now);
            self.advance(now);
        }
    }

    /// The runtime has loaded a model. 0 bytes = it has to be measured; concurrency 0 = no limit.
    pub fn loaded(&mut self, generation: Generation, bytes: u64, concurrency: u32, now: u64) {
        if self.phase(generation) != Some(Phase::Loading) {
            return;
        }
        self.set_timer(generation, None);
        let Some(copy) = self.held.get_mut(&generation) else {
            return;
        };
        let (gate, took) = (copy.gate.clone(), now.saturating_sub(copy.since));
        if self.limits.limit_concurrency {
            gate.set_limit(concurrency);
        }
        self.note(gate.id(), Note::Loaded { took });
        if bytes == 0 {
            self.set_phase(generation, Phase::Sizing, now);
            self.actions.push_back(Action::Size(gate));
        } else {
            self.finish(generation, Some(bytes), now);
        }
    }

    /// What a loaded model takes; `None` = the runtime could not tell, so the prediction stands.
    pub fn sized(&mut self, generation: Generation, bytes: Option<u64>, now: u64) {
        if self.phase(generation) != Some(Phase::Sizing) {
            return;
        }
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let (id, took) = (copy.gate.id().clone(), now.saturating_sub(copy.since));
        self.note(&id, Note::Measured { took });
        self.finish(generation, bytes.filter(|bytes| *bytes > 0), now);
    }

    /// The runtime could not load a model.
    pub fn load_failed(&mut self, generation: Generation, cause: Cause, now: u64) {
        if self.phase(generation) == Some(Phase::Loading) {
            self.fail(generation, cause, now);
        }
    }

    /// Does what is due: loads that take too long, drains that do, unloads to try again.
    pub fn expire(&mut self, now: u64) {
        while let Some((at, generation)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.set_timer(generation, None);
            match self.phase(generation) {
                Some(Phase::Loading) => {
                    self.actions.push_back(Action::Cancel(generation));
                    self.fail(
                        generation,
                        Cause::TimedOut {
                            timeout: self.limits.load_timeout,
                        },
                        now,
                    );
                }
                Some(Phase::Draining | Phase::Retrying) => self.unload(generation, now),
                _ => {}
            }
        }
        self.advance(now);
    }

    /// Moves everything on that can move: memory to those who wait for it, turns to those in the queue.
    pub(super) fn advance(&mut self, now: u64) {
        loop {
            self.settle(now);
            let Some(generation) = self.queue.pop(now) else {
                return;
            };
            let Some(copy) = self.held.get(&generation) else {
                continue;
            };
            let (gate, queued) = (copy.gate.clone(), now.saturating_sub(copy.since));
            self.note(gate.id(), Note::Turn { queued });
            let known = self
                .models
                .get(gate.id().as_str())
                .and_then(|model| model.measured);
            match (known, self.models.get(gate.id().as_str())) {
                (Some(bytes), _) => self.wait_for_memory(generation, bytes, now),
                (None, Some(model)) => {
                    self.actions.push_back(Action::Predict(gate, model.spec.clone()));
                    self.set_phase(generation, Phase::Predicting, now);
                }
                (None, None) => self.drop_before_load(generation, &Refusal::Removed),
            }
        }
    }

    fn wait_for_memory(&mut self, generation: Generation, bytes: u64, now: u64) {
        self.set_phase(generation, Phase::Waiting { bytes: bytes.max(1) }, now);
        self.waiting.push_back(generation);
    }

    /// Repays what measured more than predicted, then gives memory to those who wait for it, strictly in order.
    fn settle(&mut self, now: u64) {
        for victim in self.cache.deficit(now) {
            self.evict(victim, now);
        }
        let mut ahead = 0_u128;
        // At most as many as load at once; the list changes under way.
        for generation in self.waiting.iter().copied().collect::<Vec<_>>() {
            let Some(Phase::Waiting { bytes }) = self.phase(generation) else {
                continue;
            };
            match self.cache.plan(bytes, ahead, self.worth(generation), now) {
                Room::TooLarge(usable) => {
                    self.fail_before_load(generation, Cause::TooLarge { bytes, usable }, now);
                }
                Room::Refused => self.drop_before_load(generation, &Refusal::NotWorthIt),
                Room::Evict(victims) => {
                    for victim in victims {
                        self.evict(victim, now);
                    }
                    if ahead == 0 && self.cache.fits(bytes) {
                        self.waiting.retain(|waiting| *waiting != generation);
                        self.load(generation, bytes, now);
                    } else {
                        ahead += u128::from(bytes);
                    }
                }
            }
        }
    }

    /// The last use that a load nobody waits for may not push beyond.
    fn worth(&self, generation: Generation) -> Option<u64> {
        let copy = self.held.get(&generation)?;
        let model = self.models.get(copy.gate.id().as_str())?;
        if model.places.is_empty() {
            model.wanted
        } else {
            None
        }
    }

    fn load(&mut self, generation: Generation, bytes: u64, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let gate = copy.gate.clone();
        let Some(model) = self.models.get(gate.id().as_str()) else {
            return;
        };
        self.actions
            .push_back(Action::Load(gate.clone(), model.spec.clone()));
        self.cache.reserve(gate, bytes);
        self.set_phase(generation, Phase::Loading, now);
        self.set_timer(generation, Some(now.saturating_add(self.limits.load_timeout)));
    }

    /// The load is over: from here on the copy serves, unless it is larger than everything.
    fn finish(&mut self, generation: Generation, bytes: Option<u64>, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let gate = copy.gate.clone();
        if let Some(bytes) = bytes {
            self.cache.resize(generation, bytes);
            if let Some(model) = self.models.get_mut(gate.id().as_str()) {
                model.measured = Some(bytes);
            }
            let usable = self.cache.usable();
            if bytes > usable {
                self.fail(generation, Cause::TooLarge { bytes, usable }, now);
                return;
            }
        }
        self.queue.done();
        self.cache.loaded_now(generation);
        self.set_phase(generation, Phase::Loaded, now);
        let Some(model) = self.models.get_mut(gate.id().as_str()) else {
            return;
        };
        model.loads += 1;
        model.failure = None;
        model.wanted = None;
        let watches = std::mem::take(&mut model.watches);
        let places = std::mem::take(&mut model.places);
        for ticket in watches {
            self.wake(ticket, Ok(None));
        }
        self.admit_all(generation, places, now);
        self.note(
            gate.id(),
            Note::Serves {
                bytes: self.cache.bytes(generation).unwrap_or(0),
            },
        );
        self.actions.push_back(Action::Serve(gate));
        self.advance(now);
    }

    /// Lets those in who waited for the load, as far as slots reach; the others queue for a slot.
    fn admit_all(&mut self, generation: Generation, places: BTreeSet<u64>, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let limit = self.slot_queue_limit(copy.gate.limit());
        let slots = match copy.gate.limit() {
            0 => usize::MAX,
            slots => usize::try_from(slots).unwrap_or(usize::MAX),
        };
        for (position, ticket) in places.into_iter().enumerate() {
            if position < limit.saturating_add(slots) {
                self.queue_for_slot(generation, ticket);
            } else {
                self.wake(ticket, Err(Refusal::Overloaded));
            }
        }
        self.serve_slots(generation, now);
    }

    /// A load that the runtime knows of has failed: remember it, tell everyone, and unload what may be left.
    fn fail(&mut self, generation: Generation, cause: Cause, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let id = copy.gate.id().clone();
        self.queue.done();
        self.set_timer(generation, None);
        let refusal = self.record_failure(&id, cause, now);
        self.wake_all(&id, &refusal);
        self.abandon(generation, now);
        self.advance(now);
    }

    /// The same for one that the runtime has not been told of.
    fn fail_before_load(&mut self, generation: Generation, cause: Cause, now: u64) {
        let Some(copy) = self.held.get(&generation) else {
            return;
        };
        let id = copy.gate.id().clone();
        let refusal = self.record_failure(&id, cause, now);
        self.drop_before_load(generation, &refusal);
    }

    pub(super) fn record_failure(&mut self, id: &crate::model::ModelId, cause: Cause, now: u64) -> Refusal {
        let count = match self
            .models
            .get(id.as_str())
            .and_then(|model| model.failure.as_ref())
        {
            Some(before) if !self.expired(before, now) => before.count.saturating_add(1),
            _ => 1,
        };
        let doubled = 1_u64.checked_shl(count - 1).unwrap_or(u64::MAX);
        let longest = match cause {
            Cause::Unavailable(_) => self.limits.failure_expiry.min(MAX_UNAVAILABLE_BACKOFF_MS),
            _ => self.limits.failure_expiry,
        };
        let backoff = self.limits.failure_backoff.saturating_mul(doubled).min(longest);
        let failure = Failure {
            cause: cause.clone(),
            at: now,
            retry_at: now.saturating_add(backoff),
            count,
        };
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.failure = Some(failure.clone());
            self.failed.insert(id.clone());
        }
        self.note(id, Note::LoadFailed { cause });
        Refusal::Failed(failure)
    }

    /// Takes a load back that the runtime has not been told of.
    pub(super) fn drop_before_load(&mut self, generation: Generation, refusal: &Refusal) {
        let Some(copy) = self.held.remove(&generation) else {
            return;
        };
        let id = copy.gate.id().clone();
        match copy.phase {
            Phase::Queued => {
                self.queue.remove(generation);
            }
            _ => self.queue.done(),
        }
        self.waiting.retain(|waiting| *waiting != generation);
        if let Some(model) = self.models.get_mut(id.as_str())
            && model.current == Some(generation)
        {
            model.current = None;
        }
        self.wake_all(&id, refusal);
        self.tidy(&id);
    }

    pub(super) fn insert_copy(&mut self, gate: &Arc<Gate>, now: u64) {
        let copy = Copy {
            phase: Phase::Queued,
            since: now,
            timer: None,
            slots: BTreeSet::new(),
            attempts: 0,
            gate: gate.clone(),
        };
        self.held.insert(gate.generation(), copy);
    }
}
