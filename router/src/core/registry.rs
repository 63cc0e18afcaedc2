//! Registry of models and vmodels: what exists, what points where, and what may be removed.
//!
//! Pure: time and knowledge of loaded copies are passed in, and every operation returns the [`Change`]s that a
//! reader's view (or a store) has to follow, in an order in which no vmodel ever points to a model that the reader
//! does not know.
//!
//! It need not hold everything: a router fills it with the records that one operation is about ([`Registry::adopt_model`],
//! [`Registry::adopt_vmodel`]), as the store has them, and writes back what the operation changed.
//!
//! The references of a model are never counted up and down by hand: an operation replaces a vmodel's record, and
//! `Registry::repoint` derives from the old and the new record which models gained and lost one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{ModelId, ModelSpec};

mod adopt;
mod copies;
mod error;
mod record;
#[cfg(test)]
mod tests;
mod vmodels;
mod weights;

pub use copies::{LoadFailure, Placed, Wish};
pub use error::{RegistryError, Wanted};
pub use record::{Former, ModelRecord, VModelId, VModelRecord, Weight, check_name, check_spec};
pub use vmodels::{Presence, SetVModel, VModelSet};
pub use weights::SetWeights;

/// How old a model that is registered for immediate loading counts as: behind what is in use, before the rest.
const AGE_WHEN_LOADED: u64 = 3_600_000;
/// How old a model that is only registered counts as.
const AGE_WHEN_REGISTERED: u64 = 6 * AGE_WHEN_LOADED;
/// A newer use is written to the record only when it is this much newer: records end up in a shared store.
const LAST_USED_STEP: u64 = 3_600_000;

/// How much the registry holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Models.
    pub max_models: usize,
    /// vmodels.
    pub max_vmodels: usize,
}

/// One step for a reader or a store to follow; `None` = removed.
#[derive(Clone, Debug)]
pub enum Change {
    /// A model's record.
    Model(ModelId, Option<Arc<ModelRecord>>),
    /// A vmodel's record.
    VModel(VModelId, Option<Arc<VModelRecord>>),
}

/// How a model is registered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registration {
    /// It will be loaded right after.
    pub load_now: bool,
    /// Last use that the caller claims, in milliseconds since the epoch; 0 = default.
    pub last_used: u64,
}

/// What a registration did.
#[derive(Debug)]
pub struct Registered {
    /// False: it was there already, with the same attributes.
    pub created: bool,
    /// The model's record now.
    pub record: Arc<ModelRecord>,
    /// Last use that a load right after should claim.
    pub last_used: u64,
}

/// Models, vmodels, and who points to whom.
#[derive(Debug)]
pub struct Registry {
    models: BTreeMap<ModelId, Arc<ModelRecord>>,
    vmodels: BTreeMap<VModelId, Arc<VModelRecord>>,
    /// Pairs of a model and a vmodel that points to it, beyond the one in the model's record. `refs` counts both.
    more_pointers: BTreeSet<(ModelId, VModelId)>,
    limits: Limits,
    /// Models and vmodels that exist and are not in here.
    elsewhere: (usize, usize),
    default_owner: Box<str>,
}

impl Registry {
    /// An empty registry. `default_owner` owns the vmodels that are created without an owner; may be empty.
    pub fn new(limits: Limits, default_owner: &str) -> Self {
        Self {
            models: BTreeMap::new(),
            vmodels: BTreeMap::new(),
            more_pointers: BTreeSet::new(),
            limits,
            elsewhere: (0, 0),
            default_owner: default_owner.into(),
        }
    }

    /// Record of a model.
    pub fn model(&self, id: &str) -> Option<&Arc<ModelRecord>> {
        self.models.get(id)
    }

    /// Record of a vmodel.
    pub fn vmodel(&self, id: &str) -> Option<&Arc<VModelRecord>> {
        self.vmodels.get(id)
    }

    /// Number of models.
    pub fn models(&self) -> usize {
        self.models.len()
    }

    /// Number of vmodels.
    pub fn vmodels(&self) -> usize {
        self.vmodels.len()
    }

    /// Makes a model known. With the attributes it has already, only its last use may move.
    pub fn register(
        &mut self,
        id: &ModelId,
        spec: ModelSpec,
        registration: Registration,
        now: u64,
        changes: &mut Vec<Change>,
    ) -> Result<Registered, RegistryError> {
        check_name("modelId", id)?;
        check_spec(&spec)?;
        let last_used = initial_last_used(registration, now);
        let Some(record) = self.models.get(id) else {
            let record = self.insert_model(id, ModelRecord::new(spec, false, last_used), changes)?;
            return Ok(Registered {
                created: true,
                record,
                last_used,
            });
        };
        if let Some(field) = record.difference(&spec) {
            return Err(RegistryError::ModelExists {
                id: id.clone(),
                field,
            });
        }
        let bump = registration.load_now && last_used > record.last_used
            || last_used > record.last_used.saturating_add(LAST_USED_STEP);
        let record = if bump {
            self.set_last_used(id, last_used, changes)
        } else {
            Some(Arc::clone(record))
        };
        let record = record.ok_or_else(|| RegistryError::ModelNotFound(id.clone()))?;
        Ok(Registered {
            created: false,
            record,
            last_used,
        })
    }

    /// Notes a use; small steps are left out.
    pub fn touch(&mut self, id: &ModelId, last_used: u64, changes: &mut Vec<Change>) {
        let stale = self
            .models
            .get(id)
            .is_some_and(|record| Self::is_news(record.last_used, last_used));
        if stale {
            self.set_last_used(id, last_used, changes);
        }
    }

    /// Whether a use is so much newer than the known one that it is worth a write.
    pub fn is_news(known: u64, last_used: u64) -> bool {
        last_used > known.saturating_add(LAST_USED_STEP)
    }

    /// Removes a model; an unknown one is fine, one that a vmodel points to is not.
    pub fn unregister(&mut self, id: &str, changes: &mut Vec<Change>) -> Result<(), RegistryError> {
        if id.is_empty() {
            return Err(RegistryError::Empty { field: "modelId" });
        }
        let Some((id, record)) = self.models.get_key_value(id) else {
            return Ok(());
        };
        if record.refs > 0 {
            return Err(RegistryError::Referenced { id: id.clone() });
        }
        let id = id.clone();
        self.models.remove(&id);
        changes.push(Change::Model(id, None));
        Ok(())
    }

    fn more_pointers_to(&self, id: &ModelId) -> impl Iterator<Item = &VModelId> {
        self.more_pointers
            .range((id.clone(), VModelId::from(""))..)
            .take_while(move |(model, _)| model == id)
            .map(|(_, vmodel)| vmodel)
    }

    fn insert_model(
        &mut self,
        id: &ModelId,
        record: ModelRecord,
        changes: &mut Vec<Change>,
    ) -> Result<Arc<ModelRecord>, RegistryError> {
        if self.models.len() + self.elsewhere.0 >= self.limits.max_models {
            return Err(RegistryError::Full {
                what: "models",
                max: self.limits.max_models,
            });
        }
        Ok(self.put_model(id, record, changes))
    }

    fn set_last_used(
        &mut self,
        id: &ModelId,
        last_used: u64,
        changes: &mut Vec<Change>,
    ) -> Option<Arc<ModelRecord>> {
        let record = ModelRecord {
            last_used,
            ..ModelRecord::clone(self.models.get(id)?)
        };
        Some(self.put_model(id, record, changes))
    }

    fn put_model(
        &mut self,
        id: &ModelId,
        record: ModelRecord,
        changes: &mut Vec<Change>,
    ) -> Arc<ModelRecord> {
        let record = Arc::new(record);
        self.models.insert(id.clone(), Arc::clone(&record));
        changes.push(Change::Model(id.clone(), Some(Arc::clone(&record))));
        record
    }
}

/// Last use of a model that is registered now.
fn initial_last_used(registration: Registration, now: u64) -> u64 {
    match registration {
        Registration {
            last_used: 0,
            load_now: true,
        } => now.saturating_sub(AGE_WHEN_LOADED),
        Registration {
            last_used: 0,
            load_now: false,
        } => now.saturating_sub(AGE_WHEN_REGISTERED),
        Registration { last_used, .. } => last_used.min(now),
    }
}
