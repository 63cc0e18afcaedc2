//! `mmesh.ModelRuntime` that never has to wait.

use api::mmesh::{
    LoadModelResponse, ModelSizeResponse, PredictModelSizeResponse, RuntimeStatusResponse,
    UnloadModelResponse, runtime_status_response::Status,
};
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::Request;
use prost::Message;

use super::{Shared, Stats, wire};

/// Ready, room for a million models of a mebibyte, any method, nothing injected.
pub(super) fn ready() -> RuntimeStatusResponse {
    RuntimeStatusResponse {
        status: Status::Ready.into(),
        capacity_in_bytes: 1 << 40,
        max_loading_concurrency: 16,
        model_loading_timeout_ms: 30_000,
        default_model_size_in_bytes: 1 << 20,
        runtime_version: "echo".into(),
        allow_any_method: true,
        ..Default::default()
    }
}

pub(super) async fn call(
    method: &str,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), h2::Error> {
    wire::chunks(&mut request.into_body()).await?;
    let size_in_bytes = shared.options.model_bytes;
    let message = match method {
        "runtimeStatus" => shared.options.status.encode_to_vec(),
        "loadModel" => {
            Stats::add(&shared.stats.loads);
            shared
                .stats
                .forgot
                .store(false, std::sync::atomic::Ordering::Relaxed);
            LoadModelResponse {
                size_in_bytes,
                ..Default::default()
            }
            .encode_to_vec()
        }
        "unloadModel" => {
            Stats::add(&shared.stats.unloads);
            UnloadModelResponse {}.encode_to_vec()
        }
        "predictModelSize" => PredictModelSizeResponse { size_in_bytes }.encode_to_vec(),
        "modelSize" => ModelSizeResponse { size_in_bytes }.encode_to_vec(),
        _ => return wire::fail(respond, "12", "unknown method"),
    };
    wire::answer(respond, &message).await
}
