//! Those who want a copy: requests, management, and their giving up.

use std::sync::Arc;

use super::{Copies, Model, Phase, Refusal, Ticket, Waiter};
use crate::{
    core::{
        cache::gate::{Gate, Generation},
        queue::Urgency,
    },
    model::{ModelId, ModelSpec},
};

impl Copies {
    /// A request wants a place inside a copy, and waits for a load or a slot if it has to.
    pub fn acquire(&mut self, id: &ModelId, spec: &ModelSpec, now: u64) -> Result<Ticket, Refusal> {
        if self.closing {
            return Err(Refusal::ShuttingDown);
        }
        if self.waiters.len() >= self.limits.max_tickets {
            return Err(Refusal::TooManyWaiting);
        }
        self.model(id, spec, now);
        if let Some(generation) = self.loaded_generation(id) {
            return self.acquire_slot(id, generation, now);
        }
        self.refuse_failed(id, now)?;
        let ticket = self.ticket(id, None, now);
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.places.insert(ticket);
        }
        if let Err(refusal) = self.start(id, now) {
            // The caller learns it from the return value; nobody else waits when the start is refused.
            self.forget_ticket(id, ticket);
            return Err(refusal);
        }
        self.advance(now);
        Ok(ticket)
    }

    /// Somebody wants the model to be loaded, without waiting. `last_used` says how much it is worth.
    pub fn ensure(
        &mut self,
        id: &ModelId,
        spec: &ModelSpec,
        last_used: Option<u64>,
        now: u64,
    ) -> Result<(), Refusal> {
        if self.closing {
            return Err(Refusal::ShuttingDown);
        }
        let worth = last_used.unwrap_or(now).min(now);
        self.model(id, spec, now);
        if let Some(generation) = self.loaded_generation(id) {
            if let Some(copy) = self.held.get(&generation) {
                copy.gate.touch(worth);
            }
            return Ok(());
        }
        self.refuse_failed(id, now)?;
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.wanted = Some(model.wanted.map_or(worth, |before| before.max(worth)));
        }
        if let Err(refusal) = self.start(id, now) {
            if let Some(model) = self.models.get_mut(id.as_str()) {
                model.wanted = None;
            }
            return Err(refusal);
        }
        self.advance(now);
        Ok(())
    }

    /// Somebody wants to know when the load that is under way is done, without speeding it up.
    pub fn watch(&mut self, id: &ModelId, now: u64) -> Result<Ticket, Refusal> {
        if self.closing {
            return Err(Refusal::ShuttingDown);
        }
        if self.waiters.len() >= self.limits.max_tickets {
            return Err(Refusal::TooManyWaiting);
        }
        if self.loaded_generation(id).is_some() {
            let ticket = self.ticket(id, None, now);
            self.wake(ticket, Ok(None));
            return Ok(ticket);
        }
        let Some(model) = self.models.get(id.as_str()) else {
            return Err(Refusal::NotLoading);
        };
        if model.current.is_none() && !model.asked() {
            return Err(match &model.failure {
                Some(failure) if !self.expired(failure, now) => Refusal::Failed(failure.clone()),
                _ => Refusal::NotLoading,
            });
        }
        let ticket = self.ticket(id, None, now);
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.watches.insert(ticket);
        }
        Ok(ticket)
    }

    /// Whoever held the ticket does not wait any more. Late calls do nothing.
    pub fn give_up(&mut self, ticket: Ticket, now: u64) {
        let Some(waiter) = self.waiters.remove(&ticket) else {
            return;
        };
        if let Some(generation) = waiter.slot {
            if let Some(copy) = self.held.get_mut(&generation)
                && copy.slots.remove(&ticket)
                && copy.slots.is_empty()
            {
                copy.gate.set_contended(false);
            }
            return;
        }
        let Some(model) = self.models.get_mut(waiter.id.as_str()) else {
            return;
        };
        model.places.remove(&ticket);
        model.watches.remove(&ticket);
        let asked = model.asked();
        let current = model.current;
        match current {
            Some(generation) if asked => self.set_urgency(&waiter.id, generation),
            Some(generation) if self.phase(generation).is_some_and(Phase::before_load) => {
                self.drop_before_load(generation, &Refusal::NotLoading);
                self.advance(now);
            }
            None if !asked => self.wake_all(&waiter.id, &Refusal::NotLoading),
            _ => {}
        }
    }

    /// The record of a model, with what is to be loaded from now on.
    fn model(&mut self, id: &ModelId, spec: &ModelSpec, now: u64) {
        let model = self
            .models
            .entry(id.clone())
            .or_insert_with(|| Model::new(Arc::new(spec.clone()), now));
        model.removed = false;
        if *model.spec != *spec {
            model.spec = Arc::new(spec.clone());
            model.failure = None;
            model.measured = None;
        }
    }

    pub(super) fn loaded_generation(&self, id: &str) -> Option<Generation> {
        let generation = self.models.get(id)?.current?;
        (self.phase(generation) == Some(Phase::Loaded)).then_some(generation)
    }

    fn refuse_failed(&self, id: &str, now: u64) -> Result<(), Refusal> {
        let Some(model) = self.models.get(id) else {
            return Ok(());
        };
        match &model.failure {
            Some(failure) if model.current.is_none() && now < failure.retry_at => {
                Err(Refusal::Failed(failure.clone()))
            }
            _ => Ok(()),
        }
    }

    fn ticket(&mut self, id: &ModelId, slot: Option<Generation>, now: u64) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.insert(
            ticket,
            Waiter {
                id: id.clone(),
                arrived: now,
                slot,
            },
        );
        ticket
    }

    fn forget_ticket(&mut self, id: &str, ticket: Ticket) {
        self.waiters.remove(&ticket);
        if let Some(model) = self.models.get_mut(id) {
            model.places.remove(&ticket);
        }
    }

    fn acquire_slot(&mut self, id: &ModelId, generation: Generation, now: u64) -> Result<Ticket, Refusal> {
        let Some(copy) = self.held.get(&generation) else {
            return Err(Refusal::NotLoading);
        };
        if !copy.slots.is_empty() && copy.slots.len() >= self.slot_queue_limit(copy.gate.limit()) {
            return Err(Refusal::Overloaded);
        }
        let ticket = self.ticket(id, Some(generation), now);
        self.queue_for_slot(generation, ticket);
        self.serve_slots(generation, now);
        Ok(ticket)
    }

    /// Requests that may wait for the slots of one copy.
    pub(super) fn slot_queue_limit(&self, concurrency: u32) -> usize {
        match self.limits.max_waiting_per_copy {
            0 => usize::try_from(concurrency)
                .unwrap_or(usize::MAX)
                .saturating_mul(8)
                .max(16),
            limit if limit < 0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn queue_for_slot(&mut self, generation: Generation, ticket: Ticket) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.slot = Some(generation);
        }
        if let Some(copy) = self.held.get_mut(&generation) {
            copy.slots.insert(ticket);
            // First the bit, then the look for a free slot: whoever leaves in between sees one or the other.
            copy.gate.set_contended(true);
        }
    }

    /// Gives free slots to those who wait, in order of arrival.
    pub(super) fn serve_slots(&mut self, generation: Generation, now: u64) {
        while let Some(copy) = self.held.get_mut(&generation) {
            let Some(ticket) = copy.slots.first().copied() else {
                copy.gate.set_contended(false);
                return;
            };
            if !copy.gate.admit(now) {
                return;
            }
            copy.slots.remove(&ticket);
            let gate = copy.gate.clone();
            self.wake(ticket, Ok(Some(gate)));
        }
    }

    /// Starts a load of a model that was asked for, or speeds up the one under way.
    pub(super) fn start(&mut self, id: &ModelId, now: u64) -> Result<(), Refusal> {
        let Some(model) = self.models.get_mut(id.as_str()) else {
            return Ok(());
        };
        match (model.current, model.leaving) {
            (Some(generation), _) => {
                self.set_urgency(id, generation);
                Ok(())
            }
            (None, Some(generation)) => {
                model.since = now;
                if self.phase(generation) == Some(Phase::Lost) {
                    self.retry_lost(generation, now);
                }
                Ok(())
            }
            (None, None) => self.enqueue(id, now),
        }
    }

    fn enqueue(&mut self, id: &ModelId, now: u64) -> Result<(), Refusal> {
        let Some(urgency) = self.urgency(id) else {
            return Ok(());
        };
        let generation = self.next_generation;
        let displaced = self
            .queue
            .push(generation, urgency, now)
            .map_err(|_| Refusal::QueueFull)?;
        self.next_generation += 1;
        let last_used = match urgency {
            Urgency::Awaited { .. } => now,
            Urgency::Background { last_used } => last_used,
        };
        let gate = Arc::new(Gate::new(id.clone(), generation, last_used, self.home.clone()));
        self.insert_copy(&gate, now);
        if let Some(model) = self.models.get_mut(id.as_str()) {
            model.current = Some(generation);
        }
        if let Some(displaced) = displaced {
            self.drop_before_load(displaced, &Refusal::QueueFull);
        }
        Ok(())
    }

    fn urgency(&self, id: &str) -> Option<Urgency> {
        let model = self.models.get(id)?;
        let oldest = model.places.first().and_then(|ticket| self.waiters.get(ticket));
        match (oldest, model.wanted) {
            (Some(waiter), _) => Some(Urgency::Awaited {
                since: waiter.arrived,
            }),
            (None, Some(last_used)) => Some(Urgency::Background { last_used }),
            (None, None) => None,
        }
    }

    fn set_urgency(&mut self, id: &str, generation: Generation) {
        let Some(urgency) = self.urgency(id) else { return };
        self.queue.set_urgency(generation, urgency);
        if let Some(copy) = self.held.get(&generation) {
            let (Urgency::Awaited { since: used } | Urgency::Background { last_used: used }) = urgency;
            copy.gate.touch(used);
        }
    }
}
