//! V2's model repository: index, load, unload; and V1's list of models.

use std::collections::HashMap;

use api::inference::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    model_repository_parameter::ParameterChoice,
};
use base64::Engine as _;
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Backend, Reply, call::Call, failure::Failure, tensor::BASE64, views::reply};

const REPOSITORY_INDEX: &str = "/inference.GRPCInferenceService/RepositoryIndex";
const REPOSITORY_LOAD: &str = "/inference.GRPCInferenceService/RepositoryModelLoad";
const REPOSITORY_UNLOAD: &str = "/inference.GRPCInferenceService/RepositoryModelUnload";

#[derive(Serialize)]
struct IndexView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    state: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct V1ListView {
    models: Vec<String>,
}

#[derive(Default, Deserialize)]
struct IndexBody {
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
struct RepositoryBody {
    #[serde(default)]
    parameters: Option<HashMap<String, serde_json::Value>>,
}

impl<B: Backend> Call<'_, B> {
    pub(super) async fn repository_index(&self, body: &Bytes) -> Result<Reply, Failure> {
        let ready = parse::<IndexBody>(body)?.ready.unwrap_or(false);
        let (metadata, index) = self.index(ready).await?;
        let models: Vec<_> = index
            .models
            .iter()
            .map(|model| IndexView {
                name: &model.name,
                version: &model.version,
                state: &model.state,
                reason: &model.reason,
            })
            .collect();
        reply(&models, metadata)
    }

    pub(super) async fn v1_list(&self) -> Result<Reply, Failure> {
        let (metadata, index) = self.index(false).await?;
        let mut models: Vec<_> = index.models.into_iter().map(|model| model.name).collect();
        // The index has an entry per version.
        models.sort_unstable();
        models.dedup();
        reply(&V1ListView { models }, metadata)
    }

    async fn index(&self, ready: bool) -> Result<(HeaderMap, RepositoryIndexResponse), Failure> {
        let request = RepositoryIndexRequest {
            repository_name: String::new(),
            ready,
        };
        self.unary(REPOSITORY_INDEX, &request).await
    }

    pub(super) async fn repository_load(&self, name: String, body: &Bytes) -> Result<Reply, Failure> {
        let request = RepositoryModelLoadRequest {
            model_name: name,
            parameters: repository_parameters(body)?,
            ..RepositoryModelLoadRequest::default()
        };
        let (metadata, RepositoryModelLoadResponse {}) = self.unary(REPOSITORY_LOAD, &request).await?;
        Ok(Reply::json(b"{}".to_vec(), metadata))
    }

    pub(super) async fn repository_unload(&self, name: String, body: &Bytes) -> Result<Reply, Failure> {
        let request = RepositoryModelUnloadRequest {
            model_name: name,
            parameters: repository_parameters(body)?,
            ..RepositoryModelUnloadRequest::default()
        };
        let (metadata, RepositoryModelUnloadResponse {}) = self.unary(REPOSITORY_UNLOAD, &request).await?;
        Ok(Reply::json(b"{}".to_vec(), metadata))
    }
}

/// A body that may be left out.
fn parse<'a, T: Default + Deserialize<'a>>(body: &'a Bytes) -> Result<T, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::invalid(format!("the body is not as expected: {error}")))
}

/// Bools, integers and strings; `file:` parameters carry base64.
fn repository_parameters(body: &Bytes) -> Result<HashMap<String, ModelRepositoryParameter>, Failure> {
    let given = parse::<RepositoryBody>(body)?.parameters.unwrap_or_default();
    let mut parameters = HashMap::with_capacity(given.len());
    for (name, value) in given {
        let choice = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::Bool(value) => Some(ParameterChoice::BoolParam(value)),
            serde_json::Value::Number(value) => value.as_i64().map(ParameterChoice::Int64Param),
            serde_json::Value::String(value) if name.starts_with("file:") => {
                let content = BASE64.decode(value);
                let content = content.map_err(|error| {
                    Failure::invalid(format!("parameter {name:?} must be base64: {error}"))
                })?;
                Some(ParameterChoice::BytesParam(content))
            }
            serde_json::Value::String(value) => Some(ParameterChoice::StringParam(value)),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        };
        let rule = || {
            Failure::invalid(format!(
                "parameter {name:?} must be a bool, a string or a 64-bit integer"
            ))
        };
        let choice = choice.ok_or_else(rule)?;
        parameters.insert(
            name,
            ModelRepositoryParameter {
                parameter_choice: Some(choice),
            },
        );
    }
    Ok(parameters)
}
