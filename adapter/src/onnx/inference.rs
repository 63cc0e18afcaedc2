//! V2 `inference.GRPCInferenceService` on the runtime.

use std::{pin::Pin, sync::Arc};

use api::{
    datatype::Datatype,
    inference::{
        DataType, InferStatistics, MemoryUsage, ModelConfig, ModelConfigRequest, ModelConfigResponse,
        ModelInferRequest, ModelInferResponse, ModelInput, ModelMetadataRequest, ModelMetadataResponse,
        ModelOutput, ModelReadyRequest, ModelReadyResponse, ModelStatistics, ModelStatisticsRequest,
        ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
        RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
        RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
        ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, StatisticDuration,
        grpc_inference_service_server::GrpcInferenceService, model_metadata_response::TensorMetadata,
        repository_index_response::ModelIndex,
    },
};
use futures::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{
    OnnxRuntime,
    engine::TensorInfo,
    model::Served,
    stats::{Total, Totals},
};

/// V2's name of the platform.
const PLATFORM: &str = "onnx_onnxv1";
/// Triton's name of the backend, which its clients look at.
const BACKEND: &str = "onnxruntime";
/// Extensions of the protocol that are served.
const EXTENSIONS: [&str; 3] = ["model_configuration", "model_repository", "statistics"];

#[tonic::async_trait]
impl GrpcInferenceService for OnnxRuntime {
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
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.get_ref();
        let ready = self.find(name).is_some_and(|served| served.is_version(version));
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: format!("stowage-onnx-{}", self.shared.engine.name()),
            version: self.shared.options.runtime_version.clone(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let entered = self.enter(&name, &version)?;
        let model = &entered.served.model;
        Ok(Response::new(ModelMetadataResponse {
            inputs: model.inputs().iter().map(metadata).collect(),
            outputs: model.outputs().iter().map(metadata).collect(),
            name,
            versions: vec![entered.served.version.clone()],
            platform: PLATFORM.to_owned(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        self.infer(request.into_inner()).await.map(Response::new)
    }

    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send + 'static>>;

    /// One answer for each request, in order. An inference that fails is an answer too, and the stream goes on; only a
    /// broken request stream ends it.
    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let state = (self.clone(), request.into_inner());
        let answers = stream::try_unfold(state, |(runtime, mut requests)| async move {
            let Some(request) = requests.message().await? else {
                return Ok(None);
            };
            let id = request.id.clone();
            let answer = match runtime.infer(request).await {
                Ok(response) => ModelStreamInferResponse {
                    error_message: String::new(),
                    infer_response: Some(response),
                },
                // With the id, so that the caller knows which of its requests failed.
                Err(status) => ModelStreamInferResponse {
                    error_message: status.message().to_owned(),
                    infer_response: Some(ModelInferResponse {
                        id,
                        ..ModelInferResponse::default()
                    }),
                },
            };
            Ok(Some((answer, (runtime, requests))))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let entered = self.enter(&name, &version)?;
        let model = &entered.served.model;
        let input = |info: &TensorInfo| ModelInput {
            name: info.name.clone(),
            data_type: data_type(info.datatype).into(),
            dims: dims(info),
        };
        let output = |info: &TensorInfo| ModelOutput {
            name: info.name.clone(),
            data_type: data_type(info.datatype).into(),
            dims: dims(info),
        };
        let config = ModelConfig {
            name,
            platform: PLATFORM.to_owned(),
            // The batch is part of every shape.
            max_batch_size: 0,
            input: model.inputs().iter().map(input).collect(),
            output: model.outputs().iter().map(output).collect(),
            backend: BACKEND.to_owned(),
        };
        Ok(Response::new(ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.get_ref();
        let model_stats = if name.is_empty() {
            self.served().iter().map(|served| statistics(served)).collect()
        } else {
            vec![statistics(&self.enter(name, version)?.served)]
        };
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        _: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let index = |served: &Arc<Served>| ModelIndex {
            name: served.id.as_ref().to_owned(),
            version: served.version.clone(),
            state: "READY".to_owned(),
            reason: String::new(),
        };
        let models = self.served().iter().map(index).collect();
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        _: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        Err(Status::unimplemented(
            "models are loaded through mmesh.ModelRuntime/loadModel here",
        ))
    }

    async fn repository_model_unload(
        &self,
        _: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        Err(Status::unimplemented(
            "models are unloaded through mmesh.ModelRuntime/unloadModel here",
        ))
    }
}

fn dims(info: &TensorInfo) -> Vec<i64> {
    info.dims.iter().map(super::engine::Dim::to_v2).collect()
}

fn metadata(info: &TensorInfo) -> TensorMetadata {
    TensorMetadata {
        name: info.name.clone(),
        datatype: info.datatype.as_str().to_owned(),
        shape: dims(info),
    }
}

fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Fp16 => DataType::TypeFp16,
        Datatype::Bf16 => DataType::TypeBf16,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}

fn statistics(served: &Served) -> ModelStatistics {
    let Totals {
        success,
        fail,
        queue,
        input,
        infer,
        output,
        inferences,
        last_ms,
    } = served.stats.read();
    let duration = |Total { count, ns }| Some(StatisticDuration { count, ns });
    ModelStatistics {
        name: served.id.as_ref().to_owned(),
        version: served.version.clone(),
        last_inference: last_ms,
        inference_count: inferences,
        // Every answered request ran alone.
        execution_count: infer.count,
        inference_stats: Some(InferStatistics {
            success: duration(success),
            fail: duration(fail),
            queue: duration(queue),
            compute_input: duration(input),
            compute_infer: duration(infer),
            compute_output: duration(output),
            ..InferStatistics::default()
        }),
        memory_usage: vec![MemoryUsage {
            r#type: "CPU".to_owned(),
            id: 0,
            byte_size: served.size_bytes(),
        }],
    }
}
