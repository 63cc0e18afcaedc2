//! The port between routers: for calls that routers forward and what they ask about copies, and for nothing else.

use std::time::Duration;

use api::{
    names::methods::MODEL_INFER,
    peer_v1::{CopyState, CopyStatusRequest, LoadRequest, UnloadRequest},
};
use e2e::client::Client;
use router::peer::PeerError;

use super::{A, ECHO, PATIENCE, Settings, nodes, text};

#[tokio::test]
async fn clients_are_sent_to_their_own_port() {
    let [node] = nodes(Settings::default()).await;
    let client = Client::connect(node.routers).await.expect("connects");
    let unary = format!("{ECHO}Unary");
    for path in [
        &*unary,
        MODEL_INFER,
        "/mmesh.ModelMesh/getModelStatus",
        "/stowage.v1.Mesh/ListModels",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/stowage.peer.v1.PeerX/Load",
    ] {
        let answer = client.unary(path, &[A], b"").await.expect("answered");
        assert_eq!(answer.code().expect("status"), 7, "{path}");
        assert!(text(&answer).contains("8033"), "{}", text(&answer));
    }
    // What routers send, but not of one model, or of the runtime itself.
    let hop = [("stowage-hop", "hit"), ("stowage-from", "x")];
    let answer = client.unary(&unary, &hop, b"").await.expect("answered");
    assert_eq!(answer.code().expect("status"), 3, "{}", text(&answer));
    let many = [hop[0], hop[1], A, ("mm-model-id", "b")];
    let answer = client.unary(&unary, &many, b"").await.expect("answered");
    assert_eq!(answer.code().expect("status"), 3, "{}", text(&answer));
    let spi = "/mmesh.ModelRuntime/unloadModel";
    let answer = client
        .unary(spi, &[hop[0], hop[1], A], b"")
        .await
        .expect("answered");
    assert_eq!(answer.code().expect("status"), 12, "{}", text(&answer));
    assert_eq!(node.calls(), 0);
}

#[tokio::test]
async fn clients_do_not_reach_the_internal_service() {
    let [node] = nodes(Settings::default()).await;
    let answer = node
        .client()
        .unary("/stowage.peer.v1.Peer/Unload", &[], b"")
        .await
        .expect("answered");
    assert_ne!(answer.code().expect("status"), 0);
    assert_eq!(node.calls(), 0, "it is no model's either");
}

#[tokio::test]
async fn routers_ask_about_copies() {
    let [here, there] = nodes(Settings::default()).await;
    let peer = here.peers.get(1).expect("known");
    let load = LoadRequest {
        model_id: "m".into(),
        last_used_ms: 5,
        exclude: vec!["x".into()],
        reason: "test".into(),
        ..Default::default()
    };
    let answer = peer.ask_load(&load, PATIENCE).await.expect("answered");
    assert_eq!(answer.status(), CopyState::Loading);
    assert_eq!(
        *there.service.loads.lock().expect("no panic"),
        std::slice::from_ref(&load)
    );
    assert!(here.peers.load(1).at_ms > 0);

    let status = CopyStatusRequest {
        model_id: "four".into(),
    };
    let answer = peer.ask_copy_status(&status, PATIENCE).await.expect("answered");
    assert_eq!((answer.state(), answer.size_bytes), (CopyState::Loaded, 4));

    let error = peer
        .ask_unload(&UnloadRequest::default(), PATIENCE)
        .await
        .expect_err("refused");
    assert_eq!(error.status().code(), tonic::Code::FailedPrecondition);
    assert!(error.to_string().contains("router node-1") && error.to_string().contains("not today"));

    let never = LoadRequest { sync: true, ..load };
    let error = peer
        .ask_load(&never, Duration::from_millis(50))
        .await
        .expect_err("no answer");
    assert!(
        matches!(&error, PeerError::Late { .. }) || error.status().code() == tonic::Code::DeadlineExceeded,
        "{error}"
    );
    here.peers
        .set(9, "nobody".into(), Some(([127, 0, 0, 1], 1).into()));
    let nobody = here.peers.get(9).expect("known");
    let error = nobody
        .ask_copy_status(&status, PATIENCE)
        .await
        .expect_err("not there");
    assert!(error.is_unsent(), "{error}");
    assert!(
        error.to_string().contains("no connection to router nobody"),
        "{error}"
    );
}
