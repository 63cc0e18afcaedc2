//! Copies and the model server below them: what the state machine wants done, and what comes of it.

use super::{
    node::number,
    world::{Call, Event, World, is_broken, size},
    writes::{Then, What},
};
use crate::core::{
    copies::{Action, Cause, Note},
    fleet::Ix,
};

impl World {
    /// Does what the copies of a router want done.
    pub(super) fn perform(&mut self, ix: Ix) {
        loop {
            let told = std::mem::take(&mut *self.node(ix).left.0.lock());
            let now = self.clock(ix);
            for generation in told {
                self.node_mut(ix).copies.left(generation, now);
            }
            let Some(action) = self.node_mut(ix).copies.next_action() else {
                break;
            };
            self.act(ix, action);
        }
        self.check_memory(ix);
        self.wake_later(ix);
    }

    pub(super) fn wake_later(&mut self, ix: Ix) {
        let now = self.clock(ix);
        let (due, epoch) = (self.node(ix).copies.next_deadline(), self.node(ix).epoch);
        if let Some(due) = due
            && self.node(ix).timer.is_none_or(|timer| due < timer)
        {
            self.node_mut(ix).timer = Some(due);
            self.at(due.saturating_sub(now) + 1, Event::Wake { ix, epoch });
        }
    }

    pub(super) fn act(&mut self, ix: Ix, action: Action) {
        let epoch = self.node(ix).epoch;
        match action {
            Action::Predict(gate, _) => {
                let call = Call::Predict(gate.generation(), number(gate.id()));
                self.at(1, Event::Called { ix, epoch, call });
            }
            Action::Load(gate, _) => {
                let (generation, model) = (gate.generation(), number(gate.id()));
                let size = size(model);
                let node = self.node_mut(ix);
                node.runtime.held.insert(generation, size);
                node.runtime.used += size;
                let took = (200 + self.rng.below(1_500)) * self.network.slowness(self.now);
                let call = Call::Load(generation, model);
                self.at(took, Event::Called { ix, epoch, call });
            }
            Action::Unload(gate) => {
                let took = 20 + self.rng.below(500);
                let call = Call::Unload(gate.generation());
                self.at(took, Event::Called { ix, epoch, call });
            }
            Action::Serve(gate) => {
                let model = number(gate.id());
                let node = self.node_mut(ix);
                node.serving.insert(model, gate);
                node.counted.entry(model).or_default();
                self.keep_promises(ix, model, true);
            }
            Action::Withdraw(gate) => {
                let model = number(gate.id());
                let node = self.node_mut(ix);
                if node
                    .serving
                    .get(&model)
                    .is_some_and(|serving| serving.generation() == gate.generation())
                {
                    node.serving.remove(&model);
                    node.counted.remove(&model);
                }
            }
            Action::Wake(ticket, result) => {
                let Some(visit) = self.node_mut(ix).tickets.remove(&ticket) else {
                    return;
                };
                match result {
                    Ok(Some(gate)) => self.serve(visit, gate),
                    Ok(None) => {}
                    Err(refusal) => self.turned_away(visit, &refusal),
                }
            }
            Action::Note(id, note) => self.noted(ix, number(&id), &note),
            // The answer comes all the same, and has to do no harm.
            Action::Cancel(_) | Action::Size(_) => {}
        }
    }

    pub(super) fn noted(&mut self, ix: Ix, model: u32, note: &Note) {
        match note {
            Note::Loaded { took } => {
                self.report.loads += 1;
                self.node_mut(ix).load_times.add("sim", *took);
            }
            Note::LoadFailed { .. } => {
                let at_ms = self.clock(ix);
                self.keep_promises(ix, model, false);
                self.write(ix, model, What::Fail { at_ms }, Then::Nothing);
            }
            Note::Evicted { .. } => self.unlist(ix, model),
            _ => {}
        }
    }

    pub(super) fn called(&mut self, ix: Ix, call: Call) {
        let now = self.clock(ix);
        match call {
            Call::Predict(generation, model) => {
                let size = size(model);
                self.node_mut(ix).copies.predicted(generation, Some(size), now);
            }
            Call::Load(generation, model) => {
                let size = size(model);
                if is_broken(model) || self.network.load_fails(self.now) {
                    let cause = Cause::Runtime("cannot be loaded".to_owned());
                    self.node_mut(ix).copies.load_failed(generation, cause, now);
                } else {
                    self.node_mut(ix).copies.loaded(generation, size, 0, now);
                }
            }
            Call::Unload(generation) => {
                if self.rng.chance(20_000) {
                    self.node_mut(ix)
                        .copies
                        .unloaded(generation, Err("busy".to_owned()), now);
                } else {
                    let node = self.node_mut(ix);
                    if let Some(size) = node.runtime.held.remove(&generation) {
                        node.runtime.used -= size;
                    }
                    node.copies.unloaded(generation, Ok(()), now);
                }
            }
        }
        self.perform(ix);
    }
}
