//! Rules by which one leaves for another.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
};

use super::{
    Outcome, Trace,
    trace::{LOAD_MS, STEP_MS},
};
use crate::core::cache::{
    Room, WeightedCache,
    gate::{Gate, Generation, Home},
};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The cache of the router.
    Ours,
    /// Least recently used.
    LeastRecent,
    /// Three queues: a small one for newcomers, a large one for those that were used again, and a memory of who left.
    S3Fifo,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ours, Self::LeastRecent, Self::S3Fifo];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "Stowage",
            Self::LeastRecent => "LRU (ModelMesh)",
            Self::S3Fifo => "S3-FIFO",
        }
    }

    /// What comes of it with so many units of memory.
    pub fn run(self, trace: &Trace, capacity: u64) -> Outcome {
        match self {
            Self::Ours => outcome(trace, Ours::new(capacity)),
            Self::LeastRecent => outcome(trace, LeastRecent::new(capacity)),
            Self::S3Fifo => outcome(trace, S3Fifo::new(capacity)),
        }
    }
}

trait Holder {
    /// True: the model was there. It is there afterwards.
    fn ask(&mut self, model: u32, size: u64, now: u64) -> bool;
}

fn outcome(trace: &Trace, mut holder: impl Holder) -> Outcome {
    let (mut hits, mut loaded) = (0_u64, 0_u64);
    for (now, model) in (1..).zip(&trace.requests) {
        let size = trace.size(*model);
        if holder.ask(*model, size, now * STEP_MS) {
            hits += 1;
        } else {
            loaded += size;
        }
    }
    let requests = trace.requests.len().max(1) as f64;
    Outcome {
        hits: hits as f64 / requests,
        reload_ms: loaded as f64 * LOAD_MS / requests,
    }
}

struct Nobody;

impl Home for Nobody {
    fn left(&self, _: Generation) {}
}

/// Loads and unloads take no time here, so the real cache is asked for a plan that is carried out at once.
struct Ours {
    cache: WeightedCache,
    gates: HashMap<u32, Arc<Gate>>,
    models: HashMap<Generation, u32>,
    next: Generation,
}

impl Ours {
    fn new(capacity: u64) -> Self {
        Self {
            cache: WeightedCache::new(capacity, 0),
            gates: HashMap::new(),
            models: HashMap::new(),
            next: 0,
        }
    }
}

impl Holder for Ours {
    fn ask(&mut self, model: u32, size: u64, now: u64) -> bool {
        if let Some(gate) = self.gates.get(&model) {
            gate.enter(now);
            gate.leave();
            return true;
        }
        if let Room::Evict(victims) = self.cache.plan(size, 0, None, now) {
            for victim in victims {
                self.cache.leave(victim);
                self.cache.release(victim);
                if let Some(model) = self.models.remove(&victim) {
                    self.gates.remove(&model);
                }
            }
        }
        self.next += 1;
        let id = model.to_string().as_str().into();
        let gate = Arc::new(Gate::new(id, self.next, now, Weak::<Nobody>::new()));
        self.cache.reserve(gate.clone(), size);
        self.cache.loaded_now(self.next);
        gate.enter(now);
        gate.leave();
        self.models.insert(self.next, model);
        self.gates.insert(model, gate);
        false
    }
}

struct LeastRecent {
    room: u64,
    held: HashMap<u32, (u64, u64)>,
    order: BTreeSet<(u64, u32)>,
}

impl LeastRecent {
    fn new(capacity: u64) -> Self {
        Self {
            room: capacity,
            held: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl Holder for LeastRecent {
    fn ask(&mut self, model: u32, size: u64, now: u64) -> bool {
        let before = self.held.insert(model, (now, size));
        if let Some((at, _)) = before {
            self.order.remove(&(at, model));
        } else {
            while self.room < size
                && let Some((_, victim)) = self.order.pop_first()
            {
                self.room += self.held.remove(&victim).map_or(0, |(_, size)| size);
            }
            self.room = self.room.saturating_sub(size);
        }
        self.order.insert((now, model));
        before.is_some()
    }
}

struct S3Fifo {
    capacity: u64,
    small_units: u64,
    used: u64,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    /// Uses since the last look, up to 3, and the size.
    held: HashMap<u32, (u8, u64)>,
    left: VecDeque<u32>,
    known: HashSet<u32>,
}

impl S3Fifo {
    fn new(capacity: u64) -> Self {
        Self {
            capacity,
            small_units: 0,
            used: 0,
            small: VecDeque::new(),
            main: VecDeque::new(),
            held: HashMap::new(),
            left: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    /// Moves the queues on by one.
    fn turn(&mut self) {
        if self.small_units * 10 >= self.capacity || self.main.is_empty() {
            let Some(model) = self.small.pop_front() else {
                return;
            };
            let (uses, size) = self.held.get(&model).copied().unwrap_or_default();
            self.small_units -= size;
            if uses > 0 {
                self.held.insert(model, (0, size));
                self.main.push_back(model);
                return;
            }
            self.drop(model, size);
            self.left.push_back(model);
            self.known.insert(model);
            if self.left.len() > self.held.len()
                && let Some(model) = self.left.pop_front()
            {
                self.known.remove(&model);
            }
        } else if let Some(model) = self.main.pop_front() {
            let (uses, size) = self.held.get(&model).copied().unwrap_or_default();
            if uses > 0 {
                self.held.insert(model, (uses - 1, size));
                self.main.push_back(model);
            } else {
                self.drop(model, size);
            }
        }
    }

    fn drop(&mut self, model: u32, size: u64) {
        self.held.remove(&model);
        self.used -= size;
    }
}

impl Holder for S3Fifo {
    fn ask(&mut self, model: u32, size: u64, _: u64) -> bool {
        if let Some((uses, _)) = self.held.get_mut(&model) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.used + size > self.capacity && !self.held.is_empty() {
            self.turn();
        }
        if self.known.remove(&model) {
            self.main.push_back(model);
        } else {
            self.small.push_back(model);
            self.small_units += size;
        }
        self.held.insert(model, (0, size));
        self.used += size;
        false
    }
}
