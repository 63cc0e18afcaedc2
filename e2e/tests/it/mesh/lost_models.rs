//! A model server that lost a model says so in its own way; the client does not notice.

use api::mmesh::{UnloadModelRequest, model_runtime_client::ModelRuntimeClient};
use e2e::{
    example_runtime::{Address, NotFound, Options, What},
    mesh::{Pod, Settings},
};

use super::tools::{check_serves, mesh};

/// Unloads a model behind the router's back.
async fn unload(pod: &Pod, id: &str) {
    let mut runtime = ModelRuntimeClient::connect(format!("http://{}", pod.runtime().address()))
        .await
        .expect("the runtime can be reached");
    let request = UnloadModelRequest {
        model_id: id.to_owned(),
    };
    runtime.unload_model(request).await.expect("unloaded");
}

async fn check(runtime: Options) {
    let mut mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_5_5").await.expect("registered");
    for loads in 1..=3 {
        check_serves(pod, "m").await;
        assert_eq!(pod.runtime().count(What::Loaded, "m"), loads);
        unload(pod, "m").await;
    }
    check_serves(pod, "m").await;
    mesh.check_running().expect("the router still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_not_found() {
    check(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_triton_says_it() {
    check(Options {
        not_found: NotFound::Triton,
        ..Options::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_mlserver_says_it() {
    check(Options {
        not_found: NotFound::MlServer,
        ..Options::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_unload_of_an_unknown_model_fails() {
    check(Options {
        unload_not_found: true,
        ..Options::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_inference_on_another_port() {
    check(Options {
        serving: Some(Address::port(0)),
        unload_not_found: true,
        ..Options::default()
    })
    .await;
}
