//! Vmodels that send a part of their requests to further models.

use std::sync::Arc;

use super::{Change, Registry, RegistryError, VModelId, VModelRecord, Weight, check_name, error::Wanted};
/// Further models of one vmodel: more are no canary, and every request draws among them.
const MAX_WEIGHTS: usize = 16;

/// Sets the models that share a vmodel's requests.
#[derive(Clone, Debug)]
pub struct SetWeights {
    /// Id of the vmodel.
    pub id: VModelId,
    /// Further models; empty = the active one serves all. They must be registered.
    pub weights: Vec<Weight>,
    /// Request header that keeps a client with one model; empty = none.
    pub sticky: String,
    /// Empty = whoever it belongs to.
    pub owner: String,
}

impl Registry {
    /// Gives further models a part of a vmodel's requests. They are referenced as the active one is.
    pub fn set_weights(
        &mut self,
        set: SetWeights,
        changes: &mut Vec<Change>,
    ) -> Result<Arc<VModelRecord>, RegistryError> {
        let SetWeights {
            id,
            weights,
            sticky,
            owner,
        } = set;
        check_name("vModelId", &id)?;
        let Some(old) = self.vmodels.get(&id).cloned() else {
            return Err(RegistryError::VModelNotFound {
                id,
                wanted: Wanted::Update,
            });
        };
        if !owner.is_empty() && *owner != *old.owner {
            let owner = old.owner.clone();
            return Err(RegistryError::OtherOwner { id, owner });
        }
        self.check_weights(&old, &weights)?;
        if http::HeaderName::from_bytes(sticky.as_bytes()).is_err() && !sticky.is_empty() {
            return Err(RegistryError::Sticky { header: sticky });
        }
        let next = VModelRecord {
            weights: weights.into(),
            sticky: sticky.to_ascii_lowercase().into(),
            ..VModelRecord::clone(&old)
        };
        if next.weights == old.weights && next.sticky == old.sticky {
            return Ok(old);
        }
        Ok(self.put_vmodel(&id, next, changes))
    }

    fn check_weights(&self, old: &VModelRecord, weights: &[Weight]) -> Result<(), RegistryError> {
        let total: u32 = weights.iter().map(|weight| u32::from(weight.percent)).sum();
        if weights.len() > MAX_WEIGHTS || total > 100 || weights.iter().any(|weight| weight.percent == 0) {
            return Err(RegistryError::Weights {
                total,
                models: weights.len(),
                max: MAX_WEIGHTS,
            });
        }
        for (n, weight) in weights.iter().enumerate() {
            check_name("weights.modelId", &weight.model)?;
            let twice = |other: &Weight| other.model == weight.model;
            if weight.model == old.active || weights.iter().skip(n + 1).any(twice) {
                return Err(RegistryError::WeightTwice(weight.model.clone()));
            }
            if !self.models.contains_key(&weight.model) {
                return Err(RegistryError::TargetNotFound(weight.model.clone()));
            }
        }
        Ok(())
    }
}
