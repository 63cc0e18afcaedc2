//! What people and tools ask of the mesh beyond `mmesh.ModelMesh`: weights, a way back, numbers of copies.

use api::{
    mesh_v1::{RollbackRequest, SetCopiesRequest, SetWeightsRequest, VModel},
    mmesh::{ModelInfo, SetVModelRequest},
};
use tonic::Status;

use super::{Kind, Mesh, key::Key, not_found};
use crate::{
    core::registry::{SetWeights, VModelId, Weight, Wish, check_name},
    model::ModelId,
};

/// Copies that can be asked for.
const MAX_COPIES: u32 = 10_000;
/// Names that a model can be pinned to.
const MAX_PINS: usize = 64;

impl Mesh {
    /// Gives further models a part of a vmodel's requests.
    pub async fn set_weights(&self, request: SetWeightsRequest) -> Result<VModel, Status> {
        let SetWeightsRequest {
            vmodel_id,
            weights,
            sticky_header,
            owner,
        } = request;
        check_name("vmodelId", &vmodel_id)?;
        let weights = weights.into_iter().map(|weight| {
            let percent = u8::try_from(weight.percent).unwrap_or(u8::MAX);
            let model = ModelId::from(&*weight.model_id);
            Weight { model, percent }
        });
        let set = SetWeights {
            id: VModelId::from(&*vmodel_id),
            weights: weights.collect(),
            sticky: sticky_header,
            owner,
        };
        let mut keys = vec![Key::vmodel(&vmodel_id)];
        for weight in &set.weights {
            check_name("weights.modelId", &weight.model)?;
            keys.push(Key::model(&weight.model));
        }
        self.change(keys, |registry, changes| {
            registry.set_weights(set.clone(), changes).map(drop)
        })
        .await?;
        tracing::info!(vmodel = vmodel_id, models = set.weights.len(), "weights set");
        self.show_vmodel(&vmodel_id)
            .ok_or_else(|| not_found(Kind::VModel))
    }

    /// Moves a vmodel back to the model that it served before; that one is registered again where it has gone.
    pub async fn rollback(&self, request: RollbackRequest) -> Result<VModel, Status> {
        let RollbackRequest {
            vmodel_id,
            owner,
            sync,
        } = request;
        let record = self
            .view
            .vmodel(&vmodel_id)
            .ok_or_else(|| not_found(Kind::VModel))?;
        let former = record.history.iter().find(|former| former.model != record.active);
        let Some(former) = former else {
            return Err(Status::failed_precondition(format!(
                "vmodel {vmodel_id} has served no other model before"
            )));
        };
        let known = self.view.model(&former.model).is_some();
        if !known && former.spec.is_none() {
            return Err(Status::failed_precondition(format!(
                "model {} is not registered any more, and nothing is known of it",
                former.model
            )));
        }
        let spec = former.spec.as_deref().filter(|_| !known);
        let request = SetVModelRequest {
            v_model_id: vmodel_id.clone(),
            target_model_id: former.model.to_string(),
            update_only: true,
            model_info: spec.map(|spec| ModelInfo {
                r#type: spec.kind.clone(),
                path: spec.path.clone(),
                key: spec.key.clone(),
            }),
            // As it went, so it comes back.
            auto_delete_target_model: spec.is_some(),
            load_now: true,
            sync,
            owner,
            ..SetVModelRequest::default()
        };
        tracing::info!(vmodel = vmodel_id, model = %former.model, "rolling back");
        self.set_vmodel(request).await?;
        self.show_vmodel(&vmodel_id)
            .ok_or_else(|| not_found(Kind::VModel))
    }

    /// Sets how many copies of a model there are, and where it stays loaded.
    pub async fn set_copies(&self, request: SetCopiesRequest) -> Result<(), Status> {
        let SetCopiesRequest {
            model_id,
            min_copies,
            max_copies,
            pinned,
        } = request;
        check_name("modelId", &model_id)?;
        if min_copies > MAX_COPIES || (max_copies > 0 && max_copies < min_copies) {
            return Err(Status::invalid_argument(format!(
                "min_copies {min_copies} must be at most {MAX_COPIES} and at most max_copies {max_copies} (0 = no bound)"
            )));
        }
        if pinned.len() > MAX_PINS {
            return Err(Status::invalid_argument(format!(
                "pinned names {} instances and labels, at most {MAX_PINS} are allowed",
                pinned.len()
            )));
        }
        for pin in &pinned {
            check_name("pinned", pin)?;
        }
        let found = self.change([Key::model(&model_id)], |registry, changes| {
            let Some(record) = registry.model(&model_id) else {
                return Ok(false);
            };
            let wish = Wish {
                min: min_copies,
                max: max_copies,
                pinned: pinned.iter().map(|pin| pin.as_str().into()).collect(),
                size: record.wish.size,
            };
            Ok(registry.wish(&model_id, wish, changes))
        });
        if !found.await? {
            return Err(not_found(Kind::Model));
        }
        tracing::info!(model = model_id, min_copies, max_copies, "copies set");
        Ok(())
    }
}
