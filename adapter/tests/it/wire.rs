//! The same over sockets: TCP and unix, one endpoint and two.

use std::{path::PathBuf, time::Duration};

use adapter::{
    onnx::OnnxRuntime,
    server::{BoundServer, Listen, ServerConfig},
};
use api::{
    inference::{
        ModelConfigRequest, ModelInferRequest, ModelMetadataRequest, ModelReadyRequest,
        RepositoryIndexRequest, ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
        grpc_inference_service_client::GrpcInferenceServiceClient,
    },
    mmesh::{
        ModelSizeRequest, PredictModelSizeRequest, RuntimeStatusRequest, UnloadModelRequest,
        model_runtime_client::ModelRuntimeClient,
    },
};
use bytes::Bytes;
use kit::drain::Drain;
use tokio::task::JoinHandle;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    harness::{assert_answer, case, load_of, raw_request, runtime, runtime_with},
    lifecycle::{ask, gated},
};

struct Running {
    management: Channel,
    inference: Channel,
    drain: Drain,
    serving: JoinHandle<anyhow::Result<()>>,
}

async fn channel(listen: Listen) -> Channel {
    let uri = match listen {
        Listen::Tcp(addr) => format!("http://{addr}"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    };
    Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
}

async fn serve(runtime: OnnxRuntime, management: Listen, inference: Option<Listen>) -> Running {
    let drain_timeout = Duration::from_secs(30);
    let config = ServerConfig {
        management,
        inference,
        drain_timeout,
    };
    let server = BoundServer::bind(runtime, &config).await.unwrap();
    let (management, inference) = (server.management().unwrap(), server.inference().unwrap());
    let drain = Drain::new(drain_timeout);
    let serving = tokio::spawn(server.serve(drain.clone()));
    Running {
        management: channel(management).await,
        inference: channel(inference).await,
        drain,
        serving,
    }
}

impl Running {
    fn spi(&self) -> ModelRuntimeClient<Channel> {
        ModelRuntimeClient::new(self.management.clone())
    }

    fn v2(&self) -> GrpcInferenceServiceClient<Channel> {
        GrpcInferenceServiceClient::new(self.inference.clone())
    }

    async fn stop(self) {
        self.drain.start();
        drop((self.management, self.inference));
        self.serving.await.unwrap().unwrap();
    }
}

fn local() -> Listen {
    Listen::Tcp(([127, 0, 0, 1], 0).into())
}

/// A model's life over one way of listening.
async fn whole_life(management: Listen, inference: Option<Listen>) {
    let running = serve(runtime(), management, inference).await;
    let (mut spi, mut v2) = (running.spi(), running.v2());
    for channel in [&running.management, &running.inference] {
        let mut health = HealthClient::new(channel.clone());
        let answer = health
            .check(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    spi.runtime_status(RuntimeStatusRequest {}).await.unwrap();
    let load = load_of("logistic_strings");
    let predicted = spi
        .predict_model_size(PredictModelSizeRequest {
            model_id: load.model_id.clone(),
            model_path: load.model_path.clone(),
            ..Default::default()
        })
        .await
        .unwrap();
    assert!(predicted.into_inner().size_in_bytes > 0);
    let size = spi.load_model(load).await.unwrap().into_inner().size_in_bytes;
    let request = ModelSizeRequest {
        model_id: "logistic_strings".to_owned(),
    };
    assert_eq!(
        spi.model_size(request).await.unwrap().into_inner().size_in_bytes,
        size
    );
    let case = case("logistic_strings");
    let response = v2
        .model_infer(raw_request("logistic_strings", &case.inputs))
        .await
        .unwrap()
        .into_inner();
    assert_answer("logistic_strings", &response, &case.outputs);
    spi.unload_model(UnloadModelRequest {
        model_id: "logistic_strings".to_owned(),
    })
    .await
    .unwrap();
    let status = v2
        .model_infer(raw_request("logistic_strings", &case.inputs))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "model logistic_strings is not loaded")
    );
    running.stop().await;
}

#[tokio::test]
async fn one_tcp_endpoint_serves_both() {
    whole_life(local(), None).await;
}

#[tokio::test]
async fn two_tcp_endpoints() {
    whole_life(local(), Some(local())).await;
}

#[tokio::test]
async fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| Listen::Unix(folder.path().join(name));
    whole_life(socket("both.sock"), None).await;
    whole_life(socket("spi.sock"), Some(socket("data.sock"))).await;
    // A clean end leaves no socket, and a crash's leftover is no obstacle.
    assert!(!folder.path().join("both.sock").exists());
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("left.sock")).unwrap());
    whole_life(socket("left.sock"), None).await;
}

#[tokio::test]
async fn what_is_no_socket_is_not_replaced() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path: PathBuf = file.path().to_owned();
    let config = ServerConfig {
        management: Listen::Unix(path.clone()),
        inference: None,
        drain_timeout: Duration::ZERO,
    };
    let error = BoundServer::bind(runtime(), &config).await.unwrap_err();
    assert!(
        format!("{error:#}").contains(&format!("listen on unix:{}", path.display())),
        "{error:#}"
    );
    assert!(path.exists());
}

#[tokio::test]
async fn server_and_model_metadata() {
    let running = serve(runtime(), local(), None).await;
    running.spi().load_model(load_of("mixed_columns")).await.unwrap();
    let mut v2 = running.v2();
    assert!(
        v2.server_live(ServerLiveRequest {})
            .await
            .unwrap()
            .into_inner()
            .live
    );
    assert!(
        v2.server_ready(ServerReadyRequest {})
            .await
            .unwrap()
            .into_inner()
            .ready
    );
    let server = v2
        .server_metadata(ServerMetadataRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(server.name, "stowage-onnx-tract");
    for (name, expected) in [("mixed_columns", true), ("gone", false)] {
        let request = ModelReadyRequest {
            name: name.to_owned(),
            version: String::new(),
        };
        assert_eq!(
            v2.model_ready(request).await.unwrap().into_inner().ready,
            expected
        );
    }
    let name = || "mixed_columns".to_owned();
    let request = ModelMetadataRequest {
        name: name(),
        version: String::new(),
    };
    let metadata = v2.model_metadata(request).await.unwrap().into_inner();
    assert_eq!(
        (metadata.platform.as_str(), metadata.versions.as_slice()),
        ("tract_onnx", &["1".to_owned()][..])
    );
    let tensors = |tensors: &[api::inference::model_metadata_response::TensorMetadata]| {
        tensors
            .iter()
            .map(|t| (t.name.clone(), t.datatype.clone(), t.shape.clone()))
            .collect::<Vec<_>>()
    };
    let tensor =
        |name: &str, datatype: &str, shape: &[i64]| (name.to_owned(), datatype.to_owned(), shape.to_vec());
    assert_eq!(
        tensors(&metadata.inputs),
        [
            tensor("color", "BYTES", &[-1, 1]),
            tensor("size", "BYTES", &[-1, 1]),
            tensor("weight", "FP32", &[-1, 1])
        ]
    );
    assert_eq!(
        tensors(&metadata.outputs),
        [
            tensor("output_label", "BYTES", &[-1]),
            tensor("output_probability", "FP32", &[-1, 2])
        ]
    );
    let request = ModelConfigRequest {
        name: name(),
        version: "1".to_owned(),
    };
    let config = v2
        .model_config(request)
        .await
        .unwrap()
        .into_inner()
        .config
        .unwrap();
    assert_eq!(
        (config.max_batch_size, config.input.len(), config.output.len()),
        (0, 3, 2)
    );
    assert_eq!(
        (
            config.input[2].data_type().as_str_name(),
            &config.input[2].dims[..]
        ),
        ("TYPE_FP32", &[-1, 1][..])
    );
    let index = v2
        .repository_index(RepositoryIndexRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (index.models[0].name.as_str(), index.models[0].state.as_str()),
        ("mixed_columns", "READY")
    );
    running.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_after_an_error() {
    let running = serve(runtime(), local(), None).await;
    running.spi().load_model(load_of("linear")).await.unwrap();
    let case = case("linear");
    let good = raw_request("linear", &case.inputs);
    let unknown = ModelInferRequest {
        model_name: "gone".to_owned(),
        ..good.clone()
    };
    let requests = tokio_stream::iter([good.clone(), unknown, good]);
    let mut answers = running
        .v2()
        .model_stream_infer(requests)
        .await
        .unwrap()
        .into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert_answer("linear", first.infer_response.as_ref().unwrap(), &case.outputs);
    let second = answers.message().await.unwrap().unwrap();
    assert_eq!(second.error_message, "model gone is not loaded");
    assert_eq!(second.infer_response.unwrap().id, "42");
    let third = answers.message().await.unwrap().unwrap();
    assert_eq!(
        (third.error_message.as_str(), third.infer_response.is_some()),
        ("", true)
    );
    assert!(answers.message().await.unwrap().is_none());
    running.stop().await;
}

#[tokio::test]
async fn messages_may_be_as_large_as_configured() {
    const LIMIT: usize = 8 << 20;
    let running = serve(
        runtime_with(|options| options.max_message_bytes = LIMIT),
        local(),
        None,
    )
    .await;
    running
        .spi()
        .load_model(load_of("transpose_uint8"))
        .await
        .unwrap();
    let request = |rows: usize| {
        let mut request = raw_request("transpose_uint8", &case("transpose_uint8").inputs);
        request.inputs[0].shape = vec![i64::try_from(rows).unwrap(), 2];
        request.raw_input_contents[0] = Bytes::from(vec![7; rows * 2]);
        request
    };
    let mut v2 = running
        .v2()
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let response = v2.model_infer(request(3 << 20)).await.unwrap().into_inner();
    assert_eq!(response.raw_output_contents[0].len(), 6 << 20);
    let status = v2.model_infer(request(5 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    running.stop().await;
}

#[tokio::test]
async fn a_drain_lets_requests_in_flight_end() {
    let (runtime, controls) = gated(|_| {});
    let running = serve(runtime, local(), None).await;
    controls.load.open(1);
    running.spi().load_model(load_of("linear")).await.unwrap();
    let request = tokio::spawn({
        let mut v2 = running.v2();
        async move { v2.model_infer(ask("linear", b"abc")).await }
    });
    controls.run.arrival().await;
    running.drain.start();
    controls.run.open(1);
    let response = request.await.unwrap().unwrap().into_inner();
    assert_eq!(response.raw_output_contents, [&b"abc"[..]]);
    running.stop().await;
}
