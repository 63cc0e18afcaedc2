//! `mmesh.ModelRuntime` on the runtime.

use api::mmesh::{
    LoadModelRequest, LoadModelResponse, ModelSizeRequest, ModelSizeResponse, PredictModelSizeRequest,
    PredictModelSizeResponse, RuntimeStatusRequest, RuntimeStatusResponse, UnloadModelRequest,
    UnloadModelResponse, model_runtime_server::ModelRuntime,
};
use tonic::{Request, Response, Status};

use super::OnnxRuntime;

#[tonic::async_trait]
impl ModelRuntime for OnnxRuntime {
    async fn load_model(
        &self,
        request: Request<LoadModelRequest>,
    ) -> Result<Response<LoadModelResponse>, Status> {
        self.load(request.get_ref()).await.map(Response::new)
    }

    async fn unload_model(
        &self,
        request: Request<UnloadModelRequest>,
    ) -> Result<Response<UnloadModelResponse>, Status> {
        self.unload(&request.get_ref().model_id).await?;
        Ok(Response::new(UnloadModelResponse {}))
    }

    async fn predict_model_size(
        &self,
        request: Request<PredictModelSizeRequest>,
    ) -> Result<Response<PredictModelSizeResponse>, Status> {
        let size_in_bytes = self.predict_size(request.get_ref()).await?;
        Ok(Response::new(PredictModelSizeResponse { size_in_bytes }))
    }

    async fn model_size(
        &self,
        request: Request<ModelSizeRequest>,
    ) -> Result<Response<ModelSizeResponse>, Status> {
        let size_in_bytes = OnnxRuntime::model_size(self, &request.get_ref().model_id).await?;
        Ok(Response::new(ModelSizeResponse { size_in_bytes }))
    }

    async fn runtime_status(
        &self,
        _request: Request<RuntimeStatusRequest>,
    ) -> Result<Response<RuntimeStatusResponse>, Status> {
        self.status().await.map(Response::new)
    }
}
