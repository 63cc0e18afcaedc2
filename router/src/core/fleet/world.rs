//! Fleets for tests, in few words.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Ask, Constraints, Copy, Decision, Failure, Fleet, Instance, Ix, Ledger, Model, NoPlace, Origin, Own,
    PeerLoad, Pin, Place, Purpose, Rng, Settings, place, route,
};

pub(super) const GIB: u64 = 1 << 30;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
/// Far enough from 0 for every age.
pub(super) const NOW: u64 = 1_000 * 24 * HOUR;

/// An empty instance of 1 GiB that has been there for a day.
pub(super) fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        start_ms: NOW - 24 * HOUR,
        version: 0,
        location: "".into(),
        zone: "".into(),
        labels: [].into(),
        lru_ms: u64::MAX,
        models: 0,
        capacity: GIB,
        used: 0,
        loading_threads: 4,
        loading: 0,
        rpm: 0,
        shutting_down: false,
        peer: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
    }
}

/// A full one; what it would evict has this age.
pub(super) fn full(id: &str, age: u64) -> Instance {
    Instance {
        lru_ms: NOW - age,
        models: 100,
        used: GIB,
        ..instance(id)
    }
}

pub(super) fn labels(names: &[&str]) -> Box<[Box<str>]> {
    names.iter().map(|name| Box::from(*name)).collect()
}

pub(super) fn fleet(instances: impl IntoIterator<Item = Instance>) -> Fleet {
    constrained(instances, "")
}

pub(super) fn constrained(instances: impl IntoIterator<Item = Instance>, constraints: &str) -> Fleet {
    let numbered = (0..).zip(instances.into_iter().map(Arc::new));
    Fleet::new(numbered, Arc::new(Constraints::parse(constraints).unwrap()))
}

pub(super) fn copies(of: &[(Ix, u64)]) -> Vec<Copy> {
    of.iter()
        .map(|(instance, since_ms)| Copy {
            instance: *instance,
            since_ms: *since_ms,
        })
        .collect()
}

/// One decision; fields are changed as a test needs.
pub(super) struct Case {
    pub(super) fleet: Fleet,
    pub(super) this: Ix,
    pub(super) kind: &'static str,
    pub(super) copies: Vec<Copy>,
    pub(super) failures: Vec<Failure>,
    pub(super) pinned: Vec<Pin>,
    pub(super) max: u32,
    pub(super) size: u64,
    pub(super) excluded: Vec<Ix>,
    pub(super) ledger: Ledger,
    pub(super) loads: Vec<(Ix, PeerLoad)>,
    pub(super) settings: Settings,
    pub(super) purpose: Purpose,
    pub(super) balanced: bool,
    pub(super) own: Own,
    pub(super) own_in_flight: u32,
    pub(super) draining: bool,
    pub(super) origin: Origin,
    pub(super) rng: Rng,
}

impl Case {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            this: 0,
            kind: "onnx",
            copies: Vec::new(),
            failures: Vec::new(),
            pinned: Vec::new(),
            max: 0,
            size: 10 * MIB,
            excluded: Vec::new(),
            ledger: Ledger::new(),
            loads: Vec::new(),
            settings: Settings::of_load_timeout(90 * SECOND),
            purpose: Purpose::Request,
            balanced: false,
            own: Own::Absent,
            own_in_flight: 0,
            draining: false,
            origin: Origin::External { balanced: false },
            rng: Rng::new(1),
        }
    }

    fn model<T>(&self, with: impl FnOnce(&Model<'_>) -> T) -> T {
        with(&Model {
            kind: self.kind,
            copies: &self.copies,
            failures: &self.failures,
            last_used_ms: NOW,
            min: 0,
            max: self.max,
            pinned: &self.pinned,
            size: Some(self.size),
        })
    }

    fn load(&self, ix: Ix) -> PeerLoad {
        let known = self.loads.iter().find(|(known, _)| *known == ix);
        known.map(|(_, load)| *load).unwrap_or_default()
    }

    pub(super) fn place(&mut self) -> Result<Ix, NoPlace> {
        let mut rng = self.rng.clone();
        let result = self.model(|model| {
            let want = Place {
                model,
                size: self.size,
                purpose: self.purpose,
                this: self.this,
                this_open: self.own == Own::Absent && !self.draining,
                prefer_this: self.balanced,
                excluded: &self.excluded,
                fleet: &self.fleet,
                ledger: &self.ledger,
                load_of: &|ix| self.load(ix),
                settings: &self.settings,
                now_ms: NOW,
            };
            place(&want, &mut rng)
        });
        self.rng = rng;
        result
    }

    /// How often each instance is chosen in 1,000 decisions.
    pub(super) fn places(&mut self) -> Vec<usize> {
        let mut counts = vec![0; self.fleet.len()];
        for _ in 0..1_000 {
            counts[self.place().expect("a place") as usize] += 1;
        }
        counts
    }

    pub(super) fn route(&mut self) -> Decision {
        let mut rng = self.rng.clone();
        let decision = self.model(|model| {
            let ask = Ask {
                model,
                size: self.size,
                origin: self.origin,
                excluded: &self.excluded,
                this: self.this,
                own: self.own,
                own_in_flight: self.own_in_flight,
                draining: self.draining,
                fleet: &self.fleet,
                load_of: &|ix| self.load(ix),
                assumed_load_ms: 10 * SECOND,
                ledger: &self.ledger,
                settings: &self.settings,
                now_ms: NOW,
            };
            route(&ask, &mut rng)
        });
        self.rng = rng;
        decision
    }
}

/// What a peer said about itself just now.
pub(super) fn says(in_flight: u32) -> PeerLoad {
    PeerLoad {
        in_flight,
        at_ms: NOW,
        ..PeerLoad::default()
    }
}
