//! Ids in messages: found there by `MM_DATAPLANE_CONFIG`, put there as the runtime asks, and which methods may be called.

use e2e::{
    example_runtime::Options,
    mesh::{Asked, Pod, Refused, Settings, model},
};
use tonic::Code;

use super::tools::{mesh, said};

const PREDICT: &str = "mmesh.ExamplePredictor/predict";
const MULTI: &str = "mmesh.ExamplePredictor/multiPredict";

fn asked(id: &str, name: &str) -> Asked {
    Asked {
        said: said("hello", id),
        name: name.to_owned(),
    }
}

async fn ask(pod: &Pod, metadata: &[(&str, &str)], name: &str) -> Result<Asked, Refused> {
    let predictor = pod.predictor().expect("a channel");
    predictor.call(metadata, name, "hello").await
}

async fn code(pod: &Pod, metadata: &[(&str, &str)], name: &str) -> Code {
    match ask(pod, metadata, name).await {
        Ok(asked) => panic!("{asked:?} although it may not"),
        Err(Refused(code, _)) => code,
    }
}

async fn register(pod: &Pod, ids: &[&str]) {
    for id in ids {
        pod.register(id, "SIZE_1000_0_0").await.expect("registered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_is_put_into_the_message() {
    let runtime = Options::default().inject(PREDICT, &[1]);
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    register(pod, &["m", "größe"]).await;
    assert_eq!(ask(pod, &[("mm-model-id", "m")], "").await, Ok(asked("m", "m")));
    assert_eq!(ask(pod, &[("mm-model-id", "m")], "m").await, Ok(asked("m", "m")));
    assert_eq!(
        ask(pod, &[("mm-model-id", "m")], "other").await,
        Ok(asked("m", "m"))
    );
    let long = "x".repeat(300);
    assert_eq!(
        ask(pod, &[("mm-model-id", "m")], &long).await,
        Ok(asked("m", "m"))
    );
    assert_eq!(code(pod, &[], "m").await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_the_runtime_does_not_name() {
    let runtime = Options::default().inject(MULTI, &[1]);
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    register(pod, &["m"]).await;
    let refused = ask(pod, &[("mm-model-id", "m")], "").await;
    let text = format!("{PREDICT}: UNIMPLEMENTED: Method not found or not permitted: {PREDICT}");
    assert_eq!(refused, Err(Refused(Code::Unimplemented, text)));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_method_may_be_allowed() {
    let runtime = Options {
        allow_any: true,
        ..Options::default().inject(MULTI, &[1])
    };
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    register(pod, &["m"]).await;
    assert_eq!(
        ask(pod, &[("mm-model-id", "m")], "as it came").await,
        Ok(asked("m", "as it came"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_without_injection() {
    let runtime = Options::default().inject(PREDICT, &[]);
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    register(pod, &["m"]).await;
    assert_eq!(
        ask(pod, &[("mm-model-id", "m")], "as it came").await,
        Ok(asked("m", "as it came"))
    );
}

/// The runtime's own service is the router's alone, also where any method is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_cannot_be_managed_through_the_router() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    register(pod, &["m"]).await;
    let channel = pod.channel().expect("a channel");
    let mut spi = api::mmesh::model_runtime_client::ModelRuntimeClient::new(channel);
    let mut request = tonic::Request::new(api::mmesh::UnloadModelRequest {
        model_id: "m".to_owned(),
    });
    request
        .metadata_mut()
        .insert("mm-model-id", tonic::metadata::MetadataValue::from_static("m"));
    let refused = spi.unload_model(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_is_found_in_the_message() {
    let config = format!(r#"{{"rpcConfigs":{{"{PREDICT}":{{"idExtractionPath":[1]}}}}}}"#);
    let mesh = mesh(Settings::default().env("MM_DATAPLANE_CONFIG", config)).await;
    let pod = mesh.pod(0);
    register(pod, &["m", "n"]).await;
    assert_eq!(ask(pod, &[], "m").await, Ok(asked("m", "m")));
    // The message beats the header; without an id in it the header counts.
    assert_eq!(ask(pod, &[("mm-model-id", "n")], "m").await, Ok(asked("m", "m")));
    assert_eq!(ask(pod, &[("mm-model-id", "n")], "").await, Ok(asked("n", "")));
    assert_eq!(code(pod, &[], "").await, Code::InvalidArgument);
    // Other methods are not allowed unless it is said that they are.
    let predictor = pod.predictor().expect("a channel");
    let Err(Refused(code, _)) = predictor.ask_many(&["m"], "hello").await else {
        panic!("it is not configured");
    };
    assert_eq!(code, Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_vmodel_is_found_in_the_message() {
    let config = format!(r#"{{"rpcConfigs":{{"{PREDICT}":{{"idExtractionPath":[1],"vModelId":true}}}}}}"#);
    let runtime = Options::default().inject(PREDICT, &[1]);
    let settings = Settings::default()
        .env("MM_DATAPLANE_CONFIG", config)
        .runtime(runtime);
    let mesh = mesh(settings).await;
    let pod = mesh.pod(0);
    let request = api::mmesh::SetVModelRequest {
        v_model_id: "stable".to_owned(),
        target_model_id: "first".to_owned(),
        model_info: Some(model("SIZE_1000_0_0")),
        ..Default::default()
    };
    let mut management = pod.manage().expect("a channel");
    management.set_v_model(request).await.expect("set");
    assert_eq!(ask(pod, &[], "stable").await, Ok(asked("first", "first")));
    // A model's id is no vmodel's.
    assert_eq!(code(pod, &[], "first").await, Code::NotFound);
}
