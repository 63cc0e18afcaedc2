//! How many inferences run and wait, and what is counted about them.

use api::inference::{ModelStatisticsRequest, grpc_inference_service_server::GrpcInferenceService as _};
use tokio::task::JoinSet;
use tonic::{Code, Request};

use crate::{
    harness::{case, load_of, loaded, raw_request},
    lifecycle::{ask, gated},
};

#[tokio::test]
async fn a_model_runs_no_more_than_its_limit_and_sheds_what_cannot_wait() {
    let (runtime, controls) = gated(|options| options.per_model_concurrency = Some(1));
    controls.load.open(1);
    runtime.load(&load_of("linear")).await.unwrap();
    let mut requests = JoinSet::new();
    // One runs, 16 wait; of 20 more, every one is refused.
    for _ in 0..37 {
        let runtime = runtime.clone();
        requests.spawn(async move { runtime.infer(ask("linear", b"abc")).await });
    }
    for _ in 0..20 {
        let status = requests.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(
            status.message().contains("too many requests wait"),
            "{}",
            status.message()
        );
    }
    controls.run.open(17);
    for _ in 0..17 {
        requests.join_next().await.unwrap().unwrap().unwrap();
    }
    assert!(requests.is_empty());
}

#[tokio::test]
async fn a_caller_that_leaves_gives_up_its_place() {
    let (runtime, controls) = gated(|options| options.per_model_concurrency = Some(1));
    controls.load.open(1);
    runtime.load(&load_of("linear")).await.unwrap();
    let running = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.infer(ask("linear", b"abc")).await }
    });
    controls.run.arrival().await;
    for _ in 0..3 {
        let mut waiting = (0..16)
            .map(|_| Box::pin(runtime.infer(ask("linear", b"abc"))))
            .collect::<Vec<_>>();
        for request in &mut waiting {
            assert!(futures::poll!(request).is_pending());
        }
        let status = runtime.infer(ask("linear", b"abc")).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    controls.run.open(2);
    running.await.unwrap().unwrap();
    runtime.infer(ask("linear", b"abc")).await.unwrap();
}

#[tokio::test]
async fn statistics_count_what_happened() {
    let runtime = loaded("linear").await;
    let case = case("linear");
    for _ in 0..3 {
        runtime.infer(raw_request("linear", &case.inputs)).await.unwrap();
    }
    let mut bad = raw_request("linear", &case.inputs);
    bad.inputs.clear();
    runtime.infer(bad).await.unwrap_err();
    for name in ["linear", ""] {
        let request = ModelStatisticsRequest {
            name: name.to_owned(),
            version: String::new(),
        };
        let stats = runtime
            .model_statistics(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .model_stats;
        assert_eq!(stats.len(), 1);
        let stats = &stats[0];
        assert_eq!((stats.name.as_str(), stats.version.as_str()), ("linear", "1"));
        assert_eq!((stats.inference_count, stats.execution_count), (15, 3));
        assert!(stats.last_inference > 0);
        let counts = stats.inference_stats.as_ref().unwrap();
        let count = |d: &Option<api::inference::StatisticDuration>| d.as_ref().unwrap().count;
        assert_eq!((count(&counts.success), count(&counts.fail)), (3, 1));
        assert_eq!(
            (count(&counts.compute_infer), count(&counts.compute_output)),
            (3, 3)
        );
        assert!(counts.compute_infer.as_ref().unwrap().ns > 0);
        assert_eq!(
            stats.memory_usage[0].byte_size,
            runtime.model_size("linear").await.unwrap()
        );
    }
    let unknown = ModelStatisticsRequest {
        name: "gone".to_owned(),
        version: String::new(),
    };
    assert_eq!(
        runtime
            .model_statistics(Request::new(unknown))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}
