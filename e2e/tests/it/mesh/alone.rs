//! One router: registration, loads, failures, several models by one call, what a runtime may answer.

use std::time::{SystemTime, UNIX_EPOCH};

use api::mmesh::model_status_info::ModelStatus;
use e2e::{
    example_runtime::{Address, Options, What},
    mesh::{Mesh, Refused, Settings},
};
use tonic::Code;

use super::tools::{check_said, check_serves, mesh, said};

/// A model from its registration to its end, with what can go wrong in between.
async fn check_life(mesh: &mut Mesh) {
    let pod = mesh.pod(0);
    let unknown = pod.status("nobody").await.expect("answered");
    assert_eq!(
        (unknown.status(), unknown.errors.len()),
        (ModelStatus::NotFound, 0)
    );

    let info = pod.register_loaded("tea", "").await.expect("registered");
    assert_eq!(info.status(), ModelStatus::Loaded);
    check_serves(pod, "tea").await;

    // The runtime loses everything with this answer.
    let predictor = pod.predictor().expect("a channel");
    check_said(
        predictor.ask("tea", "test:purge-models").await,
        "test:purge-models",
        "tea",
    );
    check_serves(pod, "tea").await;
    assert_eq!(pod.runtime().count(What::Loaded, "tea"), 2);

    let failed = pod
        .register_loaded("spilt", "SIZE_1000_0_0;FAILALWAYS_there is no use crying")
        .await
        .expect("an answer, not an error");
    assert_eq!(failed.status(), ModelStatus::LoadingFailed);
    assert_eq!(failed.errors.len(), 1, "{failed:?}");
    assert!(failed.errors[0].ends_with("there is no use crying"), "{failed:?}");
    let [copy] = &failed.model_copy_infos[..] else {
        panic!("one copy: {failed:?}");
    };
    assert_ne!(copy.location, "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let age = now.as_millis().saturating_sub(u128::from(copy.time));
    assert!(age < 60_000, "failed {age} ms ago");
    assert_eq!(pod.status("spilt").await.expect("answered"), failed);
    let Err(Refused(code, text)) = predictor.ask("spilt", "hello").await else {
        panic!("it cannot answer");
    };
    assert_eq!(code, Code::Internal, "{text}");
    assert!(text.contains("there is no use crying"), "{text}");

    for id in ["red", "green", "blue"] {
        pod.register(id, "SIZE_1000_0_0").await.expect("registered");
    }
    let answers = predictor
        .ask_many(&["red", "green", "blue"], "hello")
        .await
        .expect("answered");
    let expected = ["blue", "green", "red"].map(|id| (id.to_owned(), said("hello", id)));
    assert_eq!(answers, expected);
    let Err(Refused(code, text)) = predictor.ask_many(&["x", "y"], "hello").await else {
        panic!("there are none");
    };
    assert_eq!(
        (code, text.as_str()),
        (Code::NotFound, "none of the requested models were found")
    );

    pod.unregister("tea").await.expect("unregistered");
    let Err(Refused(code, _)) = predictor.ask("tea", "hello").await else {
        panic!("it is gone");
    };
    assert_eq!(code, Code::NotFound);
    mesh.check_running().expect("the router still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_from_its_registration_to_its_end() {
    check_life(&mut mesh(Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_at_a_socket() {
    let runtime = Options {
        address: Address::Unix("runtime.sock".into()),
        ..Options::default()
    };
    check_life(&mut mesh(Settings::default().runtime(runtime)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_with_inference_on_another_port() {
    let runtime = Options {
        serving: Some(Address::port(0)),
        ..Options::default()
    };
    check_life(&mut mesh(Settings::default().runtime(runtime)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_load_is_tried_again() {
    let mesh = mesh(Settings::default().env("MM_LOAD_FAILURE_EXPIRY_TIME_MS", "100")).await;
    let pod = mesh.pod(0);
    let first = pod
        .register_loaded("shy", "SIZE_1000_0_0;FAIL_not today")
        .await
        .expect("answered");
    assert_eq!(first.status(), ModelStatus::LoadingFailed);
    let predictor = pod.predictor().expect("a channel");
    super::tools::until("the model to answer", async || {
        predictor.ask("shy", "hello").await.is_ok()
    })
    .await;
    assert_eq!(pod.runtime().count(What::LoadFailed, "shy"), 1);
    assert_eq!(pod.runtime().count(What::Loaded, "shy"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_runtime_come_with_the_method() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    let predictor = pod.predictor().expect("a channel");
    let ask = async |text| {
        let Err(Refused(code, text)) = predictor.ask("m", text).await else {
            panic!("it fails");
        };
        (code, text)
    };
    assert_eq!(
        ask("test:error:code=DATA_LOSS:message=ink ran out").await,
        (
            Code::DataLoss,
            "mmesh.ExamplePredictor/predict: DATA_LOSS: ink ran out".to_owned()
        )
    );
    assert_eq!(
        ask("test:error:code=UNAVAILABLE:message=closed").await,
        (
            Code::Internal,
            "ModelRuntime UNAVAILABLE: mmesh.ExamplePredictor/predict: UNAVAILABLE: closed".to_owned()
        )
    );
    // Neither is a reason to load the model again.
    assert_eq!(pod.runtime().count(What::Loaded, "m"), 1);
}

/// `TearDownTest`, `LoadPriorityTest`: what is asked for overtakes what is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_overtakes_the_queue_of_loads() {
    let runtime = Options {
        concurrency: 1,
        ..Options::default()
    };
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    let mut management = pod.manage().expect("a channel");
    for n in 0..20 {
        let request = api::mmesh::RegisterModelRequest {
            model_id: format!("queued-{n:02}"),
            model_info: Some(e2e::mesh::model("SIZE_1000_50_0")),
            load_now: true,
            ..Default::default()
        };
        management.register_model(request).await.expect("registered");
    }
    pod.register("wanted", "SIZE_1000_50_0")
        .await
        .expect("registered");
    check_serves(pod, "wanted").await;
    let before = pod
        .runtime()
        .events()
        .iter()
        .filter(|event| event.what == What::LoadStarted)
        .position(|event| event.model == "wanted")
        .expect("it was loaded");
    assert!(before < 20, "loaded after all others");
    assert_eq!(pod.runtime().peak_loads(), 1);
}
