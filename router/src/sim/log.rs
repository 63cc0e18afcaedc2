//! The store: one log of revisions, of which every router has seen a part.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::core::fleet::{Constraints, Copy, Failure, Fleet, Instance, Ix};

/// A model's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) copies: Vec<Copy>,
    pub(super) failures: Vec<Failure>,
    pub(super) last_used_ms: u64,
    pub(super) min: u32,
    pub(super) max: u32,
}

/// A value and what it was before, as far back as some router has not seen more.
#[derive(Clone, Debug)]
pub(super) struct Versions<T> {
    first: (u64, T),
    later: Vec<(u64, T)>,
}

impl<T> Versions<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            first: (0, value),
            later: Vec::new(),
        }
    }

    /// The value at a revision, and the revision that it is from.
    pub(super) fn at(&self, revision: u64) -> &(u64, T) {
        let found = self.later.iter().rev().find(|(since, _)| *since <= revision);
        found.unwrap_or(&self.first)
    }

    pub(super) fn last(&self) -> &(u64, T) {
        self.later.last().unwrap_or(&self.first)
    }

    fn put(&mut self, revision: u64, value: T, seen_by_all: u64) {
        self.later.push((revision, value));
        let old = self
            .later
            .iter()
            .take_while(|(since, _)| *since <= seen_by_all)
            .count();
        if let Some(last) = self.later.drain(..old).last() {
            self.first = last;
        }
        if self.later.is_empty() {
            self.later.shrink_to_fit();
        }
    }
}

/// What one router's session holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) instance: Arc<Instance>,
    /// Revision at which its latch was made.
    pub(super) latch: u64,
}

/// The store.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) revision: u64,
    pub(super) models: Vec<Versions<Arc<Record>>>,
    pub(super) present: Vec<Versions<Option<Presence>>>,
    /// Until when each session lives, unless it is renewed.
    pub(super) sessions: Vec<Option<u64>>,
    /// Who changed, at which revision; as far back as somebody has not seen it.
    pub(super) arrivals: VecDeque<(u64, Ix)>,
    fleets: BTreeMap<u64, Arc<Fleet>>,
    seen_by_all: u64,
    constraints: Arc<Constraints>,
}

impl Log {
    pub(super) fn new(routers: u32, models: Vec<Record>) -> Self {
        Self {
            revision: 0,
            models: models
                .into_iter()
                .map(|record| Versions::new(Arc::new(record)))
                .collect(),
            present: (0..routers).map(|_| Versions::new(None)).collect(),
            sessions: vec![None; routers as usize],
            arrivals: VecDeque::new(),
            fleets: BTreeMap::from([(0, Arc::default())]),
            seen_by_all: 0,
            constraints: Arc::default(),
        }
    }

    pub(super) fn put_model(&mut self, model: u32, record: Record) {
        self.revision += 1;
        let (revision, seen) = (self.revision, self.seen_by_all);
        if let Some(versions) = self.models.get_mut(model as usize) {
            versions.put(revision, Arc::new(record), seen);
        }
    }

    /// What a router's session holds from now on.
    pub(super) fn put_present(&mut self, ix: Ix, presence: Option<Presence>) {
        self.revision += 1;
        let (revision, seen) = (self.revision, self.seen_by_all);
        if let Some(versions) = self.present.get_mut(ix as usize) {
            versions.put(revision, presence, seen);
        }
        self.arrivals.push_back((revision, ix));
        self.fleets.insert(revision, self.make_fleet(revision));
    }

    pub(super) fn model(&self, model: u32, revision: u64) -> (u64, Arc<Record>) {
        let versions = self.models.get(model as usize);
        versions
            .map(|versions| versions.at(revision).clone())
            .unwrap_or_default()
    }

    pub(super) fn presence(&self, ix: Ix, revision: u64) -> Option<&Presence> {
        self.present.get(ix as usize)?.at(revision).1.as_ref()
    }

    /// The fleet as it was at a revision.
    pub(super) fn fleet(&self, revision: u64) -> Arc<Fleet> {
        let found = self.fleets.range(..=revision).next_back();
        found.map(|(_, fleet)| Arc::clone(fleet)).unwrap_or_default()
    }

    fn make_fleet(&self, revision: u64) -> Arc<Fleet> {
        let live = (0..).zip(&self.present).filter_map(|(ix, versions): (Ix, _)| {
            let presence = versions.at(revision).1.as_ref()?;
            Some((ix, Arc::clone(&presence.instance)))
        });
        Arc::new(Fleet::new(live, Arc::clone(&self.constraints)))
    }

    /// Every router has seen so much: what was before is forgotten.
    pub(super) fn forget(&mut self, seen_by_all: u64) {
        self.seen_by_all = seen_by_all;
        if let Some((at, _)) = self.fleets.range(..=seen_by_all).next_back() {
            self.fleets = self.fleets.split_off(&at.clone());
        }
        while self
            .arrivals
            .front()
            .is_some_and(|(revision, _)| *revision <= seen_by_all)
        {
            self.arrivals.pop_front();
        }
    }
}
