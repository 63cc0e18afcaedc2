//! `mmesh.ModelRuntime`.

use std::sync::Arc;

use api::mmesh::{
    LoadModelRequest, LoadModelResponse, ModelSizeRequest, ModelSizeResponse, PredictModelSizeRequest,
    PredictModelSizeResponse, RuntimeStatusRequest, RuntimeStatusResponse, UnloadModelRequest,
    UnloadModelResponse,
    model_runtime_server::ModelRuntime,
    runtime_status_response::{MethodInfo, Status as Phase},
};
use tonic::{Request, Response, Status};

use super::{State, What, path::Plan};

#[derive(Clone, Debug)]
pub(super) struct Spi(pub(super) Arc<State>);

#[tonic::async_trait]
impl ModelRuntime for Spi {
    async fn runtime_status(
        &self,
        _: Request<RuntimeStatusRequest>,
    ) -> Result<Response<RuntimeStatusResponse>, Status> {
        let options = &self.0.options;
        if !self.0.ready() {
            return Ok(Response::new(RuntimeStatusResponse::default()));
        }
        // Only routers that start ask: they count on an empty runtime.
        self.0.purge();
        let method_infos = options.methods.iter().map(|(method, path)| {
            let info = MethodInfo {
                id_injection_path: path.clone(),
            };
            (method.clone(), info)
        });
        Ok(Response::new(RuntimeStatusResponse {
            status: Phase::Ready.into(),
            capacity_in_bytes: options.capacity,
            max_loading_concurrency: options.concurrency,
            model_loading_timeout_ms: u32::try_from(options.load_timeout.as_millis()).unwrap_or(u32::MAX),
            default_model_size_in_bytes: options.default_size,
            runtime_version: "example".to_owned(),
            method_infos: method_infos.collect(),
            limit_model_concurrency: options.limit_concurrency,
            allow_any_method: options.allow_any,
            ..RuntimeStatusResponse::default()
        }))
    }

    async fn load_model(
        &self,
        request: Request<LoadModelRequest>,
    ) -> Result<Response<LoadModelResponse>, Status> {
        let request = request.into_inner();
        let plan = self.0.load(&request.model_id, &request.model_path).await?;
        Ok(Response::new(LoadModelResponse {
            // To be asked for.
            size_in_bytes: 0,
            max_concurrency: plan.slots,
        }))
    }

    async fn unload_model(
        &self,
        request: Request<UnloadModelRequest>,
    ) -> Result<Response<UnloadModelResponse>, Status> {
        let id = request.into_inner().model_id;
        if !self.0.unload(&id).await {
            self.0.note(What::UnloadedUnknown, &id);
            if self.0.options.unload_not_found {
                return Err(Status::not_found(format!("model {id} not found")));
            }
        }
        Ok(Response::new(UnloadModelResponse {}))
    }

    async fn predict_model_size(
        &self,
        request: Request<PredictModelSizeRequest>,
    ) -> Result<Response<PredictModelSizeResponse>, Status> {
        // Nothing is known before a load: as much as any model.
        let _ = request;
        Ok(Response::new(PredictModelSizeResponse {
            size_in_bytes: self.0.options.default_size,
        }))
    }

    async fn model_size(
        &self,
        request: Request<ModelSizeRequest>,
    ) -> Result<Response<ModelSizeResponse>, Status> {
        let id = request.into_inner().model_id;
        tokio::time::sleep(self.0.options.sizing).await;
        let Plan { size, .. } = self
            .0
            .find(&id)
            .ok_or_else(|| Status::not_found(format!("model {id} not found")))?;
        Ok(Response::new(ModelSizeResponse { size_in_bytes: size }))
    }
}
