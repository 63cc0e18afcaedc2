//! A registry as a working set: records come in as the store has them.

use std::sync::Arc;

use super::{ModelRecord, Registry, VModelId, VModelRecord};
use crate::model::ModelId;

impl Registry {
    /// Counts so many models and vmodels that are not taken in.
    pub fn among(&mut self, models: usize, vmodels: usize) {
        self.elsewhere = (models, vmodels);
    }

    /// Takes a model's record in. Its count of references is believed.
    pub fn adopt_model(&mut self, id: ModelId, record: ModelRecord) {
        self.models.insert(id, Arc::new(record));
    }

    /// Takes a vmodel's record in. The models that it points to, taken in before, are counted with it already.
    pub fn adopt_vmodel(&mut self, id: VModelId, record: VModelRecord) {
        for model in record.models() {
            let Some(known) = self.models.get_mut(model) else {
                continue;
            };
            let known = Arc::make_mut(known);
            match &known.pointer {
                None => known.pointer = Some(id.clone()),
                Some(pointer) if *pointer != id => {
                    self.more_pointers.insert((model.clone(), id.clone()));
                }
                Some(_) => {}
            }
            // A count that was written wrong by someone must not let the model go while it is pointed to.
            known.refs = known.refs.max(1);
        }
        self.vmodels.insert(id, Arc::new(record));
    }
}
