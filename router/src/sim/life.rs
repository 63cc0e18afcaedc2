//! How routers start, stop, keep their sessions and follow the log, and what they say to each other.

use std::sync::Arc;

use super::{
    network::Place,
    node::{Node, SESSION_MS},
    requests::UNREACHABLE_MS,
    tasks::TICK_MS,
    world::{BEAT_MS, Event, Message, World},
    writes::StoreCall,
};
use crate::core::fleet::{Ix, publish::Published};

impl World {
    pub(super) fn start(&mut self, ix: Ix) {
        if self.node(ix).up {
            return;
        }
        let scenario = &self.scenario;
        let (epoch, now) = (self.node(ix).epoch + 1, self.clock(ix));
        let mut node = Node::new(ix, epoch, scenario.routers, scenario.capacity, scenario.seed, now);
        node.up = true;
        // It begins with a snapshot.
        node.seen = self.log.revision;
        self.nodes[ix as usize] = node;
        self.open_session(ix);
        self.at(BEAT_MS, Event::Beat { ix, epoch });
        let first = self.rng.below(TICK_MS);
        self.at(first, Event::Tick { ix, epoch });
    }

    pub(super) fn stop(&mut self, ix: Ix) {
        if self.node(ix).up {
            let epoch = self.node(ix).epoch;
            let scenario = &self.scenario;
            self.nodes[ix as usize] =
                Node::new(ix, epoch, scenario.routers, scenario.capacity, scenario.seed, 0);
            self.drop_visits(ix);
        }
    }

    pub(super) fn open_session(&mut self, ix: Ix) {
        let (now, sent) = (self.clock(ix), self.steady_clock(ix));
        let node = self.node_mut(ix);
        node.latch = 0;
        let record = node.describe(now);
        let instance = Arc::new(record.clone());
        node.published = Some(Published { record, at_ms: now });
        self.ask_store(ix, StoreCall::Open { instance, sent });
    }

    pub(super) fn session_opened(&mut self, ix: Ix, latch: u64, sent: u64) {
        self.node_mut(ix).latch = latch;
        self.session_lives(ix, sent);
    }

    pub(super) fn session_lives(&mut self, ix: Ix, sent: u64) {
        let until = sent + self.scenario.certain_ms;
        let node = self.node_mut(ix);
        node.certain_until = node.certain_until.max(until);
    }

    pub(super) fn extend_session(&mut self, ix: Ix) {
        self.log.sessions[ix as usize] = Some(self.now + SESSION_MS);
        self.at(SESSION_MS, Event::SessionEnd { ix });
    }

    pub(super) fn end_session(&mut self, ix: Ix) {
        let ends = self.log.sessions[ix as usize];
        if ends.is_some_and(|ends| ends <= self.now) {
            if let Some(until) = self.network.paused(self.now) {
                self.at(until - self.now, Event::SessionEnd { ix });
                return;
            }
            self.log.sessions[ix as usize] = None;
            self.log.put_present(ix, None);
            self.tell_watchers();
        }
    }

    pub(super) fn tell_watchers(&mut self) {
        for ix in 0..self.scenario.routers {
            if self.node(ix).up && !self.node(ix).watching {
                self.node_mut(ix).watching = true;
                let epoch = self.node(ix).epoch;
                // Many changes come together when there are many.
                let delay = 1 + self.rng.below(u64::from(self.scenario.routers).min(100));
                self.at(delay, Event::Watch { ix, epoch });
            }
        }
    }

    pub(super) fn watch(&mut self, ix: Ix) {
        let epoch = self.node(ix).epoch;
        if self
            .network
            .send(Place::Store, Place::Router(ix), self.now)
            .is_none()
            || self.network.paused(self.now).is_some()
        {
            self.at(1_000, Event::Watch { ix, epoch });
            return;
        }
        let (now, revision) = (self.clock(ix), self.log.revision);
        let seen = self.node(ix).seen;
        let come: Vec<_> = self
            .log
            .arrivals
            .iter()
            .rev()
            .take_while(|(at, _)| *at > seen)
            .map(|(_, ix)| *ix)
            .collect();
        let fleet = self.log.fleet(revision);
        let node = self.node_mut(ix);
        node.watching = false;
        node.seen = revision;
        for peer in come {
            node.ledger.published(peer, now.saturating_sub(1_000));
        }
        node.leading.absences.see(&fleet);
        if revision.is_multiple_of(64) {
            let seen = self
                .nodes
                .iter()
                .filter(|node| node.up)
                .map(|node| node.seen)
                .min();
            self.log.forget(seen.unwrap_or(revision));
        }
    }

    pub(super) fn tell(&mut self, from: Ix, to: Ix, message: Message) {
        if let Some(delay) = self
            .network
            .send(Place::Router(from), Place::Router(to), self.now)
            && self.node(to).up
        {
            self.at(delay, Event::Message { from, to, message });
        } else if let Message::Load { model, .. } = message {
            let message = Message::Loaded { model, loaded: false };
            self.at(
                UNREACHABLE_MS,
                Event::Message {
                    from: to,
                    to: from,
                    message,
                },
            );
        }
    }
}
