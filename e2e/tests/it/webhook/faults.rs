//! A webhook that dies, comes back, or is asked to go.

use http::StatusCode;
use serde_json::Value;

use super::{
    denied, passed,
    site::{FAIL, IGNORE, Site, bad, dry_run, good},
};
use crate::support::SOON;

#[tokio::test]
async fn when_it_is_gone_requests_fail_or_pass_as_the_policy_says() {
    let mut closed = Site::new(FAIL, &[]).await;
    let mut open = Site::new(IGNORE, &[]).await;
    for site in [&mut closed, &mut open] {
        assert!(denied(&site.apply(&bad()).await).contains("kpa2"));
        site.server.process.kill().unwrap();
    }
    let done = closed.apply(&good()).await;
    assert!(
        denied(&done).contains("failed calling webhook"),
        "{}",
        done.stderr
    );
    passed(&open.apply(&bad()).await);
    for site in [&mut closed, &mut open] {
        site.restart().await;
        passed(&site.apply(&good()).await);
        passed(
            &site
                .kubectl(
                    &["delete", "--ignore-not-found", "inferenceservice", "bad"],
                    &Value::Null,
                )
                .await,
        );
        assert!(denied(&site.apply(&bad()).await).contains("kpa2"));
    }
    closed.end().await;
    open.end().await;
}

#[tokio::test]
async fn under_load_a_crash_costs_only_the_time_it_is_gone() {
    let mut site = Site::new(FAIL, &[]).await;
    let services = site.services();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let (mut good_ones, mut failures) = (0, Vec::new());
        while !*stopped.borrow() {
            match dry_run(&services, &good()).await {
                Ok(_) => good_ones += 1,
                Err(kube::Error::Api(status)) => failures.push(status.message),
                Err(err) => panic!("{err}"),
            }
            // Fail closed: in no moment does a bad one get through.
            assert!(dry_run(&services, &bad()).await.is_err());
        }
        (good_ones, failures)
    });
    for _ in 0..3 {
        site.server.process.kill().unwrap();
        site.restart().await;
        let services = site.services();
        e2e::process::eventually("a good object to pass again", SOON, async || {
            Ok(dry_run(&services, &good()).await.ok())
        })
        .await
        .unwrap();
    }
    stop.send_replace(true);
    let (good_ones, failures) = load.await.unwrap();
    assert!(good_ones > 0);
    for failure in failures {
        assert!(failure.contains("failed calling webhook"), "{failure}");
    }
    site.end().await;
}

#[tokio::test]
async fn a_shutdown_serves_until_everybody_knows() {
    let mut site = Site::new(FAIL, &["--drain-delay", "20s", "--shutdown-timeout", "60s"]).await;
    dry_run(&site.services(), &good()).await.unwrap();
    site.server.process.terminate().unwrap();
    site.server.logged("draining").await.unwrap();
    let (status, text) = site.server.probe("/ready").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("draining"), "{text}");
    // Endpoints still lead here.
    dry_run(&site.services(), &good()).await.unwrap();
    let ended = site.server.process.wait(SOON).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", site.server.process.output());
    site.end().await;
}
