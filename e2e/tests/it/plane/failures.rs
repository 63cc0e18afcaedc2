//! What clients see when the model server fails, forgets or disappears.

use std::sync::{Arc, atomic::Ordering};

use e2e::{
    backend::{Backend, Options, serve},
    client::Client,
};
use tonic::transport::Channel;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{ECHO, Settings, fixture, until};

const A: (&str, &str) = ("mm-model-id", "a");

#[tokio::test]
async fn status_text_and_details_pass() {
    let fixture = fixture(Settings::default()).await;
    let metadata = [
        A,
        ("x-code", "9"),
        ("x-message", "50 %25 of %C2%B5"),
        ("x-details-bin", "CAkSAm5v"),
    ];
    for method in ["Fail", "FailLate"] {
        let answer = fixture.call(&format!("{ECHO}{method}"), &metadata, b"m").await;
        let text = router::failure::percent_decode(answer.message().as_bytes());
        assert_eq!(answer.code().expect("status"), 9);
        assert_eq!(
            text,
            format!("stowage.test.Echo/{method}: FAILED_PRECONDITION: 50 % of \u{b5}")
        );
        assert_eq!(
            answer.trailers.get("grpc-status-details-bin").expect("details"),
            "CAkSAm5v"
        );
        assert_eq!(answer.messages.len(), usize::from(method == "FailLate"));
    }
    let (code, text) = fixture
        .failure(
            &format!("{ECHO}Fail"),
            &[A, ("x-code", "14"), ("x-message", "busy")],
            b"",
        )
        .await;
    assert_eq!(code, 13, "UNAVAILABLE is INTERNAL, as upstream has it");
    assert_eq!(
        text,
        "ModelRuntime UNAVAILABLE: stowage.test.Echo/Fail: UNAVAILABLE: busy"
    );
}

#[tokio::test]
async fn methods_that_nobody_has_get_no_label() {
    let fixture = fixture(Settings::default()).await;
    let (none, unary) = (format!("{ECHO}None"), format!("{ECHO}Unary"));
    assert_eq!(fixture.failure(&none, &[A], b"m").await.0, 12);
    fixture.call(&unary, &[A], b"m").await;
    assert!(fixture.metrics.method(&unary).is_known());
    assert!(!fixture.metrics.method(&none).is_known());
}

#[tokio::test]
async fn plain_statuses_are_left_alone() {
    let fixture = fixture(Settings {
        plain_statuses: true,
        ..Settings::default()
    })
    .await;
    let metadata = [A, ("x-code", "14"), ("x-message", "busy")];
    assert_eq!(
        fixture.failure(&format!("{ECHO}Fail"), &metadata, b"").await,
        (14, "busy".into())
    );
}

#[tokio::test]
async fn a_forgotten_model_is_loaded_again_but_not_for_ever() {
    let fixture = fixture(Settings::default()).await;
    let loads = || fixture.backend.stats.loads.load(Ordering::Relaxed);
    let disguises = [
        ("5", "gone"),
        ("14", "Request for unknown model: 'a' is not found"),
        ("3", "Model a not found"),
    ];
    for (i, (code, text)) in disguises.into_iter().enumerate() {
        let metadata = [A, ("x-code", code), ("x-message", text)];
        fixture.failure(&format!("{ECHO}Fail"), &metadata, b"m").await;
        // Loaded at the first call, once more when it seemed lost; then it is known to be the model's own answer.
        assert_eq!(loads(), 2, "after disguise {i}");
    }
    fixture
        .failure(
            &format!("{ECHO}Fail"),
            &[A, ("x-code", "3"), ("x-message", "bad tensor")],
            b"m",
        )
        .await;
    assert_eq!(loads(), 2, "an ordinary error is no reason to load");
}

#[tokio::test]
async fn a_runtime_may_forget_a_model_more_than_once() {
    let fixture = fixture(Settings::default()).await;
    let stats = &fixture.backend.stats;
    fixture.call(&format!("{ECHO}Unary"), &[A], b"first").await;
    for loads in 2..5 {
        stats.forgot.store(true, Ordering::Relaxed);
        let answer = fixture.call(&format!("{ECHO}Unary"), &[A], b"m").await;
        assert_eq!(answer.code().expect("status"), 0, "{}", answer.message());
        assert_eq!(stats.loads.load(Ordering::Relaxed), loads);
    }
}

#[tokio::test]
async fn a_request_that_was_not_kept_heals_the_next_one() {
    let fixture = fixture(Settings {
        replay_budget: 0,
        ..Settings::default()
    })
    .await;
    let unary = format!("{ECHO}Unary");
    fixture.call(&unary, &[A], b"first").await;
    fixture.backend.stats.forgot.store(true, Ordering::Relaxed);
    assert_eq!(
        fixture.failure(&unary, &[A], b"m").await.0,
        5,
        "cannot be played again"
    );
    let answer = fixture.call(&unary, &[A], b"m").await;
    assert_eq!(answer.code().expect("status"), 0, "{}", answer.message());
}

#[tokio::test]
async fn a_dead_model_server_is_said_and_survived() {
    let mut fixture = fixture(Settings {
        plain_statuses: true,
        ..Settings::default()
    })
    .await;
    assert_eq!(
        fixture
            .call(&format!("{ECHO}Unary"), &[A], b"x")
            .await
            .code()
            .expect("status"),
        0
    );
    let addr = fixture.backend.addr;
    // Dropping a backend ends its task at some later point; its port is free when it has.
    let other = Backend::start(Options::default()).await.expect("starts");
    drop(std::mem::replace(&mut fixture.backend, other));
    until("the port to be closed", || {
        std::net::TcpStream::connect(addr).is_err()
    })
    .await;
    // One request that is complete, and one of which more is to come.
    let mut open = fixture
        .client
        .open(&format!("{ECHO}Unary"), &[A])
        .await
        .expect("opened");
    open.message(b"x", false).await.expect("sent");
    let unary = format!("{ECHO}Unary");
    let (complete, open) = tokio::join!(fixture.call(&unary, &[A], b"x"), open.finish());
    for answer in [complete, open.expect("answered")] {
        let text = answer.message();
        assert_eq!(answer.code().expect("status"), 14, "{text}");
        assert!(text.contains("no connection to the model server"), "{text}");
    }
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .expect("the port is free");
    tokio::spawn(serve(listener, Options::default(), Arc::default()));
    let answer = fixture.call(&format!("{ECHO}Unary"), &[A], b"back").await;
    assert_eq!(answer.messages, ["back"], "{}", answer.message());
}

#[tokio::test]
async fn a_model_server_that_says_goaway_is_connected_again() {
    let fixture = fixture(Settings::default()).await;
    let unary = format!("{ECHO}Unary");
    let stats = &fixture.backend.stats;
    // More calls than connections: each connection has to wait for one before it ends.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(fixture.client.open(&unary, &[A]).await.expect("opened"));
    }
    until("the calls to arrive", || stats.calls.load(Ordering::Relaxed) == 4).await;
    stats.leave.notify_waiters();
    for i in 0..20 {
        let answer = fixture.call(&unary, &[A], b"new").await;
        assert_eq!(
            answer.code().expect("status"),
            0,
            "call {i}: {}",
            answer.message()
        );
    }
    for mut call in held {
        call.message(b"old", true).await.expect("sent");
        assert_eq!(call.finish().await.expect("answered").messages, ["old"]);
    }
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let fixture = fixture(Settings::default()).await;
    let channel = Channel::from_shared(format!("http://{}", fixture.router_addr)).expect("valid");
    let channel = channel.connect().await.expect("connects");
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let request = tonic_health::pb::HealthCheckRequest {
        service: "inference.GRPCInferenceService".into(),
    };
    let status = health
        .check(request)
        .await
        .expect("answered")
        .into_inner()
        .status();
    assert_eq!(
        status,
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );

    let mut client = ServerReflectionClient::new(channel);
    let request = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(list) = reflect(&mut client, request).await else {
        panic!("a list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "inference.GRPCInferenceService",
        "mmesh.ModelMesh",
        "stowage.v1.Mesh",
    ] {
        assert!(names.contains(&name), "{names:?}");
        let symbol = MessageRequest::FileContainingSymbol(name.to_owned());
        let MessageResponse::FileDescriptorResponse(files) = reflect(&mut client, symbol).await else {
            panic!("{name}: the file that describes it")
        };
        assert!(!files.file_descriptor_proto.is_empty(), "{name}");
    }
}

async fn reflect(client: &mut ServerReflectionClient<Channel>, request: MessageRequest) -> MessageResponse {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let answers = client
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .expect("answered");
    let answer = answers.into_inner().message().await.expect("received");
    answer
        .and_then(|answer| answer.message_response)
        .expect("one answer")
}

#[tokio::test]
async fn a_drain_lets_calls_finish() {
    let fixture = fixture(Settings::default()).await;
    let client = Client::connect(fixture.router_addr).await.expect("connects");
    let mut call = client.open(&format!("{ECHO}Unary"), &[A]).await.expect("opened");
    let stats = fixture.backend.stats.clone();
    // The call is under way at the backend when the drain starts.
    until("the call to arrive", || stats.calls.load(Ordering::Relaxed) == 1).await;
    fixture.drain.start();
    call.message(b"finished", true).await.expect("sent");
    assert_eq!(call.finish().await.expect("answered").messages, ["finished"]);
}
