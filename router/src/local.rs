//! The calls of `inference.GRPCInferenceService` that the router answers itself: server level, readiness of models,
//! and the model repository. All others go to the runtime and never come here.

use std::{collections::HashMap, sync::Arc};

use api::{
    inference::{
        ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
        ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelRepositoryParameter,
        ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
        RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
        RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
        ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
        grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer},
        repository_index_response::ModelIndex,
    },
    mmesh::RuntimeStatusResponse,
    names::methods,
};
use kit::admin::Readiness;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    cache::CopyState,
    mesh::{Kind, MAX_PAGE, Mesh},
    model::{split_version, versioned_name},
};

#[cfg(test)]
mod tests;

/// Extensions of the protocol that work with every runtime.
const EXTENSIONS: [&str; 2] = ["model_repository", "binary_tensor_data"];
/// Extensions that the runtime has, by the method that it must list among those it takes.
const RUNTIME_EXTENSIONS: [(&str, &str); 2] = [
    (methods::MODEL_CONFIG, "model_configuration"),
    (methods::MODEL_STATISTICS, "statistics"),
];
/// Entries in one index: it is one message, a few megabytes of it then. `stowage.v1.Mesh/ListModels` has no such
/// limit.
const MAX_INDEX: usize = 50_000;

/// Service with the router's own part of the protocol.
pub fn service(mesh: Arc<Mesh>, ready: Readiness) -> GrpcInferenceServiceServer<Local> {
    GrpcInferenceServiceServer::new(Local { mesh, ready })
}

/// What answers the calls.
#[derive(Clone, Debug)]
pub struct Local {
    mesh: Arc<Mesh>,
    ready: Readiness,
}

impl Local {
    /// Name under which this version of the model is registered.
    fn locate(&self, name: &str, version: &str) -> Result<String, Status> {
        if name.is_empty() {
            return Err(Status::invalid_argument("must provide non-empty model name"));
        }
        let full = versioned_name(name, version);
        if self.mesh.lookup(&full, Kind::Either).is_some() {
            return Ok(full.into_owned());
        }
        if !version.is_empty() && self.mesh.lookup(name, Kind::Either).is_some() {
            return Err(Status::not_found(format!(
                "model {name} has no version {version}"
            )));
        }
        Err(Status::not_found("model not found"))
    }

    /// The index entry of a registered name; `None` where its versions have entries of their own.
    fn index_entry(&self, name: &str) -> Option<ModelIndex> {
        let id = self.mesh.lookup(name, Kind::Either)?;
        let known = |name: &str| self.mesh.lookup(name, Kind::Either).is_some();
        let (name, version) = match split_version(name).filter(|(base, _)| known(base)) {
            Some((base, version)) => (base, version),
            None if self.mesh.has_versions(name) => return None,
            None => (name, ""),
        };
        let copy = self.mesh.cache().copy(&id);
        let state = copy.as_ref().map_or(CopyState::NotLoaded, |copy| copy.state);
        let (state, reason) = match state {
            CopyState::Loaded => ("READY", String::new()),
            CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing => {
                ("LOADING", String::new())
            }
            CopyState::Unloading => ("UNAVAILABLE", "unloading".to_owned()),
            CopyState::NotLoaded => ("UNAVAILABLE", "not loaded, the first request loads it".to_owned()),
            CopyState::Failed => {
                let failure = copy.and_then(|copy| copy.failure);
                (
                    "UNAVAILABLE",
                    failure.map_or_else(|| "load failed".to_owned(), |failure| failure.message),
                )
            }
        };
        Some(ModelIndex {
            name: name.to_owned(),
            version: version.to_owned(),
            state: state.to_owned(),
            reason,
        })
    }

    async fn index(&self, only_ready: bool) -> Result<Vec<ModelIndex>, Status> {
        let mut index = Vec::new();
        let mut push = |name: &str| {
            index.extend(
                self.index_entry(name)
                    .filter(|entry| !only_ready || entry.state == "READY"),
            );
            if index.len() > MAX_INDEX {
                return Err(Status::resource_exhausted(format!(
                    "more than {MAX_INDEX} models; stowage.v1.Mesh/ListModels lists them page by page"
                )));
            }
            Ok(())
        };
        let mut after = String::new();
        loop {
            let page = self.mesh.list_vmodels(&after, MAX_PAGE);
            let Some(last) = page.last() else { break };
            last.as_str().clone_into(&mut after);
            page.iter().try_for_each(|name| push(name))?;
            tokio::task::yield_now().await;
        }
        after.clear();
        loop {
            let (page, last) = self.mesh.list_unnamed(&after, MAX_PAGE);
            let Some(last) = last else { break };
            last.as_str().clone_into(&mut after);
            page.iter().try_for_each(|id| push(id))?;
            tokio::task::yield_now().await;
        }
        Ok(index)
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Local {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse {
            ready: self.ready.is_ready(),
        }))
    }

    /// Ready = it can be loaded. A model that nobody knows is not ready, which is what clients ask; an error would
    /// make their polls fail.
    async fn model_ready(
        &self,
        req: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = req.into_inner();
        let ready = match self.locate(&name, &version) {
            Ok(name) => self.ready.is_ready() && self.mesh.can_serve(&name, Kind::Either),
            Err(err) if err.code() == tonic::Code::NotFound => false,
            Err(err) => return Err(err),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: "stowage".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: extensions(self.mesh.cache().runtime_status()),
        }))
    }

    async fn repository_index(
        &self,
        req: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let models = self.index(req.into_inner().ready).await?;
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        req: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let RepositoryModelLoadRequest {
            model_name,
            parameters,
            ..
        } = req.into_inner();
        refuse_parameters(&parameters, &[])?;
        let name = self.locate(&model_name, "")?;
        self.mesh.load_by_name(&name).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    /// Drops the copies of all versions. The model stays registered, and the next request loads it again.
    async fn repository_model_unload(
        &self,
        req: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let RepositoryModelUnloadRequest {
            model_name,
            parameters,
            ..
        } = req.into_inner();
        // Clients always send it; nothing depends on a model here.
        refuse_parameters(&parameters, &["unload_dependents"])?;
        let name = self.locate(&model_name, "")?;
        self.mesh.unload_by_name(&name)?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn model_infer(
        &self,
        _: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        Err(for_the_runtime())
    }

    type ModelStreamInferStream = tokio_stream::Empty<Result<ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        Err(for_the_runtime())
    }

    async fn model_metadata(
        &self,
        _: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        Err(for_the_runtime())
    }

    async fn model_config(
        &self,
        _: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        Err(for_the_runtime())
    }

    async fn model_statistics(
        &self,
        _: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        Err(for_the_runtime())
    }
}

/// Clients look here before they ask: `perf_analyzer` reads a model's counters only where it finds `statistics`.
fn extensions(runtime: &RuntimeStatusResponse) -> Vec<String> {
    let lists = |method: &str| {
        let mut listed = runtime.method_infos.keys();
        listed.any(|listed| listed.trim_start_matches('/') == method.trim_start_matches('/'))
    };
    let of_runtime = RUNTIME_EXTENSIONS
        .iter()
        .filter(|(method, _)| lists(method))
        .map(|&(_, extension)| extension);
    EXTENSIONS
        .into_iter()
        .chain(of_runtime)
        .map(str::to_owned)
        .collect()
}

/// The data plane brings these calls to the runtime before they get here.
fn for_the_runtime() -> Status {
    Status::unimplemented("answered by the model's runtime, not by the router")
}

fn refuse_parameters(
    parameters: &HashMap<String, ModelRepositoryParameter>,
    ignored: &[&str],
) -> Result<(), Status> {
    match parameters.keys().find(|name| !ignored.contains(&name.as_str())) {
        Some(name) => Err(Status::invalid_argument(format!(
            "parameter {name} is not supported: a model is loaded as it is registered"
        ))),
        None => Ok(()),
    }
}
