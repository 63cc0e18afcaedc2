//! Management of vmodels.

use api::mmesh::{
    DeleteVModelRequest, GetVModelStatusRequest, ModelStatusInfo, SetVModelRequest, VModelStatusInfo,
    model_status_info::ModelStatus, v_model_status_info::VModelStatus,
};
use tonic::Status;

use crate::{
    core::registry::{Presence, SetVModel, VModelId, VModelRecord, VModelSet, check_name},
    model::ModelId,
};

use super::{Mesh, key::Key, now_ms, status};

impl Mesh {
    /// Creates a vmodel or moves it. With `sync` waits for the switch, or for the load where there is nothing to
    /// switch. A target that cannot be loaded is a status, not an error.
    pub async fn set_vmodel(&self, req: SetVModelRequest) -> Result<VModelStatusInfo, Status> {
        let (load_now, sync) = (req.load_now, req.sync);
        let set = parse(req)?;
        let (id, target) = (set.id.clone(), set.target.clone());
        // Asked before the change, which must not wait for anybody: what has moved since is put right by the transition.
        let active = self.view.with_vmodel(&id, |vmodel| vmodel.active.clone());
        let (now_active, now_target) = match &active {
            Some(active) => tokio::join!(self.presence(active), self.presence(&target)),
            None => (Presence::Absent, Presence::Absent),
        };
        let presence = |model: &ModelId| match &active {
            _ if *model == target => now_target,
            Some(active) if model == active => now_active,
            // It has become active this very moment, which it does only when it is loaded.
            _ => Presence::Loading,
        };
        // A successor is as young as the copy that it replaces, which may be gone after the change.
        let replaced = self
            .view
            .with_vmodel(&id, |vmodel| self.cache.copy(&vmodel.active))
            .flatten();
        let VModelSet {
            record,
            begun,
            replaced_copy,
            last_used,
        } = self
            .change([Key::vmodel(&id), Key::model(&target)], |registry, changes| {
                let done = registry.set_vmodel(set.clone(), presence, now_ms(), changes)?;
                if done.begun {
                    self.forgive(&target);
                }
                Ok(done)
            })
            .await?;
        tracing::debug!(vmodel = %id, active = %record.active, target = %record.target, begun, "vmodel set");
        if record.in_transition() {
            if sync {
                self.wait_for_transition(&id, record.transition()).await?;
            }
        } else if (load_now || replaced_copy)
            && let Some(found) = self.view.model(&target)
        {
            let last_used = replaced.map_or(last_used, |copy| copy.last_used_ms.max(last_used));
            let loaded = self.load_and_wait(&found, Some(last_used), sync).await;
            if load_now || sync {
                loaded?;
            }
        }
        Ok(self.status_of(&id, "").await)
    }

    /// Removes a vmodel; an unknown one, or another owner's, is left alone.
    pub async fn delete_vmodel(&self, req: DeleteVModelRequest) -> Result<(), Status> {
        let DeleteVModelRequest { v_model_id, owner } = req;
        check_name("vModelId", &v_model_id)?;
        let existed = self
            .change([Key::vmodel(&v_model_id)], |registry, changes| {
                registry.delete_vmodel(&v_model_id, &owner, changes)?;
                Ok(!changes.is_empty())
            })
            .await?;
        if existed {
            tracing::info!(vmodel = %v_model_id, "vmodel deleted");
        }
        Ok(())
    }

    /// Status of a vmodel; `NOT_FOUND` is a status too, also where it belongs to someone else.
    pub async fn vmodel_status(&self, req: GetVModelStatusRequest) -> Result<VModelStatusInfo, Status> {
        if req.v_model_id.is_empty() {
            return Err(Status::invalid_argument("must provide non-empty vModelId"));
        }
        Ok(self.status_of(&req.v_model_id, &req.owner).await)
    }

    async fn status_of(&self, id: &str, owner: &str) -> VModelStatusInfo {
        let Some(record) = self
            .view
            .vmodel(id)
            .filter(|r| owner.is_empty() || *owner == *r.owner)
        else {
            return VModelStatusInfo::default();
        };
        let status = match (record.in_transition(), &record.failed) {
            (false, _) => VModelStatus::Defined,
            (true, None) => VModelStatus::Transitioning,
            (true, Some(_)) => VModelStatus::TransitionFailed,
        };
        let target_model_status = if record.in_transition() {
            Some(self.target_status(&record).await)
        } else {
            None
        };
        VModelStatusInfo {
            status: status.into(),
            active_model_id: record.active.to_string(),
            target_model_id: record.target.to_string(),
            active_model_status: Some(self.model_status(&record.active).await),
            target_model_status,
            owner: record.owner.to_string(),
        }
    }

    /// A target that has not taken over is always on its way, unless it failed.
    async fn target_status(&self, record: &VModelRecord) -> ModelStatusInfo {
        let known = self.model_status(&record.target).await;
        match (known.status(), &record.failed) {
            (ModelStatus::NotLoaded, Some(error)) => {
                status::failed(error, &self.options.instance_id, now_ms())
            }
            (ModelStatus::NotLoaded, None) => ModelStatusInfo {
                status: ModelStatus::Loading.into(),
                ..known
            },
            _ => known,
        }
    }
}

fn parse(req: SetVModelRequest) -> Result<SetVModel, Status> {
    check_name("vModelId", &req.v_model_id)?;
    check_name("targetModelId", &req.target_model_id)?;
    Ok(SetVModel {
        id: VModelId::from(&*req.v_model_id),
        target: ModelId::from(&*req.target_model_id),
        spec: req.model_info.map(status::spec),
        owner: req.owner,
        expected_target: req.expected_target_model_id,
        update_only: req.update_only,
        auto_delete: req.auto_delete_target_model,
        force: req.force,
        load_now: req.load_now,
    })
}
