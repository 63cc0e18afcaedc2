//! Requests on their way through the fleet.

use super::{
    network::Place,
    node::id,
    world::{Event, World, size},
    writes::{Then, What},
};
use crate::{
    core::{
        cache::gate::Gate,
        copies::Refusal,
        fleet::{Ask, Decision, Ix, Model, Origin, Own, PeerLoad, route},
    },
    model::ModelSpec,
};

/// Tries of one request.
const MAX_TRIES: u32 = 8;
/// After this long a router knows that a message was lost.
pub(super) const UNREACHABLE_MS: u64 = 1_000;
/// How long a model takes to answer.
const SERVE_MS: u64 = 5;

/// A request at one router.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) model: u32,
    pub(super) at: Ix,
    pub(super) origin: Origin,
    /// The visit that sent it here; none: a client.
    parent: Option<u64>,
    tried: Vec<Ix>,
    tries: u32,
    /// Times it crossed the network.
    hops: u32,
    /// The number under which the end is asked about.
    pub(super) watch: Option<u64>,
}

/// How a visit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Served,
    Refused,
    Unreachable,
}

impl World {
    /// A client asks a router.
    pub(super) fn arrive(&mut self, ix: Ix, model: u32, balanced: bool, watch: Option<u64>) {
        self.report.requests += 1;
        if !self.node(ix).up {
            self.report.unanswered += 1;
            return;
        }
        let number = self.next_number();
        let visit = Visit {
            model,
            at: ix,
            origin: Origin::External { balanced },
            parent: None,
            tried: Vec::new(),
            tries: 0,
            hops: 0,
            watch,
        };
        self.visits.insert(number, visit);
        self.decide(number);
    }

    /// Asks the real core for the way of a visit, and sends it there.
    pub(super) fn decide(&mut self, number: u64) {
        let Some(visit) = self.visits.get(&number).cloned() else {
            return;
        };
        let (ix, now) = (visit.at, self.clock(visit.at));
        let node = &self.nodes[ix as usize];
        let (_, record) = self.log.model(visit.model, node.seen);
        let fleet = self.log.fleet(node.seen);
        let (own, _, _) = node.own(visit.model, now);
        let in_flight = node.serving.get(&visit.model).map_or(0, |gate| gate.in_flight());
        let model = Model {
            kind: "sim",
            copies: &record.copies,
            failures: &record.failures,
            last_used_ms: record.last_used_ms,
            min: record.min,
            max: record.max,
            pinned: &[],
            size: None,
        };
        let ask = Ask {
            model: &model,
            size: size(visit.model),
            origin: visit.origin,
            excluded: &visit.tried,
            this: ix,
            own,
            own_in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            draining: node.drain.is_some(),
            fleet: &fleet,
            load_of: &|peer| node.peers.get(peer as usize).copied().unwrap_or_default(),
            assumed_load_ms: node.load_times.assumed_ms("sim"),
            ledger: &node.ledger,
            settings: &self.settings,
            now_ms: now,
        };
        let mut rng = node.rng.clone();
        let began = std::time::Instant::now();
        let decision = route(&ask, &mut rng);
        self.report.deciding += began.elapsed();
        self.report.decisions += 1;
        self.node_mut(ix).rng = rng;
        match decision {
            Decision::Here => self.enter(number),
            Decision::LoadHere => {
                self.report.misses += 1;
                let list = What::List { since_ms: now };
                self.write(ix, visit.model, list, Then::Acquire(number));
            }
            Decision::Hit(peer) => self.forward(number, peer, Origin::Hit),
            Decision::LoadAt(peer) => {
                let size = size(visit.model);
                self.node_mut(ix).ledger.add(peer, size, now);
                self.forward(number, peer, Origin::Load);
            }
            Decision::Refuse(_) => self.answer(number, Answer::Refused),
        }
    }

    fn forward(&mut self, number: u64, peer: Ix, origin: Origin) {
        let Some(parent) = self.visits.get_mut(&number) else {
            return;
        };
        let mut tried = parent.tried.clone();
        tried.push(parent.at);
        let visit = Visit {
            model: parent.model,
            at: peer,
            origin,
            parent: Some(number),
            tried,
            tries: 0,
            hops: parent.hops + 1,
            watch: None,
        };
        let from = parent.at;
        if visit.hops > 2 {
            self.violate(format!(
                "a request for model {} crossed the network {} times",
                visit.model, visit.hops
            ));
        }
        self.report.hops += 1;
        self.node_mut(from).peers[peer as usize].sent += 1;
        let child = self.next_number();
        let model = visit.model;
        self.visits.insert(child, visit);
        match self
            .network
            .send(Place::Router(from), Place::Router(peer), self.now)
        {
            Some(delay) if self.node(peer).up => self.at(
                delay,
                Event::Visit {
                    visit: child,
                    to: peer,
                },
            ),
            _ => {
                self.visits.remove(&child);
                self.lost(number, model, peer);
            }
        }
    }

    /// The sender learns after a while that a peer did not answer.
    fn lost(&mut self, parent: u64, _model: u32, peer: Ix) {
        let answer = Answer::Unreachable;
        self.at(
            UNREACHABLE_MS,
            Event::Answer {
                visit: parent,
                peer,
                answer,
                load: None,
            },
        );
    }

    /// A visit arrives at a peer.
    pub(super) fn visited(&mut self, number: u64, to: Ix) {
        if self.node(to).up {
            self.decide(number);
        } else if let Some(visit) = self.visits.remove(&number)
            && let Some(parent) = visit.parent
        {
            self.lost(parent, visit.model, to);
        }
    }

    /// To the copy here, or into its queue.
    fn enter(&mut self, number: u64) {
        let Some(visit) = self.visits.get(&number) else {
            return;
        };
        let (ix, model) = (visit.at, visit.model);
        let now = self.clock(ix);
        let gate = self.node(ix).serving.get(&model).cloned();
        if let Some(gate) = gate.filter(|gate| gate.enter(now)) {
            self.report.hits += u64::from(self.visits[&number].parent.is_none());
            self.serve(number, gate);
        } else {
            self.acquire(number);
        }
    }

    /// Waits for the copy here, which is loaded if need be.
    pub(super) fn acquire(&mut self, number: u64) {
        let Some(visit) = self.visits.get(&number) else {
            return;
        };
        let (ix, model) = (visit.at, visit.model);
        let now = self.clock(ix);
        let spec = ModelSpec::default();
        match self.node_mut(ix).copies.acquire(&id(model), &spec, now) {
            Ok(ticket) => {
                self.node_mut(ix).tickets.insert(ticket, number);
                self.perform(ix);
            }
            Err(refusal) => {
                self.perform(ix);
                self.turned_away(number, &refusal);
            }
        }
    }

    /// The copies here say no: the record may still name this router.
    pub(super) fn turned_away(&mut self, number: u64, refusal: &Refusal) {
        if let Some(visit) = self.visits.get(&number)
            && !matches!(refusal, Refusal::Failed(_))
        {
            let (ix, model) = (visit.at, visit.model);
            self.unlist(ix, model);
        }
        self.answer(number, Answer::Refused);
    }

    /// A visit is inside a copy.
    pub(super) fn serve(&mut self, number: u64, gate: std::sync::Arc<Gate>) {
        let Some(visit) = self.visits.get(&number) else {
            return;
        };
        let (ix, model) = (visit.at, visit.model);
        let epoch = self.node(ix).epoch;
        if !self.node(ix).runtime.held.contains_key(&gate.generation()) {
            self.violate(format!(
                "router {ix} serves model {model} that its runtime does not hold"
            ));
        }
        let node = self.node_mut(ix);
        node.inside.insert(number, gate);
        node.served += 1;
        node.counted.entry(model).or_default().requests += 1;
        self.at(
            SERVE_MS,
            Event::Served {
                ix,
                epoch,
                visit: number,
            },
        );
    }

    pub(super) fn served(&mut self, ix: Ix, number: u64) {
        if let Some(gate) = self.node_mut(ix).inside.remove(&number) {
            gate.leave();
            self.answer(number, Answer::Served);
            self.perform(ix);
        }
    }

    /// A visit is over: whoever sent it is told.
    pub(super) fn answer(&mut self, number: u64, answer: Answer) {
        let Some(visit) = self.visits.get(&number) else {
            return;
        };
        let ix = visit.at;
        // A client's request that was turned away here is tried elsewhere.
        if visit.parent.is_none()
            && answer == Answer::Refused
            && !visit.tried.contains(&ix)
            && visit.tries < MAX_TRIES
        {
            let now = self.clock(ix);
            let own = self.node(ix).own(visit.model, now).0;
            let hopeless = visit.tries > 0 && own == Own::Absent;
            if let Some(visit) = self.visits.get_mut(&number) {
                visit.tries += 1;
                visit.tried.push(ix);
            }
            if !hopeless {
                self.decide(number);
                return;
            }
        }
        let Some(visit) = self.visits.remove(&number) else {
            return;
        };
        let Some(parent) = visit.parent else {
            if answer == Answer::Served {
                self.report.served += 1;
                if let Some(watch) = visit.watch {
                    self.watched.insert(watch, true);
                }
            } else {
                self.report.refused += 1;
            }
            return;
        };
        let Some(to) = self.visits.get(&parent).map(|parent| parent.at) else {
            return;
        };
        let now = self.clock(to);
        let node = self.node(ix);
        let load = PeerLoad {
            in_flight: u32::try_from(node.inside.len()).unwrap_or(u32::MAX),
            queued: u32::try_from(node.tickets.len()).unwrap_or(u32::MAX),
            at_ms: now,
            sent: 0,
            ejected: false,
        };
        match self.network.send(Place::Router(ix), Place::Router(to), self.now) {
            Some(delay) => self.at(
                delay,
                Event::Answer {
                    visit: parent,
                    peer: ix,
                    answer,
                    load: Some(load),
                },
            ),
            None => self.lost(parent, visit.model, ix),
        }
    }

    /// An answer from a peer arrives.
    pub(super) fn answered(&mut self, number: u64, peer: Ix, answer: Answer, load: Option<PeerLoad>) {
        let Some(visit) = self.visits.get_mut(&number) else {
            return;
        };
        let ix = visit.at;
        let known = &mut self.nodes[ix as usize].peers[peer as usize];
        let sent = known.sent.saturating_sub(1);
        *known = PeerLoad {
            sent,
            ejected: answer == Answer::Unreachable,
            ..load.unwrap_or(*known)
        };
        if answer == Answer::Served {
            self.answer(number, answer);
            return;
        }
        visit.tried.push(peer);
        visit.tries += 1;
        let tries = visit.tries;
        let most = if visit.parent.is_none() { MAX_TRIES } else { 2 };
        if tries < most {
            self.decide(number);
        } else {
            // No more tries; not even here.
            if let Some(visit) = self.visits.get_mut(&number) {
                visit.tries = MAX_TRIES;
            }
            self.answer(number, Answer::Refused);
        }
    }

    /// A router is gone with everything inside: whoever waits for it learns that after a while.
    pub(super) fn drop_visits(&mut self, ix: Ix) {
        let mut gone: Vec<_> = self
            .visits
            .iter()
            .filter(|(_, visit)| visit.at == ix)
            .map(|(number, _)| *number)
            .collect();
        gone.sort_unstable();
        for number in gone {
            if let Some(visit) = self.visits.remove(&number) {
                match visit.parent {
                    Some(parent) => self.lost(parent, visit.model, ix),
                    None => self.report.unanswered += 1,
                }
            }
        }
    }
}
