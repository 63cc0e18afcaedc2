//! Names of the models folder as vmodels of the mesh.
//!
//! A content is a model (registered with its path), a name is a vmodel that points to it: a changed file is a switch to
//! another model, with everything that keeps such a switch from failing a request.

use std::sync::Arc;

use api::mmesh::{
    DeleteVModelRequest, GetVModelStatusRequest, ModelInfo, SetVModelRequest, VModelStatusInfo,
    v_model_status_info::VModelStatus,
};
use router::mesh::Mesh;
use tonic::Status;

use crate::{
    models::Model,
    watch::{Registry, Switch},
};

/// Type of every model here.
const TYPE: &str = "onnx";

/// Owner of our vmodels, so that nobody moves them without meaning to.
const OWNER: &str = "models-folder";

/// The mesh as the folder sees it.
#[derive(Clone, Debug)]
pub struct MeshRegistry(Arc<Mesh>);

impl MeshRegistry {
    /// Registers in `mesh`.
    pub fn new(mesh: Arc<Mesh>) -> Self {
        Self(mesh)
    }
}

impl Registry for MeshRegistry {
    async fn set(&self, name: &str, model: &Model) -> Result<Switch, Status> {
        let request = SetVModelRequest {
            v_model_id: name.to_owned(),
            target_model_id: model.id.clone(),
            model_info: Some(ModelInfo {
                r#type: TYPE.to_owned(),
                path: model.path.clone(),
                key: String::new(),
            }),
            // The model goes when no name stands for it any more.
            auto_delete_target_model: true,
            owner: OWNER.to_owned(),
            ..SetVModelRequest::default()
        };
        self.0.set_vmodel(request).await.map(|status| switch(&status))
    }

    async fn delete(&self, name: &str) -> Result<(), Status> {
        let request = DeleteVModelRequest {
            v_model_id: name.to_owned(),
            owner: OWNER.to_owned(),
        };
        self.0.delete_vmodel(request).await.map(drop)
    }

    async fn switch(&self, name: &str) -> Result<Switch, Status> {
        let request = GetVModelStatusRequest {
            v_model_id: name.to_owned(),
            owner: OWNER.to_owned(),
        };
        self.0.vmodel_status(request).await.map(|status| switch(&status))
    }
}

fn switch(info: &VModelStatusInfo) -> Switch {
    match info.status() {
        VModelStatus::Transitioning => Switch::Loading,
        VModelStatus::TransitionFailed => {
            let errors = info
                .target_model_status
                .as_ref()
                .map(|status| status.errors.as_slice());
            let reason = errors.and_then(<[String]>::first).cloned();
            Switch::Failed(reason.unwrap_or_else(|| "the reason is not known".to_owned()))
        }
        VModelStatus::Defined | VModelStatus::NotFound | VModelStatus::Unknown => Switch::Done,
    }
}

#[cfg(test)]
mod tests {
    use api::mmesh::ModelStatusInfo;

    use super::*;

    #[test]
    fn how_far_a_switch_is() {
        let info = |status: VModelStatus, errors: &[&str]| VModelStatusInfo {
            status: status.into(),
            target_model_status: Some(ModelStatusInfo {
                errors: errors.iter().map(|error| (*error).to_owned()).collect(),
                ..ModelStatusInfo::default()
            }),
            ..VModelStatusInfo::default()
        };
        assert_eq!(switch(&info(VModelStatus::Defined, &[])), Switch::Done);
        assert_eq!(switch(&info(VModelStatus::Transitioning, &[])), Switch::Loading);
        let failed = info(VModelStatus::TransitionFailed, &["newest", "older"]);
        assert_eq!(switch(&failed), Switch::Failed("newest".to_owned()));
        assert!(matches!(
            switch(&info(VModelStatus::TransitionFailed, &[])),
            Switch::Failed(_)
        ));
    }
}
