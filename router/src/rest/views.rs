//! What V2 shows of servers and models: health, metadata, configuration, statistics.

use api::{
    inference::{
        DataType, ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
        ModelReadyRequest, ModelReadyResponse, ModelStatistics, ModelStatisticsRequest,
        ModelStatisticsResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
        ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, StatisticDuration,
        model_metadata_response::TensorMetadata,
    },
    names::methods,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{Backend, Reply, call::Call, failure::Failure, path::Model};

const SERVER_LIVE: &str = "/inference.GRPCInferenceService/ServerLive";
const SERVER_READY: &str = "/inference.GRPCInferenceService/ServerReady";
const SERVER_METADATA: &str = "/inference.GRPCInferenceService/ServerMetadata";
const MODEL_READY: &str = "/inference.GRPCInferenceService/ModelReady";

#[derive(Serialize)]
struct TensorView<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: &'a [i64],
}

#[derive(Serialize)]
struct MetadataView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    versions: &'a [String],
    platform: &'a str,
    inputs: Vec<TensorView<'a>>,
    outputs: Vec<TensorView<'a>>,
}

#[derive(Serialize)]
struct ServerView<'a> {
    name: &'a str,
    version: &'a str,
    extensions: &'a [String],
}

#[derive(Serialize)]
struct LiveView {
    live: bool,
}

/// V1's liveness.
#[derive(Serialize)]
struct StatusView {
    status: &'static str,
}

#[derive(Serialize)]
struct ReadyView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    ready: bool,
}

impl<B: Backend> Call<'_, B> {
    pub(super) async fn live(&self) -> Result<Reply, Failure> {
        let (metadata, ServerLiveResponse { live }) = self.unary(SERVER_LIVE, &ServerLiveRequest {}).await?;
        Ok(reply(&LiveView { live }, metadata)?.or_else(live, StatusCode::BAD_REQUEST))
    }

    pub(super) async fn v1_live(&self) -> Result<Reply, Failure> {
        let (metadata, ServerLiveResponse { live }) = self.unary(SERVER_LIVE, &ServerLiveRequest {}).await?;
        let status = if live { "alive" } else { "not alive" };
        Ok(reply(&StatusView { status }, metadata)?.or_else(live, StatusCode::SERVICE_UNAVAILABLE))
    }

    pub(super) async fn ready(&self) -> Result<Reply, Failure> {
        let (metadata, ServerReadyResponse { ready }) =
            self.unary(SERVER_READY, &ServerReadyRequest {}).await?;
        Ok(reply(&ReadyView { name: None, ready }, metadata)?.or_else(ready, StatusCode::BAD_REQUEST))
    }

    pub(super) async fn server_metadata(&self) -> Result<Reply, Failure> {
        let (
            metadata,
            ServerMetadataResponse {
                name,
                version,
                extensions,
            },
        ) = self.unary(SERVER_METADATA, &ServerMetadataRequest {}).await?;
        reply(
            &ServerView {
                name: &name,
                version: &version,
                extensions: &extensions,
            },
            metadata,
        )
    }

    pub(super) async fn model_ready(&self, model: Model) -> Result<Reply, Failure> {
        self.ready_or(model, StatusCode::BAD_REQUEST).await
    }

    pub(super) async fn v1_ready(&self, name: String) -> Result<Reply, Failure> {
        let version = String::new();
        self.ready_or(Model { name, version }, StatusCode::SERVICE_UNAVAILABLE)
            .await
    }

    /// Readiness of a model, with this status if it is not ready.
    async fn ready_or(
        &self,
        Model { name, version }: Model,
        otherwise: StatusCode,
    ) -> Result<Reply, Failure> {
        let request = ModelReadyRequest { name, version };
        let (metadata, ModelReadyResponse { ready }) = self.unary(MODEL_READY, &request).await?;
        Ok(reply(
            &ReadyView {
                name: Some(&request.name),
                ready,
            },
            metadata,
        )?
        .or_else(ready, otherwise))
    }

    pub(super) async fn model_metadata(&self, model: Model) -> Result<Reply, Failure> {
        let (headers, answer) = self.metadata_of(model).await?;
        let ModelMetadataResponse {
            name,
            versions,
            platform,
            inputs,
            outputs,
        } = &answer;
        let (inputs, outputs) = (tensors(inputs), tensors(outputs));
        reply(
            &MetadataView {
                name,
                versions,
                platform,
                inputs,
                outputs,
            },
            headers,
        )
    }

    pub(super) async fn metadata_of(
        &self,
        Model { name, version }: Model,
    ) -> Result<(HeaderMap, ModelMetadataResponse), Failure> {
        self.unary(methods::MODEL_METADATA, &ModelMetadataRequest { name, version })
            .await
    }

    pub(super) async fn model_config(&self, Model { name, version }: Model) -> Result<Reply, Failure> {
        let request = ModelConfigRequest { name, version };
        let (metadata, ModelConfigResponse { config }) = self.unary(methods::MODEL_CONFIG, &request).await?;
        let config = config.unwrap_or_default();
        let tensor = |name: &str, datatype: i32, dims: &[i64]| {
            let datatype = DataType::try_from(datatype).unwrap_or(DataType::TypeInvalid);
            serde_json::json!({ "name": name, "data_type": datatype.as_str_name(), "dims": dims })
        };
        let input = config
            .input
            .iter()
            .map(|input| tensor(&input.name, input.data_type, &input.dims));
        let output = config
            .output
            .iter()
            .map(|output| tensor(&output.name, output.data_type, &output.dims));
        let view = serde_json::json!({
            "name": config.name,
            "platform": config.platform,
            "backend": config.backend,
            "max_batch_size": config.max_batch_size,
            "input": input.collect::<Vec<_>>(),
            "output": output.collect::<Vec<_>>(),
        });
        reply(&view, metadata)
    }

    pub(super) async fn model_statistics(&self, Model { name, version }: Model) -> Result<Reply, Failure> {
        let request = ModelStatisticsRequest { name, version };
        let (metadata, answer): (_, ModelStatisticsResponse) =
            self.unary(methods::MODEL_STATISTICS, &request).await?;
        let models: Vec<_> = answer.model_stats.iter().map(statistics).collect();
        reply(&serde_json::json!({ "model_stats": models }), metadata)
    }
}

impl Reply {
    /// What is not so has this status instead of a success.
    fn or_else(mut self, so: bool, status: StatusCode) -> Self {
        if !so {
            self.status = status;
        }
        self
    }
}

/// A view as the body of a reply.
pub(super) fn reply(view: &impl Serialize, metadata: HeaderMap) -> Result<Reply, Failure> {
    let body = serde_json::to_vec(view).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(Reply::json(body, metadata))
}

fn tensors(tensors: &[TensorMetadata]) -> Vec<TensorView<'_>> {
    let mut views = Vec::with_capacity(tensors.len());
    for TensorMetadata {
        name,
        datatype,
        shape,
    } in tensors
    {
        views.push(TensorView {
            name,
            datatype,
            shape,
        });
    }
    views
}

fn statistics(model: &ModelStatistics) -> serde_json::Value {
    let duration = |duration: Option<StatisticDuration>| {
        let duration = duration.unwrap_or_default();
        serde_json::json!({ "count": duration.count, "ns": duration.ns })
    };
    let infer = model.inference_stats.unwrap_or_default();
    let memory = model.memory_usage.iter().map(
        |usage| serde_json::json!({ "type": usage.r#type, "id": usage.id, "byte_size": usage.byte_size }),
    );
    serde_json::json!({
        "name": model.name,
        "version": model.version,
        "last_inference": model.last_inference,
        "inference_count": model.inference_count,
        "execution_count": model.execution_count,
        "inference_stats": {
            "success": duration(infer.success),
            "fail": duration(infer.fail),
            "queue": duration(infer.queue),
            "compute_input": duration(infer.compute_input),
            "compute_infer": duration(infer.compute_infer),
            "compute_output": duration(infer.compute_output),
            "cache_hit": duration(infer.cache_hit),
            "cache_miss": duration(infer.cache_miss),
        },
        "memory_usage": memory.collect::<Vec<_>>(),
    })
}
