//! Start-up that fails, and failures that are forgotten.

use std::time::Duration;

use e2e::{
    example_runtime::{Options, What},
    mesh::{Refused, Settings},
};
use tonic::Code;

use super::tools::{mesh, until};

/// `ModelMeshFailureExpiryTest`: traffic that goes on does not keep a failure alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_expires_under_traffic() {
    let mesh = mesh(Settings::default().env("MM_LOAD_FAILURE_EXPIRY_TIME_MS", "300")).await;
    let pod = mesh.pod(0);
    let predictor = pod.predictor().expect("a channel");
    pod.register("m", "SIZE_1000_0_0;FAIL_not yet")
        .await
        .expect("registered");
    let mut refusals = 0;
    until("the model to answer", async || {
        match predictor.ask("m", "hello").await {
            Ok(_) => true,
            Err(Refused(code, text)) => {
                assert_eq!(code, Code::Internal, "{text}");
                assert!(text.contains("not yet"), "{text}");
                refusals += 1;
                false
            }
        }
    })
    .await;
    assert!(refusals > 1, "the failure was not remembered at all");
    assert_eq!(pod.runtime().count(What::LoadStarted, "m"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_takes_its_time_to_start() {
    let runtime = Options {
        ready_after: Duration::from_secs(3),
        ..Options::default()
    };
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    pod.register("m", "SIZE_1000_0_0").await.expect("registered");
    super::tools::check_serves(pod, "m").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_hangs_is_given_up() {
    let runtime = Options {
        load_timeout: Duration::from_secs(1),
        ..Options::default()
    };
    let mesh = mesh(Settings::default().runtime(runtime)).await;
    let pod = mesh.pod(0);
    pod.register("stuck", "HANG").await.expect("registered");
    let predictor = pod.predictor().expect("a channel");
    let Err(Refused(code, _)) = predictor.ask("stuck", "hello").await else {
        panic!("it never loads");
    };
    assert_eq!(code, Code::DeadlineExceeded);
    // The runtime was told: it holds nothing.
    until("the load to be canceled", async || {
        pod.runtime().count(What::LoadFailed, "stuck") == 1
    })
    .await;
}
