//! What the scenarios share.

use e2e::{
    mesh::{Mesh, Pod, SOON, Settings},
    process::eventually,
};

/// A running mesh.
pub(super) async fn mesh(settings: Settings) -> Mesh {
    Mesh::start(settings).await.expect("the mesh starts")
}

/// What a model with this id says to a text.
pub(super) fn said(text: &str, id: &str) -> String {
    format!("classification for {text} by model {id}")
}

/// Asks a model, which must answer.
#[track_caller]
pub(super) fn check_said(answer: Result<e2e::mesh::Asked, e2e::mesh::Refused>, text: &str, id: &str) {
    assert_eq!(answer.map(|asked| asked.said), Ok(said(text, id)));
}

/// Asks a model through a pod; it must answer.
pub(super) async fn check_serves(pod: &Pod, id: &str) {
    let answer = pod.predictor().expect("a channel").ask(id, "hello").await;
    assert_eq!(
        answer.map(|asked| asked.said),
        Ok(said("hello", id)),
        "{}",
        pod.name()
    );
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    eventually(what, SOON, async || Ok(holds().await.then_some(())))
        .await
        .expect("in time");
}
