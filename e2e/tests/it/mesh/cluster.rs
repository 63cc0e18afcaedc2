//! Several routers that share an etcd: any of them serves any model, and the models are spread over them.

use std::collections::HashMap;

use api::mmesh::{SetVModelRequest, model_status_info::ModelStatus, v_model_status_info::VModelStatus};
use e2e::{
    example_runtime::{Options, What},
    mesh::{Mesh, Refused, Settings, model},
};
use tonic::Code;

use super::tools::{check_said, check_serves, mesh, said, until};

const SMALL: &str = "SIZE_1000_1_1";

/// Copies in memory, over all pods.
fn copies(mesh: &Mesh, id: &str) -> usize {
    let has = |pod: &&e2e::mesh::Pod| pod.runtime().loaded().iter().any(|loaded| loaded == id);
    mesh.pods().iter().filter(has).count()
}

/// Waits until every pod knows a model.
async fn until_known(mesh: &Mesh, id: &str) {
    for pod in mesh.pods() {
        until("the model to be known", async || {
            let status = pod.status(id).await.expect("answered");
            status.status() != ModelStatus::NotFound
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_router_serves_any_model() {
    // Nothing is loaded that nobody asked for.
    let settings = Settings::cluster(3).env("STOWAGE_PROACTIVE_LOADS", "false");
    let mesh = mesh(settings).await;
    let ids: Vec<_> = (0..150).map(|n| format!("model-{n:03}")).collect();
    for (n, id) in ids.iter().enumerate() {
        mesh.pod(n % 3).register(id, SMALL).await.expect("registered");
    }
    until_known(&mesh, &ids[ids.len() - 1]).await;
    for turn in 0..3 {
        for (n, id) in ids.iter().enumerate() {
            check_serves(mesh.pod((n + turn) % 3), id).await;
        }
    }
    // However often and wherever it was asked for: loaded once, and not all at one pod.
    let mut loads = HashMap::<String, usize>::new();
    for pod in mesh.pods() {
        let own = pod.runtime().events();
        let loaded = own.iter().filter(|event| event.what == What::Loaded);
        assert!(loaded.clone().count() > 0, "{} has loaded nothing", pod.name());
        for event in loaded {
            *loads.entry(event.model.clone()).or_default() += 1;
        }
    }
    assert_eq!(loads.len(), ids.len());
    let twice: Vec<_> = loads.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "loaded more than once: {twice:?}");

    let answers = mesh
        .pod(1)
        .predictor()
        .expect("a channel")
        .ask_many(&["model-000", "model-001", "model-002"], "hello")
        .await
        .expect("answered");
    let expected = ["model-000", "model-001", "model-002"].map(|id| (id.to_owned(), said("hello", id)));
    assert_eq!(answers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_unregistered_is_gone_everywhere() {
    let mesh = mesh(Settings::cluster(2)).await;
    mesh.pod(0).register_loaded("m", SMALL).await.expect("registered");
    until_known(&mesh, "m").await;
    check_serves(mesh.pod(1), "m").await;
    mesh.pod(1).unregister("m").await.expect("unregistered");
    for pod in mesh.pods() {
        let predictor = pod.predictor().expect("a channel");
        until("the model to be unknown", async || {
            matches!(predictor.ask("m", "hello").await, Err(Refused(Code::NotFound, _)))
        })
        .await;
    }
    until("its copy to be unloaded", async || copies(&mesh, "m") == 0).await;
}

/// `ModelMeshErrorPropagationTest`: the same error through either pod.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_same_through_any_router() {
    let settings = Settings::cluster(2)
        .env("MM_TYPE_CONSTRAINTS", r#"{"ExampleType":{"required":["gpu"]}}"#)
        .env_of(1, "MM_LABELS", "gpu,large");
    let mesh = mesh(settings).await;
    mesh.pod(0).register("m", SMALL).await.expect("registered");
    until_known(&mesh, "m").await;
    for pod in mesh.pods() {
        check_serves(pod, "m").await;
        let predictor = pod.predictor().expect("a channel");
        let refused = predictor
            .ask("m", "test:error:code=UNAVAILABLE:message=closed")
            .await;
        let text = "ModelRuntime UNAVAILABLE: mmesh.ExamplePredictor/predict: UNAVAILABLE: closed";
        assert_eq!(
            refused,
            Err(Refused(Code::Internal, text.to_owned())),
            "{}",
            pod.name()
        );
        let refused = predictor
            .ask("m", "test:error:code=DATA_LOSS:message=ink ran out")
            .await;
        let text = "mmesh.ExamplePredictor/predict: DATA_LOSS: ink ran out";
        assert_eq!(
            refused,
            Err(Refused(Code::DataLoss, text.to_owned())),
            "{}",
            pod.name()
        );
    }
    assert_eq!(mesh.pod(0).runtime().loaded(), Vec::<String>::new());
    assert_eq!(mesh.pod(1).runtime().count(What::Loaded, "m"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_no_router_may_load() {
    let constraints = r#"{"ExampleType":{"required":["gpu"]}}"#;
    let mesh = mesh(Settings::cluster(2).env("MM_TYPE_CONSTRAINTS", constraints)).await;
    mesh.pod(0).register("m", SMALL).await.expect("registered");
    let predictor = mesh.pod(0).predictor().expect("a channel");
    let Err(Refused(code, text)) = predictor.ask("m", "hello").await else {
        panic!("nobody may load it");
    };
    assert_eq!(code, Code::Internal, "{text}");
    assert!(
        text.contains("There are no running instances that meet"),
        "{text}"
    );
}

/// `LoadFailureTest`: one healthy pod is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_is_tried_elsewhere() {
    let mesh = mesh(Settings::cluster(3)).await;
    for sick in 0..2 {
        mesh.pod(sick).runtime().fail_loads(Some("out of order"));
    }
    for n in 0..6 {
        let id = format!("model-{n}");
        mesh.pod(n % 3).register(&id, SMALL).await.expect("registered");
        check_serves(mesh.pod(n % 3), &id).await;
        assert_eq!(mesh.pod(2).runtime().count(What::Loaded, &id), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_everywhere_is_given_up() {
    let mesh = mesh(Settings::cluster(4)).await;
    mesh.pod(0)
        .register("m", "FAILALWAYS_cracked")
        .await
        .expect("registered");
    let predictor = mesh.pod(0).predictor().expect("a channel");
    for _ in 0..5 {
        let Refused(code, text) = predictor
            .ask("m", "hello")
            .await
            .expect_err("it cannot be loaded");
        assert_eq!(code, Code::Internal, "{text}");
        assert!(text.contains("cracked"), "{text}");
    }
    let tries: usize = mesh
        .pods()
        .iter()
        .map(|pod| pod.runtime().count(What::LoadStarted, "m"))
        .sum();
    assert!((1..=4).contains(&tries), "{tries} loads");
    until("the failure to be known", async || {
        let info = mesh.pod(1).status("m").await.expect("answered");
        info.status() == ModelStatus::LoadingFailed
    })
    .await;
    let info = mesh.pod(1).status("m").await.expect("answered");
    assert!(
        info.errors.iter().all(|error| error.contains("cracked")),
        "{info:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_asked_for_often_gets_a_second_copy() {
    let mesh = mesh(Settings::cluster(2).env("MM_SCALEUP_RPM_THRESHOLD", "10")).await;
    mesh.pod(0)
        .register_loaded("busy", SMALL)
        .await
        .expect("registered");
    until_known(&mesh, "busy").await;
    let predictor = mesh.pod(0).predictor().expect("a channel");
    until("a second copy", async || {
        check_said(predictor.ask("busy", "hello").await, "hello", "busy");
        copies(&mesh, "busy") == 2
    })
    .await;
    for pod in mesh.pods() {
        check_serves(pod, "busy").await;
    }
}

/// A cluster that is full evicts the least recently used, wherever that is.
#[tokio::test(flavor = "multi_thread")]
async fn more_models_than_fit_into_memory() {
    let runtime = Options {
        capacity: 64 << 20,
        default_size: 1 << 20,
        ..Options::default()
    };
    let settings = Settings::cluster(2)
        .runtime(runtime)
        .env("STOWAGE_MIN_CHURN_AGE", "0s");
    let mesh = mesh(settings).await;
    let path = format!("SIZE_{}_1_1", 8 << 20);
    let ids: Vec<_> = (0..30).map(|n| format!("model-{n:02}")).collect();
    for id in &ids {
        mesh.pod(0).register(id, &path).await.expect("registered");
    }
    until_known(&mesh, &ids[29]).await;
    for turn in 0..2 {
        for (n, id) in ids.iter().enumerate() {
            check_serves(mesh.pod((n + turn) % 2), id).await;
        }
    }
    for pod in mesh.pods() {
        assert!(
            pod.runtime().peak_bytes() <= 64 << 20,
            "{}",
            pod.runtime().peak_bytes()
        );
    }
    for pod in mesh.pods() {
        let held = pod.runtime().loaded().len();
        assert!(held >= 5, "{held} of 8 that fit into {}", pod.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmodel_switches_for_all_routers() {
    let mesh = mesh(Settings::cluster(3)).await;
    let set = async |pod: usize, target: &str| {
        let request = SetVModelRequest {
            v_model_id: "v".to_owned(),
            target_model_id: target.to_owned(),
            model_info: Some(model(SMALL)),
            auto_delete_target_model: true,
            load_now: true,
            sync: true,
            ..SetVModelRequest::default()
        };
        let mut management = mesh.pod(pod).manage().expect("a channel");
        management.set_v_model(request).await.expect("set").into_inner()
    };
    set(0, "first").await;
    let metadata = [("mm-vmodel-id", "v")];
    let until_all_say = async |target: &str| {
        for pod in mesh.pods() {
            let predictor = pod.predictor().expect("a channel");
            until("the switch", async || {
                let answer = predictor.call(&metadata, "", "hello").await;
                answer.is_ok_and(|asked| asked.said == said("hello", target))
            })
            .await;
        }
    };
    until_all_say("first").await;
    let status = set(2, "second").await;
    assert_eq!(
        (status.status(), status.active_model_id.as_str()),
        (VModelStatus::Defined, "second")
    );
    until_all_say("second").await;
    until("the first model to be deleted", async || {
        let info = mesh.pod(1).status("first").await.expect("answered");
        info.status() == ModelStatus::NotFound && copies(&mesh, "first") == 0
    })
    .await;
}
