//! Edits of a model's record: read, change, compare and set, and again when somebody else was faster.

use std::sync::Arc;

use super::{
    log::{Presence, Record},
    network::Place,
    node::id,
    world::{Event, Message, World},
};
use crate::{
    core::fleet::{Copy, Failure, Fleet, Instance, Ix, janitor::Edit},
    model::ModelSpec,
};

/// How long a router waits for the store.
const TIMEOUT_MS: u64 = 3_000;
/// Tries of one edit.
const MAX_TRIES: u32 = 10;

/// An edit. What it makes of a record depends on the record alone, so it is done anew on a newer one.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// This router begins to load.
    List { since_ms: u64 },
    /// It has no copy.
    Unlist,
    /// It could not load.
    Fail { at_ms: u64 },
    /// What the janitor found.
    Tidy(Edit),
    /// These are gone for good.
    Prune(Vec<Ix>),
    /// This router's copy goes while so many stay elsewhere.
    Drop { keep: u32 },
}

/// What follows on an edit.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    /// A visit waits for the load.
    Acquire(u64),
    /// The model is loaded though nobody waits.
    Ensure {
        last_used_ms: u64,
    },
    /// The copy goes.
    Discard,
}

/// An edit under way.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) model: u32,
    pub(super) what: What,
    pub(super) then: Then,
    pub(super) tries: u32,
}

/// What the store is asked.
#[derive(Clone, Debug)]
pub(super) enum StoreCall {
    Commit {
        write: u64,
        model: u32,
        base: u64,
        record: Record,
    },
    Put {
        instance: Arc<Instance>,
    },
    Open {
        instance: Arc<Instance>,
        sent: u64,
    },
    Beat {
        sent: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug)]
pub(super) enum StoreAnswer {
    Committed {
        write: u64,
    },
    Conflict {
        write: u64,
        base: u64,
        record: Arc<Record>,
    },
    Opened {
        latch: u64,
        sent: u64,
    },
    Alive {
        sent: u64,
    },
    Gone,
}

/// What an edit makes of a record; none: there is nothing to change, or it may not be.
fn apply(what: &What, record: &Record, this: Ix, fleet: &Fleet) -> Option<Record> {
    let mut next = record.clone();
    let listed = record.copies.iter().any(|copy| copy.instance == this);
    let list = |next: &mut Record, since_ms| {
        next.copies.retain(|copy| copy.instance != this);
        next.copies.push(Copy {
            instance: this,
            since_ms,
        });
    };
    match what {
        What::List { since_ms } => list(&mut next, *since_ms),
        What::Unlist => next.copies.retain(|copy| copy.instance != this),
        What::Fail { at_ms } => {
            next.copies.retain(|copy| copy.instance != this);
            next.failures.retain(|failure| failure.instance != this);
            next.failures.push(Failure {
                instance: this,
                at_ms: *at_ms,
            });
        }
        What::Tidy(edit) => {
            if let Some(since_ms) = edit.list {
                list(&mut next, since_ms);
            }
            if edit.unlist {
                next.copies.retain(|copy| copy.instance != this);
            }
            if edit.clear_failure {
                next.failures.retain(|failure| failure.instance != this);
            }
            next.last_used_ms = next.last_used_ms.max(edit.last_used_ms.unwrap_or(0));
        }
        What::Prune(gone) => {
            next.copies.retain(|copy| !gone.contains(&copy.instance));
            next.failures.retain(|failure| !gone.contains(&failure.instance));
        }
        What::Drop { keep } => {
            let others = record.copies.iter().filter(|copy| copy.instance != this);
            let live = others.filter(|copy| fleet.get(copy.instance).is_some()).count();
            if !listed || u32::try_from(live).unwrap_or(u32::MAX) < *keep {
                return None;
            }
            next.copies.retain(|copy| copy.instance != this);
        }
    }
    (next != *record).then_some(next)
}

impl World {
    /// Begins an edit, from what the router has seen.
    pub(super) fn write(&mut self, ix: Ix, model: u32, what: What, then: Then) {
        let (base, record) = self.log.model(model, self.node(ix).seen);
        let write = Write {
            model,
            what,
            then,
            tries: 0,
        };
        self.try_write(ix, write, base, &record);
    }

    fn try_write(&mut self, ix: Ix, mut write: Write, base: u64, record: &Record) {
        write.tries += 1;
        let fleet = self.log.fleet(self.node(ix).seen);
        let may_not = matches!(write.what, What::Drop { .. });
        let Some(next) = apply(&write.what, record, ix, &fleet) else {
            self.written(ix, &write, !may_not);
            return;
        };
        if write.tries > MAX_TRIES {
            self.written(ix, &write, false);
            return;
        }
        let number = self.next_number();
        let call = StoreCall::Commit {
            write: number,
            model: write.model,
            base,
            record: next,
        };
        let epoch = self.node(ix).epoch;
        self.node_mut(ix).writes.insert(number, write);
        self.at(
            TIMEOUT_MS,
            Event::WriteTimeout {
                ix,
                epoch,
                write: number,
            },
        );
        self.ask_store(ix, call);
    }

    /// A message to the store, which may be lost.
    pub(super) fn ask_store(&mut self, ix: Ix, call: StoreCall) {
        let epoch = self.node(ix).epoch;
        if let Some(delay) = self.network.send(Place::Router(ix), Place::Store, self.now) {
            self.at(delay, Event::Store { ix, epoch, call });
        }
    }

    /// The store does what it is asked. It does not know whether the router that asked still lives.
    pub(super) fn store(&mut self, ix: Ix, epoch: u32, call: StoreCall) {
        if let Some(until) = self.network.paused(self.now) {
            self.at(until - self.now, Event::Store { ix, epoch, call });
            return;
        }
        let alive = self.log.sessions[ix as usize].is_some() && self.sessions_of[ix as usize] == epoch;
        let answer = match call {
            StoreCall::Commit {
                write,
                model,
                base,
                record,
            } => {
                let (last, current) = self.log.models[model as usize].last().clone();
                if last == base {
                    self.log.put_model(model, record);
                    self.report.writes += 1;
                    self.tell_watchers();
                    StoreAnswer::Committed { write }
                } else {
                    self.report.conflicts += 1;
                    StoreAnswer::Conflict {
                        write,
                        base: last,
                        record: current,
                    }
                }
            }
            StoreCall::Put { instance } => {
                let presence = self.log.presence(ix, self.log.revision);
                if let (true, Some(latch)) = (alive, presence.map(|presence| presence.latch)) {
                    self.log.put_present(ix, Some(Presence { instance, latch }));
                    self.report.writes += 1;
                    self.tell_watchers();
                }
                return;
            }
            StoreCall::Open { instance, sent } => {
                let latch = self.log.revision + 1;
                self.log.put_present(ix, Some(Presence { instance, latch }));
                self.sessions_of[ix as usize] = epoch;
                self.extend_session(ix);
                self.tell_watchers();
                StoreAnswer::Opened { latch, sent }
            }
            StoreCall::Beat { sent } if alive => {
                self.extend_session(ix);
                StoreAnswer::Alive { sent }
            }
            StoreCall::Beat { .. } => StoreAnswer::Gone,
        };
        if let Some(delay) = self.network.send(Place::Store, Place::Router(ix), self.now) {
            self.at(delay, Event::StoreAnswer { ix, epoch, answer });
        }
    }

    pub(super) fn store_answered(&mut self, ix: Ix, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Committed { write } => {
                if let Some(write) = self.node_mut(ix).writes.remove(&write) {
                    self.written(ix, &write, true);
                }
            }
            StoreAnswer::Conflict { write, base, record } => {
                if let Some(write) = self.node_mut(ix).writes.remove(&write) {
                    self.try_write(ix, write, base, &record);
                }
            }
            StoreAnswer::Opened { latch, sent } => self.session_opened(ix, latch, sent),
            StoreAnswer::Alive { sent } => self.session_lives(ix, sent),
            StoreAnswer::Gone => self.open_session(ix),
        }
    }

    pub(super) fn write_timed_out(&mut self, ix: Ix, write: u64) {
        if let Some(write) = self.node_mut(ix).writes.remove(&write) {
            self.written(ix, &write, false);
        }
    }

    /// Goes on after an edit. A load goes on without the store too: the janitor writes it down later.
    fn written(&mut self, ix: Ix, write: &Write, done: bool) {
        let model = write.model;
        let now = self.clock(ix);
        match write.then {
            Then::Acquire(visit) => self.acquire(visit),
            Then::Ensure { last_used_ms } => {
                let spec = ModelSpec::default();
                let node = self.node_mut(ix);
                if node
                    .copies
                    .ensure(&id(model), &spec, Some(last_used_ms), now)
                    .is_err()
                {
                    self.keep_promises(ix, model, false);
                    self.unlist(ix, model);
                }
                self.perform(ix);
            }
            Then::Discard if done => {
                self.node_mut(ix).copies.discard(&id(model), now);
                self.report.dropped += 1;
                self.perform(ix);
            }
            Then::Nothing | Then::Discard => {}
        }
    }

    /// The record stops naming this router, unless it has a copy again.
    pub(super) fn unlist(&mut self, ix: Ix, model: u32) {
        let now = self.clock(ix);
        if matches!(self.node(ix).own(model, now).0, crate::core::fleet::Own::Absent) {
            self.write(ix, model, What::Unlist, Then::Nothing);
        }
    }

    /// Those who asked for a load are told what came of it.
    pub(super) fn keep_promises(&mut self, ix: Ix, model: u32, loaded: bool) {
        for peer in self.node_mut(ix).promised.remove(&model).unwrap_or_default() {
            self.tell(ix, peer, Message::Loaded { model, loaded });
        }
    }
}
