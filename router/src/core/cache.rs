//! The model memory of one runtime: who holds how many bytes, and who gives them up first.
//!
//! Every byte is counted from the moment a load is admitted until its unload is confirmed. The sum exceeds the capacity
//! only when a model measures larger than predicted; while it does, nothing is admitted, and either enough is on its
//! way out to repay it or nothing that could be evicted is left.

pub mod gate;
mod worth;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use self::{
    gate::{Gate, Generation},
    worth::{Past, Turnover, Uses},
};

/// What an entry is doing with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Loading or being measured: cannot be evicted.
    Reserved,
    /// Loaded: can be evicted. Holds the worth under which the order knows it.
    Loaded { worth: u64 },
    /// On its way out; counts until that is confirmed.
    Leaving,
    /// Could not be unloaded; counts for good.
    Lost,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    hold: Hold,
    gate: Arc<Gate>,
    uses: Uses,
    /// What the gate had counted when `uses` was last brought up to date.
    hits: u64,
}

/// Answer to a demand for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is, or will be once what is leaving is gone. These have to leave in addition; often none.
    Evict(Vec<Generation>),
    /// It would push out what was used more recently.
    Refused,
    /// It can never fit into these usable bytes.
    TooLarge(u64),
}

/// Bytes by what they are held for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Held by loads under way.
    pub reserved: u128,
    /// Held by loaded models.
    pub loaded: u128,
    /// Held by models on their way out.
    pub leaving: u128,
    /// Held by models that could not be unloaded.
    pub lost: u128,
}

impl Totals {
    /// Everything that counts against the capacity.
    pub fn used(&self) -> u128 {
        self.reserved + self.loaded + self.leaving + self.lost
    }
}

/// Weighted; who was used least often, where old uses count less, leaves first ([`worth`]). Plain data: it decides who
/// leaves, its owner makes them leave.
#[derive(Debug)]
pub struct WeightedCache {
    capacity: u64,
    /// Bytes that loaded models leave free, so that a load need not wait for an unload.
    reserve: u64,
    entries: HashMap<Generation, Entry>,
    /// Loaded entries by worth as far as known: they may be worth more, never less.
    order: BTreeSet<(u64, Generation)>,
    totals: Totals,
    turnover: Turnover,
    past: Past,
    /// The latest time that it was told.
    now: u64,
}

impl WeightedCache {
    /// An empty cache. A `reserve` beyond the capacity is cut to it.
    pub fn new(capacity: u64, reserve: u64) -> Self {
        Self {
            capacity,
            reserve: reserve.min(capacity),
            entries: HashMap::new(),
            order: BTreeSet::new(),
            totals: Totals::default(),
            turnover: Turnover::default(),
            past: Past::default(),
            now: 0,
        }
    }

    /// Bytes in all.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes that a single model can have at most.
    pub fn usable(&self) -> u64 {
        u64::try_from(u128::from(self.capacity).saturating_sub(self.totals.lost)).unwrap_or(0)
    }

    /// Bytes by what they are held for.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Bytes that an entry holds.
    pub fn bytes(&self, generation: Generation) -> Option<u64> {
        self.entries.get(&generation).map(|entry| entry.bytes)
    }

    /// Number of loaded entries.
    pub fn loaded(&self) -> usize {
        self.order.len()
    }

    /// Whether bytes are free now.
    pub fn fits(&self, bytes: u64) -> bool {
        self.totals.used() + u128::from(bytes) <= u128::from(self.capacity)
    }

    /// What has to happen so that `bytes` more fit, after `ahead` bytes which others were promised before.
    ///
    /// `last_used` is given for a load that nobody waits for: it may only push out what was used before that.
    pub fn plan(&mut self, bytes: u64, ahead: u128, last_used: Option<u64>, now: u64) -> Room {
        if bytes > self.usable() {
            return Room::TooLarge(self.usable());
        }
        let demand = ahead + u128::from(bytes);
        let target = u128::from(self.capacity - self.reserve);
        let staying = self.totals.reserved + self.totals.loaded + self.totals.lost + demand;
        let victims = self.oldest(staying.saturating_sub(target), now);
        // The reserve is a wish; only what the bytes really take is worth a refusal.
        let short = staying.saturating_sub(u128::from(self.capacity));
        if let Some(limit) = last_used
            && self.newer_needed(&victims, short, limit)
        {
            return Room::Refused;
        }
        let victims: Vec<_> = match last_used {
            Some(limit) => victims
                .into_iter()
                .filter(|(stamp, _)| *stamp <= limit)
                .map(|(_, g)| g)
                .collect(),
            None => victims.into_iter().map(|(_, g)| g).collect(),
        };
        Room::Evict(victims)
    }

    /// Loaded entries that must leave because what was admitted measures more than the capacity.
    pub fn deficit(&mut self, now: u64) -> Vec<Generation> {
        let staying = self.totals.used() - self.totals.leaving;
        let excess = staying.saturating_sub(u128::from(self.capacity));
        self.oldest(excess, now)
            .into_iter()
            .map(|(_, generation)| generation)
            .collect()
    }

    /// Whether freeing `short` bytes takes a victim that was used after `limit`, or more than there is to take.
    fn newer_needed(&self, victims: &[(u64, Generation)], short: u128, limit: u64) -> bool {
        let old = victims.iter().filter(|(stamp, _)| *stamp <= limit);
        let freed: u128 = old
            .map(|(_, generation)| u128::from(self.bytes(*generation).unwrap_or(0)))
            .sum();
        freed < short
    }

    /// The entries that are worth least, with their last use, whose bytes add up to at least `excess`, or all of them.
    fn oldest(&mut self, excess: u128, now: u64) -> Vec<(u64, Generation)> {
        self.now = self.now.max(now);
        let half_life = self.turnover.half_life();
        let mut found = Vec::new();
        let mut freed = 0;
        let mut after = None;
        while freed < excess {
            let next = match after {
                None => self.order.first().copied(),
                Some(seen) => self
                    .order
                    .range((std::ops::Bound::Excluded(seen), std::ops::Bound::Unbounded))
                    .next()
                    .copied(),
            };
            let Some((known, generation)) = next else { break };
            let Some(entry) = self.entries.get_mut(&generation) else {
                break;
            };
            if entry.catch_up(half_life, now) {
                let worth = entry.uses.worth(half_life);
                if worth > known {
                    self.order.remove(&(known, generation));
                    self.order.insert((worth, generation));
                    entry.hold = Hold::Loaded { worth };
                    continue;
                }
            }
            freed += u128::from(entry.bytes);
            found.push((entry.uses.at(), generation));
            after = Some((known, generation));
        }
        found
    }

    /// Takes the bytes. The owner has asked [`WeightedCache::fits`] before.
    pub fn reserve(&mut self, gate: Arc<Gate>, bytes: u64) {
        debug_assert!(self.fits(bytes), "reserved more than was free");
        let generation = gate.generation();
        self.totals.reserved += u128::from(bytes);
        let before = self.entries.insert(
            generation,
            Entry {
                bytes,
                hold: Hold::Reserved,
                gate,
                uses: Uses::default(),
                hits: 0,
            },
        );
        debug_assert!(before.is_none(), "one reservation per generation");
    }

    /// Corrects the bytes of an entry to what was measured.
    pub fn resize(&mut self, generation: Generation, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(&generation) {
            let total = self.totals.of(entry.hold);
            *total = *total - u128::from(entry.bytes) + u128::from(bytes);
            entry.bytes = bytes;
        }
    }

    /// The entry is loaded: it can be evicted from now on.
    pub fn loaded_now(&mut self, generation: Generation) {
        let half_life = self.turnover.half_life();
        if let Some(entry) = self.entries.get_mut(&generation) {
            let last_used = entry.gate.last_used();
            let before = self.past.recall(entry.gate.id());
            entry.uses = before
                .unwrap_or(Uses::none(last_used))
                .and(0, last_used, half_life);
            let worth = entry.uses.worth(half_life);
            self.shift(generation, Hold::Loaded { worth });
        }
    }

    /// The entry is on its way out: it counts, but is not chosen any more.
    pub fn leave(&mut self, generation: Generation) {
        let (now, half_life) = (self.now, self.turnover.half_life());
        if let Some(entry) = self.entries.get_mut(&generation)
            && matches!(entry.hold, Hold::Loaded { .. })
        {
            entry.catch_up(half_life, now);
            let worth = entry.uses.worth(half_life);
            self.past
                .remember(entry.gate.id(), entry.uses, worth, self.order.len());
            if self.turnover.leave(self.order.len().saturating_sub(1), now) {
                self.rank_anew();
            }
        }
        self.shift(generation, Hold::Leaving);
    }

    /// Orders all loaded entries by another half-life. Happens once while as many leave as there are.
    fn rank_anew(&mut self) {
        let (now, half_life) = (self.now, self.turnover.half_life());
        let order = std::mem::take(&mut self.order);
        for (_, generation) in order {
            if let Some(entry) = self.entries.get_mut(&generation) {
                entry.catch_up(half_life, now);
                let worth = entry.uses.worth(half_life);
                entry.hold = Hold::Loaded { worth };
                self.order.insert((worth, generation));
            }
        }
    }

    /// The entry could not be unloaded: its bytes are lost until it is.
    pub fn lose(&mut self, generation: Generation) {
        self.shift(generation, Hold::Lost);
    }

    /// The entry's bytes are free again.
    pub fn release(&mut self, generation: Generation) {
        if let Some(entry) = self.entries.remove(&generation) {
            *self.totals.of(entry.hold) -= u128::from(entry.bytes);
            if let Hold::Loaded { worth } = entry.hold {
                self.order.remove(&(worth, generation));
            }
        }
    }

    /// The totals, added up afresh.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> Totals {
        let mut totals = Totals::default();
        for entry in self.entries.values() {
            *totals.of(entry.hold) += u128::from(entry.bytes);
        }
        totals
    }

    fn shift(&mut self, generation: Generation, to: Hold) {
        let Some(entry) = self.entries.get_mut(&generation) else {
            return;
        };
        let bytes = u128::from(entry.bytes);
        if let Hold::Loaded { worth } = entry.hold {
            self.order.remove(&(worth, generation));
        }
        *self.totals.of(entry.hold) -= bytes;
        entry.hold = to;
        *self.totals.of(to) += bytes;
        if let Hold::Loaded { worth } = to {
            self.order.insert((worth, generation));
        }
    }

    /// Last use of the entry that would be evicted first.
    pub fn oldest_use(&mut self, now: u64) -> Option<u64> {
        self.oldest(1, now).first().map(|(stamp, _)| *stamp)
    }
}

impl Entry {
    /// Takes in what the gate has counted since. False: there was nothing new.
    fn catch_up(&mut self, half_life: u64, now: u64) -> bool {
        let (more, hits) = self.gate.entered_since(self.hits);
        // What serves right now is in use, whenever its request began.
        let in_use = self.gate.in_flight() > 0;
        let last_used = if in_use {
            now
        } else {
            self.gate.last_used().min(now)
        };
        if more == 0 && last_used <= self.uses.at() {
            return false;
        }
        self.hits = hits;
        self.uses = self.uses.and(more, last_used, half_life);
        true
    }
}

impl Totals {
    fn of(&mut self, hold: Hold) -> &mut u128 {
        match hold {
            Hold::Reserved => &mut self.reserved,
            Hold::Loaded { .. } => &mut self.loaded,
            Hold::Leaving => &mut self.leaving,
            Hold::Lost => &mut self.lost,
        }
    }
}

#[cfg(test)]
mod tests;
