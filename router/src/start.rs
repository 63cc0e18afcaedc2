//! What happens between a start and full service: models that are registered by the environment, and a probation.

use api::mmesh::{EnsureLoadedRequest, ModelInfo, RegisterModelRequest, SetVModelRequest};
use serde::Deserialize;
use tonic::Status;

use crate::mesh::Mesh;

mod probation;

pub use probation::watch_loads;

/// A model of `MM_AUTO_REGISTER_MODELS`. Source of the names: upstream.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutoModel {
    model_id: String,
    model_info: AutoModelInfo,
    /// A vmodel that is to point to it.
    #[serde(default)]
    v_model_id: Option<String>,
    /// It outlives the vmodel's next switch.
    #[serde(default)]
    retain_after_transition: bool,
    /// The router is not ready before it is loaded.
    #[serde(default)]
    ensure_loaded: bool,
}

#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct AutoModelInfo {
    r#type: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    key: String,
}

impl std::fmt::Debug for AutoModelInfo {
    /// The key may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AutoModelInfo")
            .field("type", &self.r#type)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Reads the JSON.
pub fn auto_models(json: &str) -> anyhow::Result<Vec<AutoModel>> {
    // Not the error's own text: it quotes what it cannot read, which may be a key.
    serde_json::from_str(json).map_err(|err| {
        let (line, column) = (err.line(), err.column());
        let what = match err.classify() {
            serde_json::error::Category::Data => "a field is missing, unknown or of the wrong type",
            _ => "no JSON",
        };
        anyhow::anyhow!(
            "expected a list of {{modelId, modelInfo: {{type, path, key}}, vModelId, retainAfterTransition, \
             ensureLoaded}}: {what} at line {line}, column {column}"
        )
    })
}

/// Registers the models, and waits for the loads of those that must be there. What fails is logged; a model that cannot be
/// loaded holds nobody up.
pub async fn register(mesh: &Mesh, models: &[AutoModel]) {
    for model in models {
        if let Err(status) = register_one(mesh, model).await {
            tracing::error!(model = model.model_id, error = %status.message(), "model not registered at the start");
        }
    }
    let loads = models
        .iter()
        .filter(|model| model.ensure_loaded)
        .map(async |model| {
            let request = EnsureLoadedRequest {
                model_id: model.model_id.clone(),
                sync: true,
                ..EnsureLoadedRequest::default()
            };
            let error = match mesh.ensure_loaded(request).await {
                Ok(info) => info.errors.into_iter().next(),
                Err(status) => Some(status.message().to_owned()),
            };
            if let Some(error) = error {
                tracing::error!(model = model.model_id, error, "model not loaded at the start");
            }
        });
    futures::future::join_all(loads).await;
}

async fn register_one(mesh: &Mesh, model: &AutoModel) -> Result<(), Status> {
    let AutoModel {
        model_id,
        model_info,
        v_model_id,
        retain_after_transition,
        ensure_loaded: _,
    } = model.clone();
    let model_info = ModelInfo {
        r#type: model_info.r#type,
        path: model_info.path,
        key: model_info.key,
    };
    match v_model_id {
        None => {
            let request = RegisterModelRequest {
                model_id,
                model_info: Some(model_info),
                ..RegisterModelRequest::default()
            };
            mesh.register(request).await.map(drop)
        }
        Some(v_model_id) => {
            let request = SetVModelRequest {
                v_model_id,
                target_model_id: model_id,
                model_info: Some(model_info),
                auto_delete_target_model: !retain_after_transition,
                ..SetVModelRequest::default()
            };
            mesh.set_vmodel(request).await.map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_environment() {
        let json = r#"[{"modelId": "m", "modelInfo": {"type": "t", "path": "p"}, "ensureLoaded": true},
            {"modelId": "n", "modelInfo": {"type": "t", "key": "secret"}, "vModelId": "v"}]"#;
        let models = auto_models(json).unwrap();
        assert_eq!(models[1].v_model_id.as_deref(), Some("v"));
        assert!(!format!("{models:?}").contains("secret"));
        let error = auto_models(r#"[{"modelId": "n", "modelInfo": {"typ": "secret"}}]"#).unwrap_err();
        assert!(error.to_string().contains("modelInfo"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
