//! Loads and unloads that overlap, are cancelled or repeated; what the runtime says about itself.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    task::Poll,
    time::Duration,
};

use adapter::onnx::{OnnxOptions, OnnxRuntime};
use api::{
    inference::{ModelInferRequest, model_infer_request::InferInputTensor},
    mmesh::runtime_status_response::Status as RuntimeState,
};
use bytes::Bytes;
use futures::{FutureExt as _, poll};
use tonic::Code;

use crate::{
    gate::{Controls, GateEngine},
    harness::{CAPACITY, load_of, runtime, runtime_with},
};

pub(crate) fn gated(change: impl FnOnce(&mut OnnxOptions)) -> (OnnxRuntime, Arc<Controls>) {
    let engine = GateEngine::default();
    let controls = Arc::clone(&engine.0);
    let mut options = OnnxOptions::new(CAPACITY);
    change(&mut options);
    (
        OnnxRuntime::with_engine(options, Arc::new(engine)).unwrap(),
        controls,
    )
}

/// A request to a gated model.
pub(crate) fn ask(model: &str, data: &'static [u8]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "UINT8".to_owned(),
            shape: vec![i64::try_from(data.len()).unwrap()],
            ..Default::default()
        }],
        raw_input_contents: vec![Bytes::from_static(data)],
        ..Default::default()
    }
}

#[tokio::test]
async fn status_is_ready_with_nothing_loaded() {
    let runtime = runtime_with(|options| {
        options.loading_concurrency = 3;
        options.load_timeout = Duration::from_secs(7);
        options.per_model_concurrency = Some(5);
        options.runtime_version = "v9".to_owned();
    });
    let loaded = runtime.load(&load_of("linear")).await.unwrap();
    assert_eq!(loaded.max_concurrency, 5);
    let status = runtime.status().await.unwrap();
    assert_eq!(runtime.loaded(), [""; 0]);
    assert_eq!(status.status(), RuntimeState::Ready);
    assert_eq!(status.capacity_in_bytes, CAPACITY);
    assert_eq!(
        (status.max_loading_concurrency, status.model_loading_timeout_ms),
        (3, 7000)
    );
    assert_eq!(status.default_model_size_in_bytes, 1_000_000);
    assert_eq!(status.runtime_version, "v9");
    assert!(status.limit_model_concurrency);
    assert_eq!(status.method_infos.len(), 5);
    for method in [
        "ModelInfer",
        "ModelStreamInfer",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
    ] {
        let info = &status.method_infos[&format!("inference.GRPCInferenceService/{method}")];
        assert_eq!(info.id_injection_path, [1]);
    }
}

#[tokio::test]
async fn loading_again_is_idempotent_for_the_same_path_only() {
    let runtime = runtime();
    let first = runtime.load(&load_of("linear")).await.unwrap();
    assert_eq!(runtime.load(&load_of("linear")).await.unwrap(), first);
    let mut other = load_of("tree");
    other.model_id = "linear".to_owned();
    let status = runtime.load(&other).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("already loaded from another path"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn unloading_an_unknown_model_succeeds() {
    runtime().unload("never there").await.unwrap();
}

#[tokio::test]
async fn a_cancelled_load_leaves_nothing_behind() {
    let (runtime, controls) = gated(|_| {});
    let request = load_of("linear");
    let mut load = Box::pin(runtime.load(&request));
    futures::future::select(&mut load, Box::pin(controls.load.arrival())).await;
    drop(load);
    // The unload waits for the load that nobody can stop any more.
    let mut unload = Box::pin(runtime.unload("linear"));
    assert_eq!(poll!(&mut unload).map(|r| r.is_ok()), Poll::Pending);
    controls.load.open(1);
    unload.await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 0);
    assert!(runtime.loaded().is_empty());
    // And the id is as good as new.
    controls.load.open(1);
    runtime.load(&request).await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 1);
}

#[tokio::test]
async fn a_cancelled_load_holds_its_place_until_it_has_really_ended() {
    let (runtime, controls) = gated(|options| options.loading_concurrency = 1);
    let (first, second) = (load_of("linear"), load_of("tree"));
    let mut load = Box::pin(runtime.load(&first));
    futures::future::select(&mut load, Box::pin(controls.load.arrival())).await;
    drop(load);
    let mut next = Box::pin(runtime.load(&second));
    controls.load.open(1);
    futures::future::select(&mut next, Box::pin(controls.load.arrival())).await;
    // By the time the second load runs, the first one's model is gone.
    assert_eq!(controls.alive.load(SeqCst), 0);
    controls.load.open(1);
    next.await.unwrap();
    assert_eq!(runtime.loaded(), ["tree"]);
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_given_up() {
    let (runtime, controls) = gated(|options| options.load_timeout = Duration::from_millis(100));
    let status = runtime.load(&load_of("linear")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("within 100 ms"), "{}", status.message());
    controls.load.open(1);
    runtime.unload("linear").await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 0);
}

#[tokio::test]
async fn loads_of_one_model_at_once_are_one_load() {
    let (runtime, controls) = gated(|options| options.loading_concurrency = 4);
    controls.load.open(1);
    let request = load_of("linear");
    let results = futures::future::join_all((0..8).map(|_| runtime.load(&request))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(controls.alive.load(SeqCst), 1);
}

#[tokio::test]
async fn an_unload_waits_for_inferences_and_frees_the_memory() {
    let (runtime, controls) = gated(|_| {});
    controls.load.open(1);
    runtime.load(&load_of("linear")).await.unwrap();
    let inference = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.infer(ask("linear", b"abc")).await }
    });
    controls.run.arrival().await;
    let mut unload = Box::pin(runtime.unload("linear"));
    assert_eq!(poll!(&mut unload).map(|r| r.is_ok()), Poll::Pending);
    // Nobody new gets in.
    let status = runtime.infer(ask("linear", b"abc")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "model linear is not loaded")
    );
    assert_eq!(controls.alive.load(SeqCst), 1);
    controls.run.open(1);
    unload.await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 0);
    assert_eq!(
        inference.await.unwrap().unwrap().raw_output_contents,
        [&b"abc"[..]]
    );
}

#[tokio::test]
async fn an_unload_waits_for_an_inference_whose_caller_left() {
    let (runtime, controls) = gated(|_| {});
    controls.load.open(1);
    runtime.load(&load_of("linear")).await.unwrap();
    let mut inference = Box::pin(runtime.infer(ask("linear", b"abc")));
    futures::future::select(&mut inference, Box::pin(controls.run.arrival())).await;
    drop(inference);
    let mut unload = Box::pin(runtime.unload("linear"));
    assert!(unload.as_mut().now_or_never().is_none());
    controls.run.open(1);
    unload.await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 0);
}

#[tokio::test]
async fn an_inference_that_panics_is_answered_and_the_model_stays() {
    let (runtime, controls) = gated(|_| {});
    controls.load.open(1);
    runtime.load(&load_of("linear")).await.unwrap();
    controls.run.open(2);
    let status = runtime.infer(ask("linear", b"panic")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    runtime.infer(ask("linear", b"fine")).await.unwrap();
    runtime.unload("linear").await.unwrap();
    assert_eq!(controls.alive.load(SeqCst), 0);
}
