//! gRPC management: `mmesh.ModelMesh` as upstream has it, and our own `stowage.v1.Mesh`.
//!
//! A client that goes away drops the future of its call and with it every wait in it. What was started goes on.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use api::{
    mesh_v1::{
        ExplainRequest, ExplainResponse, ListInstancesRequest, ListInstancesResponse, ListModelsRequest,
        ListModelsResponse, ListVModelsRequest, ListVModelsResponse, RollbackRequest, SetCopiesRequest,
        SetCopiesResponse, SetWeightsRequest, VModel, WatchEvent, WatchRequest,
        mesh_server::{Mesh as MeshV1, MeshServer},
        watch_event,
    },
    mmesh::{
        DeleteVModelRequest, DeleteVModelResponse, EnsureLoadedRequest, GetStatusRequest,
        GetVModelStatusRequest, ModelStatusInfo, RegisterModelRequest, SetVModelRequest,
        UnregisterModelRequest, UnregisterModelResponse, VModelStatusInfo,
        model_mesh_server::{ModelMesh, ModelMeshServer},
    },
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::uri::PathAndQuery;
use tonic::{Request, Response, Status, body::Body, codegen::Service, server::NamedService};

use crate::mesh::{Lost, MAX_PAGE, Mesh};

#[cfg(test)]
mod tests;

/// Name of the service before it was `mmesh.ModelMesh`; the same calls.
const LEGACY_SERVICE: &str = "com.ibm.watson.tas.proto.TasRuntime";

/// `mmesh.ModelMesh`, with the old names of its calls.
pub fn service(mesh: Arc<Mesh>) -> ManagementService {
    ManagementService(ModelMeshServer::new(Calls(mesh)))
}

/// The same calls as `com.ibm.watson.tas.proto.TasRuntime`.
pub fn legacy_service(mesh: Arc<Mesh>) -> LegacyService {
    LegacyService(service(mesh))
}

/// `stowage.v1.Mesh`.
pub fn mesh_service(mesh: Arc<Mesh>) -> MeshServer<Calls> {
    MeshServer::new(Calls(mesh))
}

/// What answers the calls.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Mesh>);

/// See [`service`].
#[derive(Clone, Debug)]
pub struct ManagementService(ModelMeshServer<Calls>);

/// See [`legacy_service`].
#[derive(Clone, Debug)]
pub struct LegacyService(ManagementService);

#[tonic::async_trait]
impl ModelMesh for Calls {
    async fn register_model(
        &self,
        req: Request<RegisterModelRequest>,
    ) -> Result<Response<ModelStatusInfo>, Status> {
        self.0.register(req.into_inner()).await.map(Response::new)
    }

    async fn unregister_model(
        &self,
        req: Request<UnregisterModelRequest>,
    ) -> Result<Response<UnregisterModelResponse>, Status> {
        self.0.unregister(req.into_inner()).await?;
        Ok(Response::new(UnregisterModelResponse {}))
    }

    async fn get_model_status(
        &self,
        req: Request<GetStatusRequest>,
    ) -> Result<Response<ModelStatusInfo>, Status> {
        self.0.status(req.into_inner()).await.map(Response::new)
    }

    async fn ensure_loaded(
        &self,
        req: Request<EnsureLoadedRequest>,
    ) -> Result<Response<ModelStatusInfo>, Status> {
        self.0.ensure_loaded(req.into_inner()).await.map(Response::new)
    }

    async fn set_v_model(
        &self,
        req: Request<SetVModelRequest>,
    ) -> Result<Response<VModelStatusInfo>, Status> {
        self.0.set_vmodel(req.into_inner()).await.map(Response::new)
    }

    async fn delete_v_model(
        &self,
        req: Request<DeleteVModelRequest>,
    ) -> Result<Response<DeleteVModelResponse>, Status> {
        self.0.delete_vmodel(req.into_inner()).await?;
        Ok(Response::new(DeleteVModelResponse {}))
    }

    async fn get_v_model_status(
        &self,
        req: Request<GetVModelStatusRequest>,
    ) -> Result<Response<VModelStatusInfo>, Status> {
        self.0.vmodel_status(req.into_inner()).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl MeshV1 for Calls {
    async fn list_models(
        &self,
        req: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let req = req.into_inner();
        let limit = page_size(req.page_size);
        let models = self.0.list(&req.page_token, limit);
        let last = models.last().map(|model| model.model_id.clone());
        let more = |last: &str| !self.0.list(last, 1).is_empty();
        let next_page_token = next_page(last, models.len() == limit, more);
        Ok(Response::new(ListModelsResponse {
            models,
            next_page_token,
        }))
    }

    async fn list_v_models(
        &self,
        req: Request<ListVModelsRequest>,
    ) -> Result<Response<ListVModelsResponse>, Status> {
        let req = req.into_inner();
        let limit = page_size(req.page_size);
        let vmodels = self.0.show_vmodels(&req.page_token, limit);
        let last = vmodels.last().map(|vmodel| vmodel.vmodel_id.clone());
        let more = |last: &str| !self.0.show_vmodels(last, 1).is_empty();
        let next_page_token = next_page(last, vmodels.len() == limit, more);
        Ok(Response::new(ListVModelsResponse {
            vmodels,
            next_page_token,
        }))
    }

    async fn list_instances(
        &self,
        _: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        Ok(Response::new(self.0.show_instances()))
    }

    type WatchStream = BoxStream<'static, Result<WatchEvent, Status>>;

    async fn watch(&self, req: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = self.0.watch(req.into_inner());
        // Weak: who watches does not keep a router from ending.
        let events = stream::unfold((watcher, Arc::downgrade(&self.0)), |(mut watcher, mesh)| async {
            loop {
                let event = match watcher.next().await? {
                    Ok(news) => mesh.upgrade()?.event(&news),
                    Err(Lost) => Some(WatchEvent {
                        event: Some(watch_event::Event::ListAgain(true)),
                    }),
                };
                if let Some(event) = event {
                    return Some((Ok(event), (watcher, mesh)));
                }
            }
        });
        Ok(Response::new(events.boxed()))
    }

    async fn set_weights(&self, req: Request<SetWeightsRequest>) -> Result<Response<VModel>, Status> {
        self.0.set_weights(req.into_inner()).await.map(Response::new)
    }

    async fn rollback(&self, req: Request<RollbackRequest>) -> Result<Response<VModel>, Status> {
        self.0.rollback(req.into_inner()).await.map(Response::new)
    }

    async fn set_copies(
        &self,
        req: Request<SetCopiesRequest>,
    ) -> Result<Response<SetCopiesResponse>, Status> {
        self.0.set_copies(req.into_inner()).await?;
        Ok(Response::new(SetCopiesResponse {}))
    }

    async fn explain(&self, req: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let name = req.into_inner().name;
        self.0
            .explain(&name)
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("neither a vmodel nor a model is called {name:?}")))
    }
}

fn page_size(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(MAX_PAGE) {
        0 => MAX_PAGE,
        size => size.min(MAX_PAGE),
    }
}

/// Where the next page begins; empty when there is none.
fn next_page(last: Option<String>, full: bool, more: impl Fn(&str) -> bool) -> String {
    last.filter(|last| full && more(last)).unwrap_or_default()
}

impl Service<http::Request<Body>> for ManagementService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <ModelMeshServer<Calls> as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut req: http::Request<Body>) -> Self::Future {
        if let Some(path) = canonical(req.uri().path()) {
            let mut parts = std::mem::take(req.uri_mut()).into_parts();
            parts.path_and_query = Some(PathAndQuery::from_static(path));
            // Only the path has changed, and that to one of ours: the parts still fit together.
            *req.uri_mut() = http::Uri::from_parts(parts).unwrap_or_else(|_| http::Uri::from_static(path));
        }
        self.0.call(req)
    }
}

impl NamedService for ManagementService {
    const NAME: &'static str = <ModelMeshServer<Calls> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for LegacyService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <ManagementService as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: http::Request<Body>) -> Self::Future {
        self.0.call(req)
    }
}

impl NamedService for LegacyService {
    const NAME: &'static str = LEGACY_SERVICE;
}

/// Path of the call that an old name stands for; `None` where the path is none of the old ones.
fn canonical(path: &str) -> Option<&'static str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let method = match method {
        "addModel" | "registerModel" => "/mmesh.ModelMesh/registerModel",
        "deleteModel" | "unregisterModel" => "/mmesh.ModelMesh/unregisterModel",
        "getStatus" | "getModelStatus" => "/mmesh.ModelMesh/getModelStatus",
        "ensureLoaded" => "/mmesh.ModelMesh/ensureLoaded",
        _ => return None,
    };
    [LEGACY_SERVICE, ManagementService::NAME]
        .contains(&service)
        .then_some(method)
}
