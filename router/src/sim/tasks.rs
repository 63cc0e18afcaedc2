//! What routers do without being asked: publish, scale, tidy up, lead, leave.

use std::sync::Arc;

use super::{
    node::{Leading, id, number},
    world::{Event, Message, World, size},
    writes::{StoreCall, Then, What},
};
use crate::core::fleet::{
    Fleet, Ix, Model, NoPlace, Own, Place, Purpose, Sweep,
    drain::{Drain, Handover, Leaving},
    janitor::{self, Here},
    leader::{self, Absences, Proactive},
    place,
    publish::{Published, Verdict, publish},
    rates::SLOT_MS,
    scale::{Around, Local, ScaleSettings, Scaling, scale},
};

/// How often a router looks what is to be done.
pub(super) const TICK_MS: u64 = 1_000;
/// The same when nothing goes wrong any more: there is little to see.
pub(super) const QUIET_TICK_MS: u64 = 5_000;
/// How long a leaving router has.
const DRAIN_MS: u64 = 30_000;
/// Models that were used within this time get a successor when their router leaves.
const RECENT_MS: u64 = 3_600_000;

impl World {
    pub(super) fn tick(&mut self, ix: Ix) {
        self.publish(ix);
        if self.now >= self.node(ix).scaled_ms + SLOT_MS {
            self.node_mut(ix).scaled_ms = self.now;
            self.scale(ix);
        }
        self.tidy(ix);
        self.lead(ix);
        self.hand_over(ix);
    }

    fn publish(&mut self, ix: Ix) {
        let (now, fleet) = (self.clock(ix), self.log.fleet(self.node(ix).seen));
        let node = self.node_mut(ix);
        let record = node.describe(now);
        if publish(node.published.as_ref(), &record, fleet.len(), now) == Verdict::Now {
            let instance = Arc::new(record.clone());
            node.published = Some(Published { record, at_ms: now });
            self.ask_store(ix, StoreCall::Put { instance });
        }
    }

    fn scale(&mut self, ix: Ix) {
        let now = self.clock(ix);
        let settings = ScaleSettings {
            rpm_threshold: self.scenario.rpm_threshold,
            ..ScaleSettings::default()
        };
        let fleet = self.log.fleet(self.node(ix).seen);
        let mut models: Vec<_> = self.node(ix).counted.keys().copied().collect();
        models.sort_unstable();
        for model in models {
            let (_, record) = self.log.model(model, self.node(ix).seen);
            let node = self.node_mut(ix);
            let (Some(gate), Some(counted)) = (node.serving.get(&model), node.counted.get_mut(&model)) else {
                continue;
            };
            let requests = std::mem::take(&mut counted.requests);
            counted
                .usage
                .note(requests, requests * 5, settings.rpm_threshold * 3 / 4, now);
            let last_used_ms = gate.last_used();
            let known = of(&record);
            let copy = Local {
                model: &known,
                usage: &counted.usage,
                max_concurrency: 0,
                last_used_ms,
                last_drop_ms: 0,
                assumed_load_ms: node.load_times.assumed_ms("sim"),
            };
            let around = Around {
                fleet: &fleet,
                this: ix,
                settings: &settings,
                now_ms: now,
            };
            let draining = node.drain.is_some();
            match scale(&copy, &around) {
                Some(Scaling::Add { copies, .. }) if !draining => {
                    // Without a place it is tried again with the next slot.
                    let _ = (0..copies)
                        .try_for_each(|_| self.add_copy(ix, model, Purpose::Further, now).map(drop));
                }
                Some(Scaling::Drop { keep, .. }) => self.ask_to_drop(ix, model, keep, &fleet),
                _ => {}
            }
        }
    }

    /// Another holder has to say that its copy is loaded.
    fn ask_to_drop(&mut self, ix: Ix, model: u32, keep: u32, fleet: &Fleet) {
        let (_, record) = self.log.model(model, self.node(ix).seen);
        let others = record.copies.iter().map(|copy| copy.instance);
        let other = others
            .filter(|other| *other != ix && fleet.get(*other).is_some())
            .min();
        if let Some(other) = other {
            self.tell(ix, other, Message::Ask { model, keep });
        }
    }

    /// Finds a place for a copy that no request waits for, and has it loaded there.
    fn add_copy(&mut self, ix: Ix, model: u32, purpose: Purpose, last_used_ms: u64) -> Result<Ix, NoPlace> {
        let now = self.clock(ix);
        let fleet = self.log.fleet(self.node(ix).seen);
        let (_, record) = self.log.model(model, self.node(ix).seen);
        let node = self.node(ix);
        let known = of(&record);
        let mut rng = node.rng.clone();
        let want = Place {
            model: &known,
            size: size(model),
            purpose,
            this: ix,
            this_open: node.drain.is_none() && node.own(model, now).0 == Own::Absent,
            prefer_this: false,
            excluded: &[],
            fleet: &fleet,
            ledger: &node.ledger,
            load_of: &|peer| node.peers.get(peer as usize).copied().unwrap_or_default(),
            settings: &self.settings,
            now_ms: now,
        };
        let found = place(&want, &mut rng);
        let size = size(model);
        self.node_mut(ix).rng = rng;
        let to = found?;
        self.report.added += 1;
        self.node_mut(ix).ledger.add(to, size, now);
        if to == ix {
            self.load_here(ix, model, last_used_ms);
        } else {
            self.tell(ix, to, Message::Load { model, last_used_ms });
        }
        Ok(to)
    }

    fn load_here(&mut self, ix: Ix, model: u32, last_used_ms: u64) {
        let list = What::List {
            since_ms: self.clock(ix),
        };
        self.write(ix, model, list, Then::Ensure { last_used_ms });
    }

    /// What a peer says that is no request.
    pub(super) fn told(&mut self, from: Ix, ix: Ix, message: Message) {
        let now = self.clock(ix);
        match message {
            Message::Load { model, last_used_ms } => match self.node(ix).own(model, now).0 {
                Own::Loaded => self.tell(ix, from, Message::Loaded { model, loaded: true }),
                _ if self.node(ix).drain.is_some() => {
                    self.tell(ix, from, Message::Loaded { model, loaded: false });
                }
                own => {
                    self.node_mut(ix).promised.entry(model).or_default().push(from);
                    if own == Own::Absent {
                        self.load_here(ix, model, last_used_ms);
                    }
                }
            },
            Message::Loaded { model, loaded } => {
                if let Some(drain) = self.node_mut(ix).drain.as_mut() {
                    if loaded {
                        drain.moved(&id(model));
                    } else {
                        drain.failed(&id(model));
                    }
                }
            }
            Message::Ask { model, keep } => {
                let node = self.node(ix);
                let loaded = node.own(model, now).0 == Own::Loaded && node.drain.is_none();
                self.tell(ix, from, Message::Has { model, loaded, keep });
            }
            Message::Has { model, loaded, keep } => {
                if loaded && self.node(ix).drain.is_none() {
                    self.write(ix, model, What::Drop { keep }, Then::Discard);
                }
            }
        }
    }

    /// One step of the janitor's walk.
    fn tidy(&mut self, ix: Ix) {
        let now = self.clock(ix);
        let all = self.scenario.models;
        let Some(models) = step(&mut self.node_mut(ix).janitor, all, now) else {
            return;
        };
        for model in models {
            let (_, record) = self.log.model(model, self.node(ix).seen);
            let (own, since_ms, last_used_ms) = self.node(ix).own(model, now);
            let here = Here {
                own,
                since_ms,
                last_used_ms,
            };
            let expiry = self.settings.failure_expiry;
            let edit = janitor::tidy(&of(&record), ix, here, expiry, now);
            if !edit.is_empty() {
                self.write(ix, model, What::Tidy(edit), Then::Nothing);
            }
        }
    }

    /// Whether a router may act as the leader now.
    pub(super) fn leads(&self, ix: Ix) -> bool {
        let node = self.node(ix);
        let present = (0..self.scenario.routers)
            .filter_map(|other| Some((other, self.log.presence(other, node.seen)?)));
        node.leads(present, self.steady_clock(ix))
    }

    /// One step of the leader's walk.
    fn lead(&mut self, ix: Ix) {
        let now = self.clock(ix);
        if !self.leads(ix) {
            // Whoever leads again begins anew.
            self.node_mut(ix).leading = Leading {
                sweep: Sweep::new(leader::PERIOD_MS, leader::STEP, now + leader::FIRST_MS),
                absences: Absences::new(),
                proactive: None,
            };
            return;
        }
        self.check_leader(ix);
        let fleet = self.log.fleet(self.node(ix).seen);
        let models = self.scenario.models;
        let Some(batch) = step(&mut self.node_mut(ix).leading.sweep, models, now) else {
            return;
        };
        let last = batch.end == models;
        let mut proactive = match self.node_mut(ix).leading.proactive.take() {
            Some(proactive) => proactive,
            None => Proactive::new(&fleet, 8, now),
        };
        for model in batch {
            let (_, record) = self.log.model(model, self.node(ix).seen);
            let gone = self.node_mut(ix).leading.absences.gone(&of(&record), &fleet, now);
            if !gone.is_empty() {
                self.write(ix, model, What::Prune(gone), Then::Nothing);
            }
            let expiry = self.settings.failure_expiry;
            if proactive.offer(&id(model), &of(&record), &fleet, expiry, now) {
                // Without a place it is tried again with the next walk.
                let _ = self.add_copy(ix, model, Purpose::Further, record.last_used_ms);
            }
        }
        if last {
            for candidate in proactive.finish() {
                let last_used_ms = candidate.last_used_ms;
                let purpose = Purpose::Background { last_used_ms };
                if self
                    .add_copy(ix, number(&candidate.model), purpose, last_used_ms)
                    .is_err()
                {
                    break;
                }
            }
        } else {
            self.node_mut(ix).leading.proactive = Some(proactive);
        }
    }

    /// A router is asked to leave.
    pub(super) fn leave(&mut self, ix: Ix) {
        if !self.node(ix).up || self.node(ix).drain.is_some() {
            return;
        }
        let now = self.clock(ix);
        let node = self.node_mut(ix);
        let mut copies: Vec<_> = node
            .serving
            .iter()
            .map(|(model, gate)| Leaving {
                model: id(*model),
                last_used_ms: gate.last_used(),
            })
            .collect();
        copies.sort_by(|a, b| a.model.cmp(&b.model));
        node.drain = Some(Drain::new(copies, RECENT_MS, now + DRAIN_MS, now));
        self.publish(ix);
    }

    fn hand_over(&mut self, ix: Ix) {
        let now = self.clock(ix);
        while let Some(handover) = self.node_mut(ix).drain.as_mut().and_then(|drain| drain.next(now)) {
            match handover {
                Handover::Release(model) => self.write(ix, number(&model), What::Unlist, Then::Nothing),
                Handover::Move(model) => self.move_copy(ix, number(&model)),
            }
        }
        let over = self.node(ix).drain.as_ref().is_some_and(Drain::is_over);
        if over && self.node(ix).inside.is_empty() && self.node(ix).writes.is_empty() {
            self.at(0, Event::Stop { ix });
        }
    }

    fn move_copy(&mut self, ix: Ix, model: u32) {
        let (now, fleet) = (self.clock(ix), self.log.fleet(self.node(ix).seen));
        let (_, record) = self.log.model(model, self.node(ix).seen);
        let other =
            record.copies.iter().map(|copy| copy.instance).find(|other| {
                *other != ix && fleet.get(*other).is_some_and(|instance| !instance.shutting_down)
            });
        let moved = match other {
            Some(other) => {
                self.tell(
                    ix,
                    other,
                    Message::Load {
                        model,
                        last_used_ms: now,
                    },
                );
                true
            }
            None => self.add_copy(ix, model, Purpose::Further, now).is_ok(),
        };
        if let (false, Some(drain)) = (moved, self.node_mut(ix).drain.as_mut()) {
            drain.failed(&id(model));
        }
    }
}

/// The models of one step of a walk, in order of number.
fn step(sweep: &mut Sweep, models: u32, now: u64) -> Option<std::ops::Range<u32>> {
    let step = sweep.step(now)?;
    let begin = if step.after.is_empty() {
        0
    } else {
        number(&step.after) + 1
    };
    let end = begin
        .saturating_add(u32::try_from(step.limit).unwrap_or(u32::MAX))
        .min(models);
    let last = (end > begin && end < models).then(|| id(end - 1));
    sweep.done(last.as_ref());
    Some(begin..end)
}

fn of(record: &super::log::Record) -> Model<'_> {
    Model {
        kind: "sim",
        copies: &record.copies,
        failures: &record.failures,
        last_used_ms: record.last_used_ms,
        min: record.min,
        max: record.max,
        pinned: &[],
        size: None,
    }
}
