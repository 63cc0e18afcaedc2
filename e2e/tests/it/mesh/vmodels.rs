//! vmodels from their definition to their end: switches, owners, what they own.

use api::mmesh::{
    DeleteVModelRequest, SetVModelRequest, VModelStatusInfo, model_status_info::ModelStatus,
    v_model_status_info::VModelStatus,
};
use e2e::mesh::{Pod, Settings, model};
use tonic::{Code, Status};

use super::tools::{mesh, said, until};

fn to(target: &str) -> SetVModelRequest {
    SetVModelRequest {
        v_model_id: "v".to_owned(),
        target_model_id: target.to_owned(),
        model_info: Some(model("SIZE_1000_20_0")),
        ..SetVModelRequest::default()
    }
}

async fn set(pod: &Pod, request: SetVModelRequest) -> Result<VModelStatusInfo, Status> {
    let mut management = pod.manage().expect("a channel");
    Ok(management.set_v_model(request).await?.into_inner())
}

async fn delete(pod: &Pod, owner: &str) {
    let request = DeleteVModelRequest {
        v_model_id: "v".to_owned(),
        owner: owner.to_owned(),
    };
    let mut management = pod.manage().expect("a channel");
    management.delete_v_model(request).await.expect("deleted");
}

async fn answers(pod: &Pod) -> String {
    let predictor = pod.predictor().expect("a channel");
    let answer = predictor.call(&[("mm-vmodel-id", "v")], "", "hello").await;
    answer.expect("it answers").said
}

async fn status_of(pod: &Pod, id: &str) -> ModelStatus {
    pod.status(id).await.expect("answered").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_waits_until_the_target_is_loaded() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    let first = SetVModelRequest {
        auto_delete_target_model: true,
        ..to("first")
    };
    let set_first = set(pod, first).await.expect("set");
    assert_eq!(
        (set_first.status(), set_first.active_model_id.as_str()),
        (VModelStatus::Defined, "first")
    );
    assert_eq!(answers(pod).await, said("hello", "first"));
    let err = pod.unregister("first").await.expect_err("it is referred to");
    assert_eq!(err.code(), Code::FailedPrecondition, "{err}");
    assert!(err.message().contains("has referents"), "{err}");

    let second = SetVModelRequest {
        sync: true,
        load_now: true,
        auto_delete_target_model: true,
        ..to("second")
    };
    let switched = set(pod, second).await.expect("set");
    assert_eq!(
        (switched.status(), switched.active_model_id.as_str()),
        (VModelStatus::Defined, "second")
    );
    let active = switched.active_model_status.clone().expect("a status");
    assert_eq!(active.status(), ModelStatus::Loaded, "{switched:?}");
    assert_eq!(answers(pod).await, said("hello", "second"));
    // Nothing refers to it any more.
    until("the first model to be deleted", async || {
        status_of(pod, "first").await == ModelStatus::NotFound
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_shows_both_models_while_it_goes_on() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    set(pod, to("first")).await.expect("set");
    assert_eq!(answers(pod).await, said("hello", "first"));

    let stuck = SetVModelRequest {
        model_info: Some(model("HANG")),
        ..to("second")
    };
    let status = set(pod, stuck).await.expect("set");
    assert_eq!(
        (
            status.status(),
            status.active_model_id.as_str(),
            status.target_model_id.as_str()
        ),
        (VModelStatus::Transitioning, "first", "second")
    );
    assert_eq!(answers(pod).await, said("hello", "first"));
    let third = SetVModelRequest {
        expected_target_model_id: "first".to_owned(),
        ..to("third")
    };
    let err = set(pod, third).await.expect_err("another target is set");
    assert_eq!(err.code(), Code::FailedPrecondition, "{err}");

    // Back, and on to a third: no reference is left behind.
    set(pod, to("first")).await.expect("set");
    let third = SetVModelRequest {
        sync: true,
        load_now: true,
        ..to("third")
    };
    set(pod, third).await.expect("set");
    assert_eq!(answers(pod).await, said("hello", "third"));
    for id in ["first", "second"] {
        pod.unregister(id).await.expect("nothing refers to it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_loaded_leaves_the_old_one_serving() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    set(pod, to("first")).await.expect("set");
    assert_eq!(answers(pod).await, said("hello", "first"));
    let broken = SetVModelRequest {
        model_info: Some(model("FAILALWAYS_broken")),
        ..to("second")
    };
    set(pod, broken).await.expect("set");
    until("the failure to show", async || {
        let status = pod.vmodel_status("v").await.expect("answered");
        status.status() == VModelStatus::TransitionFailed
    })
    .await;
    assert_eq!(answers(pod).await, said("hello", "first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_vmodel_leaves() {
    let mesh = mesh(Settings::default()).await;
    let pod = mesh.pod(0);
    set(pod, to("kept")).await.expect("set");
    delete(pod, "").await;
    assert_eq!(
        pod.vmodel_status("v").await.expect("answered").status(),
        VModelStatus::NotFound
    );
    assert_ne!(status_of(pod, "kept").await, ModelStatus::NotFound);
    let auto = SetVModelRequest {
        auto_delete_target_model: true,
        ..to("gone")
    };
    set(pod, auto).await.expect("set");
    delete(pod, "").await;
    until("the model to go with its vmodel", async || {
        status_of(pod, "gone").await == ModelStatus::NotFound
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmodel_belongs_to_its_owner() {
    let mesh = mesh(Settings::default().env("MM_DEFAULT_VMODEL_OWNER", "the house")).await;
    let pod = mesh.pod(0);
    set(pod, to("first")).await.expect("set");
    let status = pod.vmodel_status("v").await.expect("answered");
    assert_eq!(status.owner, "the house");
    let stranger = SetVModelRequest {
        owner: "somebody".to_owned(),
        ..to("second")
    };
    let err = set(pod, stranger).await.expect_err("it is another's");
    assert_eq!(err.code(), Code::AlreadyExists);
    assert_eq!(
        err.message(),
        r#"vmodel v already exists with different owner "the house""#
    );
    // No error, no effect.
    delete(pod, "somebody").await;
    assert_eq!(answers(pod).await, said("hello", "first"));
    delete(pod, "the house").await;
    let gone = pod.vmodel_status("v").await.expect("answered");
    assert_eq!(gone.status(), VModelStatus::NotFound);
}
