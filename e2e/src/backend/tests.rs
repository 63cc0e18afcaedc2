use std::sync::atomic::Ordering;

use anyhow::Context;
use api::{
    mmesh::{LoadModelRequest, model_runtime_client::ModelRuntimeClient, runtime_status_response::Status},
    names::methods::MODEL_INFER,
};
use h2::Reason;

use super::*;
use crate::client::Client;

async fn start() -> anyhow::Result<(Backend, Client)> {
    let backend = Backend::start(Options::default()).await?;
    let client = Client::connect(backend.addr).await?;
    Ok((backend, client))
}

#[tokio::test]
async fn echoes_any_size() -> anyhow::Result<()> {
    let (backend, client) = start().await?;
    for size in [0, 50, 600_000, 20 << 20] {
        let message = vec![7; size];
        let answer = client.unary(MODEL_INFER, &[], &message).await?;
        assert_eq!(answer.code()?, 0);
        assert!(answer.messages == [message], "{size} bytes came back differently");
    }
    assert_eq!(backend.stats.calls.load(Ordering::Relaxed), 4);
    Ok(())
}

#[tokio::test]
async fn outputs_are_inputs() -> anyhow::Result<()> {
    use api::inference::{
        InferTensorContents, ModelInferRequest, ModelInferResponse,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        model_infer_response::InferOutputTensor,
    };
    use prost::Message as _;

    let backend = Backend::start(Options {
        infer: Infer::Tensors,
        ..Options::default()
    })
    .await?;
    let client = Client::connect(backend.addr).await?;
    let typed = InferTensorContents {
        fp32_contents: vec![1.5, 2.5],
        ..InferTensorContents::default()
    };
    for (contents, raw) in [
        (None, vec![vec![1; 8].into(), vec![2; 300_000].into()]),
        (Some(typed), Vec::new()),
        (None, Vec::new()),
    ] {
        let names = ["a", "b"];
        let request = ModelInferRequest {
            model_name: "m".into(),
            id: "7".into(),
            inputs: names
                .map(|name| InferInputTensor {
                    name: name.into(),
                    datatype: "FP32".into(),
                    shape: vec![1, 2],
                    contents: contents.clone(),
                    ..InferInputTensor::default()
                })
                .into(),
            outputs: vec![InferRequestedOutputTensor {
                name: "a".into(),
                ..InferRequestedOutputTensor::default()
            }],
            raw_input_contents: raw.clone(),
            ..ModelInferRequest::default()
        };
        let answer = client.unary(MODEL_INFER, &[], &request.encode_to_vec()).await?;
        assert_eq!(answer.code()?, 0, "{}", answer.message());
        let expected = ModelInferResponse {
            model_name: "m".into(),
            id: "7".into(),
            outputs: names
                .map(|name| InferOutputTensor {
                    name: name.into(),
                    datatype: "FP32".into(),
                    shape: vec![1, 2],
                    contents: contents.clone(),
                    ..InferOutputTensor::default()
                })
                .into(),
            raw_output_contents: raw,
            ..ModelInferResponse::default()
        };
        assert!(ModelInferResponse::decode(answer.messages[0].clone())? == expected);
    }
    let broken = client.unary(MODEL_INFER, &[], b"\x0a\xff").await?;
    assert_eq!(broken.code()?, 3);
    Ok(())
}

#[tokio::test]
async fn is_a_runtime() -> anyhow::Result<()> {
    let (backend, _client) = start().await?;
    let mut runtime = ModelRuntimeClient::connect(format!("http://{}", backend.addr)).await?;
    let status = runtime
        .runtime_status(api::mmesh::RuntimeStatusRequest {})
        .await?
        .into_inner();
    assert!(status.status() == Status::Ready && status.allow_any_method && status.method_infos.is_empty());
    let load = LoadModelRequest {
        model_id: "m".into(),
        ..Default::default()
    };
    assert_eq!(
        runtime.load_model(load).await?.into_inner().size_in_bytes,
        1 << 20
    );
    assert_eq!(backend.stats.loads.load(Ordering::Relaxed), 1);
    assert_eq!(backend.stats.calls.load(Ordering::Relaxed), 0);
    Ok(())
}

#[tokio::test]
async fn shows_metadata_both_ways() -> anyhow::Result<()> {
    let (_backend, client) = start().await?;
    let answer = client
        .unary(
            "/stowage.test.Echo/Unary",
            &[("x-a", "1"), ("grpc-timeout", "5S")],
            b"m",
        )
        .await?;
    assert_eq!(answer.headers.get("saw-x-a").context("saw-x-a")?, "1");
    assert_eq!(
        answer
            .headers
            .get("saw-grpc-timeout")
            .context("saw-grpc-timeout")?,
        "5S"
    );
    assert_eq!(answer.trailers.get("x-trailer").context("x-trailer")?, "last");
    Ok(())
}

#[tokio::test]
async fn streams() -> anyhow::Result<()> {
    let (_backend, client) = start().await?;
    let mut call = client.open("/stowage.test.Echo/ClientStream", &[]).await?;
    call.message(b"ab", false).await?;
    call.message(b"", false).await?;
    call.message(b"c", true).await?;
    assert_eq!(call.finish().await?.messages, ["abc"]);

    let answer = client
        .unary("/stowage.test.Echo/ServerStream", &[("x-count", "4")], b"m")
        .await?;
    assert_eq!((answer.code()?, answer.messages.len()), (0, 4));

    let mut call = client.open("/stowage.test.Echo/Bidi", &[]).await?;
    call.message(b"one", false).await?;
    call.message(b"two", true).await?;
    assert_eq!(call.finish().await?.messages, ["one", "two"]);
    Ok(())
}

#[tokio::test]
async fn fails_on_demand() -> anyhow::Result<()> {
    let (_backend, client) = start().await?;
    let metadata = [
        ("x-code", "8"),
        ("x-message", "full%21"),
        ("x-details-bin", "CAg"),
    ];
    for (method, messages) in [("Fail", 0), ("FailLate", 1)] {
        let answer = client
            .unary(&format!("/stowage.test.Echo/{method}"), &metadata, b"m")
            .await?;
        assert_eq!(
            (answer.code()?, answer.message(), answer.messages.len()),
            (8, "full%21", messages)
        );
        assert_eq!(
            answer
                .trailers
                .get("grpc-status-details-bin")
                .context("details")?,
            "CAg"
        );
    }
    let answer = client.unary("/stowage.test.Echo/None", &[], b"m").await?;
    assert_eq!(answer.code()?, 12);
    Ok(())
}

#[tokio::test]
async fn counts_calls_that_were_given_up() -> anyhow::Result<()> {
    let (_backend, client) = start().await?;
    let answer = client
        .unary("/stowage.test.Echo/Slow", &[("x-delay-ms", "1")], b"m")
        .await?;
    assert_eq!(answer.code()?, 0);
    let mut call = client.open("/stowage.test.Echo/Slow", &[]).await?;
    call.message(b"m", true).await?;
    call.send.send_reset(Reason::CANCEL);
    // The reset and the next call are on one connection, and only their handling may overtake.
    for _ in 0..1000 {
        let answer = client.unary("/stowage.test.Echo/Cancelled", &[], b"").await?;
        if answer.messages == ["1"] {
            return Ok(());
        }
    }
    anyhow::bail!("the reset was not counted")
}
