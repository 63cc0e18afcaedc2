//! What readers see of the registry: concurrent maps, followed change by change.

use std::sync::Arc;

use crate::{
    core::registry::{Change, ModelRecord, VModelId, VModelRecord},
    map::Map,
    model::ModelId,
};

use super::Found;

#[derive(Debug, Default)]
pub(super) struct View {
    models: Map<ModelId, Arc<ModelRecord>>,
    vmodels: Map<VModelId, Arc<VModelRecord>>,
}

impl View {
    pub(super) fn model(&self, id: &str) -> Option<Found> {
        let models = self.models.pin();
        let (id, record) = models.get_key_value(id)?;
        Some(Found {
            id: id.clone(),
            spec: Arc::clone(&record.spec),
        })
    }

    pub(super) fn vmodel(&self, id: &str) -> Option<Arc<VModelRecord>> {
        self.vmodels.pin().get(id).cloned()
    }

    /// Looks at the active model of a vmodel without cloning anything.
    pub(super) fn with_active<T>(&self, id: &str, look: impl FnOnce(&ModelId) -> T) -> Option<T> {
        self.vmodels.pin().get(id).map(|record| look(&record.active))
    }

    /// The model is registered just as it was found.
    pub(super) fn is_registered(&self, found: &Found) -> bool {
        self.models
            .pin()
            .get(&found.id)
            .is_some_and(|record| Arc::ptr_eq(&record.spec, &found.spec))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty() && self.vmodels.is_empty()
    }

    pub(super) fn apply(&self, change: &Change) {
        match change {
            Change::Model(id, Some(record)) => {
                self.models.pin().insert(id.clone(), Arc::clone(record));
            }
            Change::Model(id, None) => {
                self.models.pin().remove(id);
            }
            Change::VModel(id, Some(record)) => {
                self.vmodels.pin().insert(id.clone(), Arc::clone(record));
            }
            Change::VModel(id, None) => {
                self.vmodels.pin().remove(id);
            }
        }
    }
}
