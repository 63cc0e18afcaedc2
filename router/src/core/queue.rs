//! The queue of loads: bounded, at most so many at once, and nobody in it starves.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use super::cache::gate::Generation;

/// After this long in the queue a load that nobody waits for stands beside those with waiters, as if a waiter had come
/// then: long enough for a burst of misses to pass first, short against the time a person waits for a registration.
pub const AGING_MS: u64 = 30_000;

/// How urgent a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Requests wait for it, the oldest since then.
    Awaited {
        /// Arrival of the oldest waiter, in ms.
        since: u64,
    },
    /// Nobody waits for it.
    Background {
        /// Last use of the model, in ms.
        last_used: u64,
    },
}

/// The queue is full of loads that are no less urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Clone, Copy, Debug)]
struct Place {
    urgency: Urgency,
    queued_at: u64,
}

/// Loads that wait for their turn, and the count of those that have it.
#[derive(Debug)]
pub struct LoadQueue {
    limit: usize,
    concurrency: usize,
    running: usize,
    places: HashMap<Generation, Place>,
    /// Oldest waiter first.
    awaited: BTreeSet<(u64, Generation)>,
    /// Most recently used first.
    background: BTreeSet<(Reverse<u64>, Generation)>,
    /// Background loads, longest in the queue first.
    aging: BTreeSet<(u64, Generation)>,
}

impl LoadQueue {
    /// At most `limit` loads wait, and `concurrency` have their turn at once.
    pub fn new(limit: usize, concurrency: usize) -> Self {
        Self {
            limit,
            concurrency: concurrency.max(1),
            running: 0,
            places: HashMap::new(),
            awaited: BTreeSet::new(),
            background: BTreeSet::new(),
            aging: BTreeSet::new(),
        }
    }

    /// Loads that wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no load waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The bound on loads that wait.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Loads that have their turn.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Queues a load. When the queue is full, an awaited load takes the place of the background load that would come
    /// last, which is returned; everything else is refused.
    pub fn push(
        &mut self,
        generation: Generation,
        urgency: Urgency,
        now: u64,
    ) -> Result<Option<Generation>, Full> {
        let mut displaced = None;
        if self.places.len() >= self.limit {
            let last = self.background.last().map(|(_, generation)| *generation);
            displaced = match (urgency, last) {
                (Urgency::Awaited { .. }, Some(last)) => Some(last),
                _ => return Err(Full),
            };
        }
        if let Some(displaced) = displaced {
            self.remove(displaced);
        }
        self.insert(
            generation,
            Place {
                urgency,
                queued_at: now,
            },
        );
        Ok(displaced)
    }

    /// Changes how urgent a queued load is; it keeps the time it has waited.
    pub fn set_urgency(&mut self, generation: Generation, urgency: Urgency) {
        if let Some(place) = self.take(generation) {
            self.insert(generation, Place { urgency, ..place });
        }
    }

    /// Takes a load out of the queue.
    pub fn remove(&mut self, generation: Generation) -> bool {
        self.take(generation).is_some()
    }

    /// Gives the next load its turn, when one is free.
    pub fn pop(&mut self, now: u64) -> Option<Generation> {
        if self.running >= self.concurrency {
            return None;
        }
        let awaited = self.awaited.first().copied();
        let aged = self
            .aging
            .first()
            .map(|(queued_at, generation)| (queued_at.saturating_add(AGING_MS), *generation));
        let aged = aged.filter(|(due, _)| *due <= now);
        let next = match (awaited, aged) {
            (Some(awaited), Some(aged)) => awaited.min(aged).1,
            (Some((_, generation)), None) | (None, Some((_, generation))) => generation,
            (None, None) => self.background.first()?.1,
        };
        self.take(next)?;
        self.running += 1;
        Some(next)
    }

    /// A load that had its turn is done with it.
    pub fn done(&mut self) {
        debug_assert!(self.running > 0, "a turn ended that never began");
        self.running = self.running.saturating_sub(1);
    }

    fn insert(&mut self, generation: Generation, place: Place) {
        match place.urgency {
            Urgency::Awaited { since } => {
                self.awaited.insert((since, generation));
            }
            Urgency::Background { last_used } => {
                self.background.insert((Reverse(last_used), generation));
                self.aging.insert((place.queued_at, generation));
            }
        }
        self.places.insert(generation, place);
    }

    fn take(&mut self, generation: Generation) -> Option<Place> {
        let place = self.places.remove(&generation)?;
        match place.urgency {
            Urgency::Awaited { since } => {
                self.awaited.remove(&(since, generation));
            }
            Urgency::Background { last_used } => {
                self.background.remove(&(Reverse(last_used), generation));
                self.aging.remove(&(place.queued_at, generation));
            }
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests;
