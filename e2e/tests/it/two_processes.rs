//! `stowage-router` and `stowage-adapter onnx` as two processes, over TCP and a unix socket: the scenarios that `stowage`
//! is held to where router and runtime share a process.

use std::fs;

use api::inference::{ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient};
use e2e::process;
use tokio::net::TcpListener;
use tonic::Code;

use crate::{
    bad_input, bad_models, clients, eviction, shutdown,
    support::{
        SOON, answers, onnx,
        pair::{Link, Pair},
        rest,
        stowage::{self, Addresses},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_an_installation_of_their_own() {
    let mut pair = Pair::examples(Link::Tcp).await;
    clients::check_kserve(pair.grpc(), pair.rest()).await;
    clients::check_reflection(pair.grpc()).await;
    clients::check_perf_analyzer(pair.grpc(), pair.rest()).await;
    pair.check_running();
}

async fn check_answers(link: Link) {
    let mut pair = Pair::examples(link).await;
    answers::check_all(pair.rest()).await;
    clients::check("triton_grpc.py", pair.grpc()).await;
    clients::check("triton_http.py", pair.rest()).await;
    clients::check("raw_grpc.py", pair.grpc()).await;
    bad_input::check_all(pair.rest()).await;
    pair.check_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tcp() {
    check_answers(Link::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_a_unix_socket() {
    check_answers(Link::Unix).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_cannot_be_served() {
    let folder = stowage::models_folder();
    let bad = [
        ("corrupt", b"this is no model".to_vec(), "ONNX"),
        ("unsupported", onnx::unsupported(), "Transmogrify"),
        ("large", onnx::weighing(96), "67108864"),
    ];
    for (name, content, _) in &bad {
        onnx::place(folder.path(), &format!("{name}.onnx"), content);
    }
    let mut pair = Pair::start(Link::Unix, folder.path(), 64 << 20).await;
    pair.register("iris", "iris.onnx").await;
    for (name, _, word) in bad {
        pair.register(name, &format!("{name}.onnx")).await;
        let text = bad_models::check_refused(pair.rest(), pair.grpc(), name).await;
        assert!(text.contains(word), "{name}: {text}");
        pair.check_running();
    }
    answers::check_still_serves(pair.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_models_answer_in_turn_with_memory_for_two() {
    let folder = stowage::models_folder();
    eviction::place_models(folder.path());
    let capacity = eviction::size_when_loaded(folder.path()).await * 5 / 2;
    let mut pair = Pair::start(Link::Tcp, folder.path(), capacity).await;
    for name in eviction::names() {
        pair.register(&name, &format!("{name}.onnx")).await;
    }
    eviction::check_turns(pair.rest(), pair.grpc(), capacity).await;
    pair.check_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_answered_when_the_router_ends() {
    let folder = stowage::models_folder();
    shutdown::place_model(folder.path());
    let mut pair = Pair::start(Link::Unix, folder.path(), 4 << 30).await;
    pair.register(shutdown::MODEL, &format!("{}.onnx", shutdown::MODEL))
        .await;
    let addresses = Addresses {
        grpc: pair.grpc().to_owned(),
        rest: pair.rest().to_owned(),
        admin: String::new(),
    };
    shutdown::check_answered(&mut pair.router, &addresses, shutdown::ask_grpc).await;
}

/// Code of a call without any input to the iris model.
async fn code_of_an_empty_call(pair: &Pair) -> Code {
    let mut client = GrpcInferenceServiceClient::connect(format!("http://{}", pair.grpc()))
        .await
        .expect("the router can be reached");
    let request = ModelInferRequest {
        model_name: "iris".to_owned(),
        ..ModelInferRequest::default()
    };
    let answer = client.model_infer(request).await;
    answer.expect_err("a call without inputs is refused").code()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_labeled_by_model_when_asked_for() {
    for (setting, labels) in [
        ("", None),
        (
            ";per_model_metrics=true",
            Some(r#"modelId="iris-first",vModelId="iris""#),
        ),
    ] {
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has ports");
        let address = port.local_addr().expect("bound");
        drop(port);
        let metrics = format!("prometheus:port={};scheme=http{setting}", address.port());
        let models = answers::folder().join("models");
        let more = [("MM_METRICS", metrics.as_str())];
        let mut pair = Pair::start_with(Link::Unix, &models, 1 << 30, &more).await;
        pair.register("iris", "iris.onnx").await;
        answers::check_still_serves(pair.rest()).await;
        let text = rest::get(&address.to_string(), "/metrics")
            .await
            .expect("answered")
            .body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text
            .lines()
            .find(|line| {
                line.starts_with("modelmesh_api_request_milliseconds_count")
                    && line.contains(r#""ModelInfer""#)
            })
            .unwrap_or_else(|| panic!("no count of calls in {text}"));
        match labels {
            Some(labels) => assert!(line.contains(labels), "{line}"),
            None => assert!(!text.contains("modelId"), "{text}"),
        }
        pair.check_running();
    }
}

/// An old pod has a REST proxy of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_rest_port_that_is_taken_leaves_grpc() {
    let taken = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has ports");
    let port = taken.local_addr().expect("bound").port().to_string();
    let more = [("REST_PROXY_LISTEN_PORT", port.as_str())];
    let models = answers::folder().join("models");
    let mut pair = Pair::start_with(Link::Unix, &models, 1 << 30, &more).await;
    pair.register("iris", "iris.onnx").await;
    assert_eq!(code_of_an_empty_call(&pair).await, Code::InvalidArgument);
    assert!(pair.router.output().contains("the REST port is taken"));
    pair.check_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_in_a_file_are_read_again() {
    let folder = stowage::models_folder();
    let file = folder.path().join("rules.json");
    let rules = |allow: bool| format!(r#"{{"rpcConfigs":{{}},"allowOtherRpcs":{allow}}}"#);
    fs::write(&file, rules(false)).expect("the temporary folder can be written");
    let path = file.display().to_string();
    let more = [("MM_DATAPLANE_CONFIG_PATH", path.as_str())];
    let mut pair = Pair::start_with(Link::Unix, folder.path(), 1 << 30, &more).await;
    pair.register("iris", "iris.onnx").await;
    assert_eq!(code_of_an_empty_call(&pair).await, Code::Unimplemented);

    // What cannot be read changes nothing.
    fs::write(&file, "{").expect("the temporary folder can be written");
    process::eventually("the broken file to be reported", SOON, async || {
        Ok(pair.router.output().contains("\"not taken\"").then_some(()))
    })
    .await
    .expect("it is reported");
    assert_eq!(code_of_an_empty_call(&pair).await, Code::Unimplemented);

    // Without rules for V2 the headers must name the model, and these calls have none.
    fs::write(&file, rules(true)).expect("the temporary folder can be written");
    process::eventually("the rules to be in force", SOON, async || {
        Ok((code_of_an_empty_call(&pair).await == Code::InvalidArgument).then_some(()))
    })
    .await
    .expect("they are read");
    pair.check_running();
}
