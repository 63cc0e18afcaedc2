//! The ONNX runtime behind the router's view of a runtime: function calls where others use gRPC.

use std::time::Duration;

use adapter::onnx::OnnxRuntime;
use api::mmesh::{LoadModelRequest, LoadModelResponse, PredictModelSizeRequest, RuntimeStatusResponse};
use futures::future::BoxFuture;
use router::{
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};
use tonic::Status;

/// Loads models in this process.
#[derive(Clone, Debug)]
pub struct InProcess(OnnxRuntime);

impl InProcess {
    /// The router's view of `runtime`.
    pub fn new(runtime: OnnxRuntime) -> Self {
        Self(runtime)
    }
}

/// What a gRPC deadline would do.
async fn within<T>(timeout: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "the runtime did not answer within {}",
            humantime::format_duration(timeout)
        ))),
    }
}

impl Runtime for InProcess {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        Box::pin(self.0.status())
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        let ModelSpec { kind, path, key } = spec;
        let request = LoadModelRequest {
            model_id: id.to_string(),
            model_type: kind.clone(),
            model_path: path.clone(),
            model_key: key.clone(),
        };
        Box::pin(async move { within(timeout, self.0.load(&request)).await })
    }

    fn unload<'a>(&'a self, id: &'a ModelId, timeout: Duration) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(within(timeout, self.0.unload(id)))
    }

    fn predict_size<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
    ) -> BoxFuture<'a, Result<u64, Status>> {
        let ModelSpec { kind, path, key } = spec;
        let request = PredictModelSizeRequest {
            model_id: id.to_string(),
            model_type: kind.clone(),
            model_path: path.clone(),
            model_key: key.clone(),
        };
        Box::pin(async move { self.0.predict_size(&request).await })
    }

    fn model_size<'a>(&'a self, id: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        Box::pin(self.0.model_size(id))
    }
}
