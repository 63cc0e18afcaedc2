//! What readers see of the registry: concurrent maps, followed change by change.
//!
//! Of a model only that is kept which routing and listing need, in little memory: every router has all models.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use crate::{
    core::{
        fleet::{Copy, Failure, Fleet, Model, Pin},
        registry::{VModelId, VModelRecord},
    },
    map::Map,
    model::{ModelId, ModelSpec},
};

use super::Found;

/// Models, vmodels and instances, as the store had them a moment ago.
#[derive(Debug, Default)]
pub(super) struct View {
    models: Map<ModelId, Arc<Entry>>,
    vmodels: Map<VModelId, Arc<VModelRecord>>,
    /// Vmodels that several models share.
    shared: AtomicUsize,
    fleet: ArcSwap<Fleet>,
}

/// A registered model.
#[derive(Debug)]
pub(super) struct Entry {
    /// Another allocation after the model was removed and registered again: its address identifies the registration.
    pub(super) spec: Arc<ModelSpec>,
    /// Milliseconds since the epoch.
    pub(super) last_used: u64,
    /// Revision of the store at which the model was registered.
    pub(super) created: u64,
    pub(super) copies: Box<[Copy]>,
    pub(super) failures: Box<[Failure]>,
    /// Few models have any.
    pub(super) wish: Option<Box<Wish>>,
}

/// What was asked for beyond serving requests, and what is known beyond where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) pinned: Box<[Pin]>,
    pub(super) size: u64,
    /// When a copy was last dropped while others stayed, in milliseconds since the epoch; 0 = not known.
    pub(super) last_unload: u64,
}

impl Entry {
    /// As decisions want it.
    pub(super) fn model(&self) -> Model<'_> {
        let wish = self.wish.as_deref();
        Model {
            kind: &self.spec.kind,
            copies: &self.copies,
            failures: &self.failures,
            last_used_ms: self.last_used,
            min: wish.map_or(0, |wish| wish.min),
            max: wish.map_or(0, |wish| wish.max),
            pinned: wish.map_or(&[], |wish| &wish.pinned),
            size: wish.map(|wish| wish.size).filter(|size| *size > 0),
        }
    }
}

impl View {
    pub(super) fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        self.models.pin().get(id).cloned()
    }

    pub(super) fn model(&self, id: &str) -> Option<Found> {
        let models = self.models.pin();
        let (id, entry) = models.get_key_value(id)?;
        Some(Found {
            id: id.clone(),
            spec: Arc::clone(&entry.spec),
        })
    }

    pub(super) fn vmodel(&self, id: &str) -> Option<Arc<VModelRecord>> {
        self.vmodels.pin().get(id).cloned()
    }

    /// Looks at a vmodel without cloning anything.
    pub(super) fn with_vmodel<T>(&self, id: &str, look: impl FnOnce(&VModelRecord) -> T) -> Option<T> {
        self.vmodels.pin().get(id).map(|record| look(record))
    }

    pub(super) fn vmodels_in_transition(&self) -> Vec<(VModelId, Arc<VModelRecord>)> {
        let vmodels = self.vmodels.pin();
        let moving = vmodels.iter().filter(|(_, record)| record.in_transition());
        moving
            .map(|(id, record)| (id.clone(), Arc::clone(record)))
            .collect()
    }

    /// Whether any vmodel is shared by several models.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed) > 0
    }

    pub(super) fn fleet(&self) -> Arc<Fleet> {
        self.fleet.load_full()
    }

    pub(super) fn set_fleet(&self, fleet: Fleet) {
        self.fleet.store(Arc::new(fleet));
    }

    /// The model is registered just as it was found.
    pub(super) fn is_registered(&self, found: &Found) -> bool {
        let models = self.models.pin();
        let entry = models.get(&found.id);
        entry.is_some_and(|entry| Arc::ptr_eq(&entry.spec, &found.spec))
    }

    pub(super) fn models(&self) -> usize {
        self.models.len()
    }

    pub(super) fn vmodels(&self) -> usize {
        self.vmodels.len()
    }

    pub(super) fn put_model(&self, id: ModelId, entry: Arc<Entry>) {
        self.models.pin().insert(id, entry);
    }

    pub(super) fn remove_model(&self, id: &str) {
        self.models.pin().remove(id);
    }

    pub(super) fn put_vmodel(&self, id: VModelId, record: Arc<VModelRecord>) {
        let weighted = usize::from(!record.weights.is_empty());
        let before = self
            .vmodels
            .pin()
            .insert(id, record)
            .map(|record| !record.weights.is_empty());
        self.shared.fetch_add(weighted, Ordering::Relaxed);
        self.shared
            .fetch_sub(usize::from(before == Some(true)), Ordering::Relaxed);
    }

    pub(super) fn remove_vmodel(&self, id: &str) {
        let weighted = self
            .vmodels
            .pin()
            .remove(id)
            .map(|record| !record.weights.is_empty());
        self.shared
            .fetch_sub(usize::from(weighted == Some(true)), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty() && self.vmodels.is_empty()
    }
}
