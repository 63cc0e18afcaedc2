//! The ONNX runtime under the names that people gave.
//!
//! The router asks the runtime for a content (`iris@0123456789abcdef`), since that is what it loads. Whoever asked for
//! `iris` gets answers, and errors, that speak of `iris`.

use std::pin::Pin;

use adapter::onnx::OnnxRuntime;
use api::inference::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    grpc_inference_service_server::GrpcInferenceService,
};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::models::name;

/// Delegates every call, and translates names.
#[derive(Clone, Debug)]
pub struct StableNames(OnnxRuntime);

impl StableNames {
    /// Wraps `runtime`.
    pub fn new(runtime: OnnxRuntime) -> Self {
        Self(runtime)
    }
}

/// Puts the stable name, and the version where it has one, into the place of a content's id.
fn present(id: &mut String, version: Option<&mut String>) {
    let Some((stable, stable_version)) = name::of_content_id(id) else {
        return;
    };
    if let (Some(version), Some(stable_version)) = (version, stable_version) {
        stable_version.clone_into(version);
    }
    *id = stable.to_owned();
}

/// The version led to this content; the runtime knows none. Another version leads here when it does not exist.
fn asked(id: &str, version: &mut String) -> Result<(), Status> {
    let Some((stable, Some(known))) = name::of_content_id(id) else {
        return Ok(());
    };
    if !version.is_empty() && *version != known {
        return Err(Status::not_found(format!(
            "model {stable} has no version {version:?}"
        )));
    }
    version.clear();
    Ok(())
}

fn present_error(id: &str, status: Status) -> Status {
    let Some((stable, _)) = name::of_content_id(id) else {
        return status;
    };
    if !status.message().contains(id) {
        return status;
    }
    Status::with_details_and_metadata(
        status.code(),
        status.message().replace(id, stable),
        status.details().to_vec().into(),
        status.metadata().clone(),
    )
}

fn present_answer(answer: &mut ModelInferResponse) {
    present(&mut answer.model_name, Some(&mut answer.model_version));
}

#[tonic::async_trait]
impl GrpcInferenceService for StableNames {
    async fn server_live(
        &self,
        request: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        self.0.server_live(request).await
    }

    async fn server_ready(
        &self,
        request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        self.0.server_ready(request).await
    }

    async fn model_ready(
        &self,
        mut request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.get_mut();
        asked(name, version)?;
        self.0.model_ready(request).await
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        self.0.server_metadata(request).await
    }

    async fn model_metadata(
        &self,
        mut request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.get_mut();
        asked(name, version)?;
        let id = name.clone();
        let mut response = self
            .0
            .model_metadata(request)
            .await
            .map_err(|status| present_error(&id, status))?;
        let ModelMetadataResponse { name, versions, .. } = response.get_mut();
        present(name, versions.first_mut());
        Ok(response)
    }

    async fn model_infer(
        &self,
        mut request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let ModelInferRequest {
            model_name,
            model_version,
            ..
        } = request.get_mut();
        asked(model_name, model_version)?;
        let id = model_name.clone();
        let mut response = self
            .0
            .model_infer(request)
            .await
            .map_err(|status| present_error(&id, status))?;
        present_answer(response.get_mut());
        Ok(response)
    }

    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let response = self.0.model_stream_infer(request).await?;
        Ok(response.map(|answers| {
            answers
                .map(|answer| {
                    answer.map(|mut answer| {
                        answer.infer_response.iter_mut().for_each(present_answer);
                        answer
                    })
                })
                .boxed()
        }))
    }

    async fn model_config(
        &self,
        mut request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.get_mut();
        asked(name, version)?;
        let id = name.clone();
        let mut response = self
            .0
            .model_config(request)
            .await
            .map_err(|status| present_error(&id, status))?;
        if let Some(config) = &mut response.get_mut().config {
            present(&mut config.name, None);
        }
        Ok(response)
    }

    async fn model_statistics(
        &self,
        mut request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.get_mut();
        asked(name, version)?;
        let id = name.clone();
        let mut response = self
            .0
            .model_statistics(request)
            .await
            .map_err(|status| present_error(&id, status))?;
        for statistics in &mut response.get_mut().model_stats {
            present(&mut statistics.name, Some(&mut statistics.version));
        }
        Ok(response)
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        self.0.repository_index(request).await
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        self.0.repository_model_load(request).await
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        self.0.repository_model_unload(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::name::content_id;

    #[test]
    fn contents_are_shown_by_their_names() {
        for (id, version, shown) in [
            (content_id("m", 1), "1", ("m", "1")),
            (content_id("m:2", 1), "1", ("m", "2")),
            ("registered-by-hand".to_owned(), "1", ("registered-by-hand", "1")),
        ] {
            let (mut name, mut version) = (id, version.to_owned());
            present(&mut name, Some(&mut version));
            assert_eq!((name.as_str(), version.as_str()), shown);
        }
    }

    #[test]
    fn the_version_that_led_here_is_not_asked_again() {
        for (id, version, left) in [("m", "1", "1"), ("m:2", "2", ""), ("m:2", "", "")] {
            let mut version = version.to_owned();
            asked(&content_id(id, 1), &mut version).unwrap();
            assert_eq!(version, left, "{id}");
        }
        let status = asked(&content_id("m:2", 1), &mut "3".to_owned()).unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.message(), "model m has no version \"3\"");
    }

    #[test]
    fn errors_speak_of_the_name() {
        let id = content_id("m:2", 1);
        let error = Status::invalid_argument(format!("model {id}: input \"x\": expected shape [1]"));
        let shown = present_error(&id, error);
        assert_eq!(shown.message(), "model m: input \"x\": expected shape [1]");
        assert_eq!(shown.code(), tonic::Code::InvalidArgument);
    }
}
