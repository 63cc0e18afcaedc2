use std::{sync::Arc, time::Duration};

use api::mmesh::{
    DeleteVModelRequest, EnsureLoadedRequest, GetStatusRequest, GetVModelStatusRequest, RegisterModelRequest,
    SetVModelRequest, UnregisterModelRequest, VModelStatusInfo, model_status_info::ModelStatus,
    v_model_status_info::VModelStatus,
};
use tonic::Code;

use super::{Kind, MeshOptions, TryEnter};
use crate::{cache::CacheOptions, core::registry::VModelId};

mod among;
mod chaos;
pub(crate) mod fake;
mod shares;

use fake::{Behavior, Fixture, PATIENCE, Setup, point, register};

impl Fixture {
    fn try_enter(&self, name: &str, kind: Kind) -> String {
        match self.mesh.try_enter(name, kind) {
            TryEnter::Ready(lease) => format!("ready {}", lease.id()),
            TryEnter::Cold(id) => format!("cold {id}"),
            TryEnter::NotFound => "not found".into(),
        }
    }

    async fn vmodel(&self, id: &str) -> VModelStatusInfo {
        let req = GetVModelStatusRequest {
            v_model_id: id.into(),
            owner: String::new(),
        };
        self.mesh.vmodel_status(req).await.unwrap()
    }

    async fn status(&self, id: &str) -> ModelStatus {
        self.mesh
            .status(GetStatusRequest { model_id: id.into() })
            .await
            .unwrap()
            .status()
    }

    async fn unregister(&self, id: &str) -> Result<(), tonic::Status> {
        self.mesh
            .unregister(UnregisterModelRequest { model_id: id.into() })
            .await
    }

    /// Until the vmodel has this status; whoever sets it, sets it soon.
    async fn until_vmodel(&self, id: &str, status: VModelStatus) -> VModelStatusInfo {
        let reached = async {
            loop {
                let info = self.vmodel(id).await;
                if info.status() == status {
                    return info;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached)
            .await
            .expect("never got there")
    }
}

fn sync(req: SetVModelRequest) -> SetVModelRequest {
    SetVModelRequest { sync: true, ..req }
}

#[tokio::test]
async fn names_lead_to_copies_by_kind() {
    let f = Fixture::new().await;
    f.register("m").await;
    f.point("v", "n").await;
    assert_eq!(f.try_enter("m", Kind::Model), "cold m");
    assert_eq!(f.try_enter("m", Kind::VModel), "not found");
    assert_eq!(f.try_enter("v", Kind::Model), "not found");
    assert_eq!(f.try_enter("v", Kind::VModel), "cold n");
    for (name, kind, id) in [("m", Kind::Model, "m"), ("v", Kind::VModel, "n")] {
        assert_eq!(&**f.enter(name, kind).await.unwrap().id(), id);
        assert_eq!(f.try_enter(name, kind), format!("ready {id}"));
        assert_eq!(f.try_enter(name, Kind::Either), format!("ready {id}"));
    }
    // A vmodel hides a model of the same name, but only where either is asked for.
    f.point("m", "n").await;
    assert_eq!(f.try_enter("m", Kind::Either), "ready n");
    assert_eq!(f.try_enter("m", Kind::Model), "ready m");
    let not_found = |kind| f.enter("x", kind);
    assert_eq!(
        not_found(Kind::Model).await.unwrap_err().message(),
        "model not found"
    );
    assert_eq!(
        not_found(Kind::VModel).await.unwrap_err().message(),
        "vmodel not found"
    );
    assert_eq!(not_found(Kind::Either).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn unknown_names_leave_no_trace() {
    let f = Fixture::new().await;
    for n in 0..10_000 {
        let name = format!("unknown-{n}");
        assert!(matches!(
            f.mesh.try_enter(&name, Kind::Either),
            TryEnter::NotFound
        ));
        assert_eq!(
            f.enter(&name, Kind::Either).await.unwrap_err().code(),
            Code::NotFound
        );
        assert_eq!(f.status(&name).await, ModelStatus::NotFound);
        f.unregister(&name).await.unwrap();
        assert!(f.mesh.cache().copy(&name).is_none());
    }
    assert!(f.mesh.list("", 10).is_empty());
    assert!(f.mesh.view.is_empty());
}

#[tokio::test]
async fn a_removed_model_serves_no_more_and_its_waiters_hear_of_it() {
    let f = Fixture::new().await;
    f.register("m").await;
    drop(f.enter("m", Kind::Model).await.unwrap());
    f.unregister("m").await.unwrap();
    assert_eq!(f.try_enter("m", Kind::Model), "not found");
    f.runtime.until(|state| state.loaded.is_empty()).await;

    f.runtime.behave("m", Some(Behavior::Hold));
    f.register("m").await;
    let removed = async {
        f.runtime.until(|state| state.loads["m"] == 2).await;
        f.unregister("m").await.unwrap();
    };
    let (entered, ()) = tokio::join!(f.enter("m", Kind::Model), removed);
    assert_eq!(entered.unwrap_err().message(), "model not found");
    assert!(f.mesh.cache().copy("m").is_none_or(|copy| copy.loads == 0));
}

#[tokio::test]
async fn a_load_of_an_earlier_registration_never_serves_the_next() {
    let f = Fixture::new().await;
    f.mesh.register(register("m", "old")).await.unwrap();
    f.runtime.behave("m", Some(Behavior::Hold));
    let replaced = async {
        f.runtime.until_loading("m").await;
        f.unregister("m").await.unwrap();
        f.mesh.register(register("m", "new")).await.unwrap();
        f.runtime.behave("m", None);
    };
    let (entered, ()) = tokio::join!(f.enter("m", Kind::Model), replaced);
    // Whoever waited for the old one may have looked while there was none.
    if let Err(status) = entered {
        assert_eq!(status.code(), Code::NotFound);
    }
    drop(f.enter("m", Kind::Model).await.unwrap());
    f.runtime
        .until(|state| state.loaded.get("m").is_some_and(|path| path == "new"))
        .await;
}

#[tokio::test]
async fn a_load_that_began_after_the_removal_does_not_stay() {
    let f = Fixture::new().await;
    f.mesh.register(register("m", "old")).await.unwrap();
    let found = f.mesh.resolve("m", Kind::Model).unwrap();
    f.unregister("m").await.unwrap();
    let lease = f.mesh.acquire(&found).await.unwrap();
    assert_eq!(f.try_enter("m", Kind::Model), "not found");
    drop(lease);
    f.runtime
        .until(|state| state.loads["m"] == 1 && state.loaded.is_empty())
        .await;
    assert!(
        f.mesh.load(&found, None).is_err(),
        "management does not even start it"
    );
}

#[tokio::test]
async fn a_model_that_the_runtime_lost_is_loaded_again() {
    let f = Fixture::new().await;
    f.register("m").await;
    let lease = f.enter("m", Kind::Model).await.unwrap();
    let generation = lease.generation();
    f.runtime.lose("m");
    let healed = f.mesh.recover(lease).await.unwrap();
    assert_ne!(healed.generation(), generation);
    assert_eq!(
        (f.runtime.loads("m"), f.runtime.loaded()),
        (2, vec!["m".to_owned()])
    );
    f.unregister("m").await.unwrap();
    assert_eq!(f.mesh.recover(healed).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn registering_with_a_load_that_fails_is_a_status() {
    let f = Fixture::new().await;
    f.runtime.behave("m", Some(Behavior::Fail("no luck")));
    let load = RegisterModelRequest {
        load_now: true,
        sync: true,
        ..register("m", "p")
    };
    let first = f.mesh.register(load.clone()).await.unwrap();
    assert_eq!(first.status(), ModelStatus::LoadingFailed);
    assert_eq!(first.errors.len(), 1);
    assert!(first.errors[0].ends_with("no luck"), "{:?}", first.errors);
    assert_eq!(first.model_copy_infos.len(), 1);
    assert_eq!(first.model_copy_infos[0].location, "here");
    assert_eq!(
        first.model_copy_infos[0].copy_status(),
        ModelStatus::LoadingFailed
    );
    let again = f
        .mesh
        .status(GetStatusRequest { model_id: "m".into() })
        .await
        .unwrap();
    assert_eq!(again, first);
    assert_eq!(
        f.mesh.register(load).await.unwrap(),
        first,
        "remembered, not tried again"
    );
    assert_eq!(f.runtime.loads("m"), 1);
    assert!(!f.mesh.can_serve("m", Kind::Either));
    let ensure = EnsureLoadedRequest {
        model_id: "m".into(),
        sync: true,
        ..EnsureLoadedRequest::default()
    };
    assert_eq!(f.mesh.ensure_loaded(ensure).await.unwrap(), first);
}

#[tokio::test]
async fn a_copy_is_reported_while_it_loads_and_when_it_is_there() {
    let f = Fixture::new().await;
    f.runtime.behave("m", Some(Behavior::Hold));
    let load = RegisterModelRequest {
        load_now: true,
        ..register("m", "p")
    };
    let loading = f.mesh.register(load).await.unwrap();
    assert_eq!(loading.status(), ModelStatus::Loading);
    f.runtime.until_loading("m").await;
    f.runtime.behave("m", None);
    let ensure = EnsureLoadedRequest {
        model_id: "m".into(),
        sync: true,
        ..EnsureLoadedRequest::default()
    };
    let loaded = f.mesh.ensure_loaded(ensure).await.unwrap();
    assert_eq!(loaded.status(), ModelStatus::Loaded);
    for info in [loading, loaded] {
        assert_eq!(info.model_copy_infos.len(), 1);
        assert_eq!(info.model_copy_infos[0].copy_status(), ModelStatus::Unknown);
        assert!(info.model_copy_infos[0].time > 0 && info.errors.is_empty());
    }
}

#[tokio::test]
async fn a_vmodel_switches_when_its_target_is_loaded() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    let on_old = f.enter("v", Kind::VModel).await.unwrap();
    f.runtime.behave("b", Some(Behavior::Hold));
    let begun = f.mesh.set_vmodel(point("v", "b")).await.unwrap();
    assert_eq!(begun.status(), VModelStatus::Transitioning);
    assert_eq!((&*begun.active_model_id, &*begun.target_model_id), ("a", "b"));
    assert_eq!(begun.target_model_status.unwrap().status(), ModelStatus::Loading);
    assert_eq!(begun.active_model_status.unwrap().status(), ModelStatus::Loaded);
    f.runtime.until_loading("b").await;
    assert_eq!(f.served_by("v").await, "a");

    f.runtime.behave("b", None);
    let done = f.mesh.set_vmodel(sync(point("v", "b"))).await.unwrap();
    assert_eq!(done.status(), VModelStatus::Defined);
    assert_eq!((&*done.active_model_id, &*done.target_model_id), ("b", "b"));
    assert!(done.target_model_status.is_none());
    assert_eq!(f.try_enter("v", Kind::VModel), "ready b");
    assert_eq!(f.runtime.loads("b"), 1);

    // The old model is gone, but not under the request that is on it.
    assert_eq!(f.status("a").await, ModelStatus::NotFound);
    assert!(f.runtime.loaded().contains(&"a".to_owned()));
    drop(on_old);
    f.runtime.until(|state| state.loaded.keys().eq(["b"])).await;
    assert!(f.mesh.state.lock().drivers.is_empty());
}

#[tokio::test]
async fn a_vmodel_whose_model_is_not_loaded_switches_at_once() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    let info = f.mesh.set_vmodel(point("v", "b")).await.unwrap();
    assert_eq!(
        (info.status(), &*info.active_model_id),
        (VModelStatus::Defined, "b")
    );
    assert_eq!(f.status("a").await, ModelStatus::NotFound);
    assert_eq!((f.runtime.loads("a"), f.runtime.loads("b")), (0, 0));
    // A model that could not be loaded is no reason to wait either.
    f.runtime.behave("b", Some(Behavior::Fail("bad")));
    f.enter("v", Kind::VModel).await.unwrap_err();
    let info = f.mesh.set_vmodel(point("v", "c")).await.unwrap();
    assert_eq!(
        (info.status(), &*info.active_model_id),
        (VModelStatus::Defined, "c")
    );
    let load = SetVModelRequest {
        load_now: true,
        ..sync(point("v", "d"))
    };
    let info = f.mesh.set_vmodel(load).await.unwrap();
    assert_eq!(info.active_model_status.unwrap().status(), ModelStatus::Loaded);
}

#[tokio::test]
async fn force_switches_without_waiting_and_keeps_a_copy() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    let force = SetVModelRequest {
        force: true,
        ..point("v", "b")
    };
    let info = f.mesh.set_vmodel(force).await.unwrap();
    assert_eq!(
        (info.status(), &*info.active_model_id),
        (VModelStatus::Defined, "b")
    );
    // The active model had a copy, so the next one gets one without being asked for.
    f.runtime.until(|state| state.loaded.keys().eq(["b"])).await;
}

#[tokio::test]
async fn a_target_that_cannot_be_loaded_leaves_the_active_model_serving() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    f.runtime.behave("b", Some(Behavior::Fail("no luck")));
    let failed = f.mesh.set_vmodel(sync(point("v", "b"))).await.unwrap();
    assert_eq!(failed.status(), VModelStatus::TransitionFailed);
    assert_eq!((&*failed.active_model_id, &*failed.target_model_id), ("a", "b"));
    let target = failed.target_model_status.unwrap();
    assert_eq!(
        (target.status(), target.errors.len()),
        (ModelStatus::LoadingFailed, 1)
    );
    assert!(target.errors[0].ends_with("no luck"));
    assert_eq!(f.served_by("v").await, "a");
    assert_eq!(
        f.unregister("b").await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    // Back to what serves: the target is gone with its reference, and so is the failure.
    let back = f.mesh.set_vmodel(point("v", "a")).await.unwrap();
    assert_eq!(back.status(), VModelStatus::Defined);
    assert_eq!(f.status("b").await, ModelStatus::NotFound);
    assert!(f.mesh.state.lock().drivers.is_empty());
    let good = f.mesh.set_vmodel(sync(point("v", "c"))).await.unwrap();
    assert_eq!(
        (good.status(), &*good.active_model_id),
        (VModelStatus::Defined, "c")
    );
}

#[tokio::test]
async fn a_failed_transition_is_tried_again_by_itself() {
    let cache = CacheOptions {
        load_backoff: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let f = Setup {
        cache,
        ..Setup::default()
    }
    .start()
    .await;
    f.point("v", "a").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    f.runtime.behave("b", Some(Behavior::Fail("no luck")));
    let failed = f.mesh.set_vmodel(sync(point("v", "b"))).await.unwrap();
    assert_eq!(failed.status(), VModelStatus::TransitionFailed);
    f.runtime.behave("b", None);
    let done = f.until_vmodel("v", VModelStatus::Defined).await;
    assert_eq!(&*done.active_model_id, "b");
}

#[tokio::test]
async fn a_synchronous_switch_has_a_deadline_and_goes_on_behind_it() {
    let mesh = MeshOptions {
        transition_wait: Duration::from_millis(20),
        ..MeshOptions::default()
    };
    let f = Setup {
        mesh,
        ..Setup::default()
    }
    .start()
    .await;
    f.point("v", "a").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    f.runtime.behave("b", Some(Behavior::Hold));
    let err = f.mesh.set_vmodel(sync(point("v", "b"))).await.unwrap_err();
    assert_eq!(err.code(), Code::DeadlineExceeded);
    f.runtime.behave("b", None);
    f.until_vmodel("v", VModelStatus::Defined).await;
    assert_eq!(f.served_by("v").await, "b");
}

#[tokio::test]
async fn a_vmodel_that_moves_on_or_goes_ends_its_transition() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    for target in ["b", "c"] {
        f.runtime.behave(target, Some(Behavior::Hold));
        f.point("v", target).await;
        f.runtime.until_loading(target).await;
    }
    assert_eq!(
        f.status("b").await,
        ModelStatus::NotFound,
        "nobody wants it any more"
    );
    assert_eq!(f.mesh.state.lock().drivers.len(), 1);
    let wait = f.mesh.set_vmodel(sync(point("v", "c")));
    let delete = async {
        tokio::task::yield_now().await;
        let req = DeleteVModelRequest {
            v_model_id: "v".into(),
            owner: String::new(),
        };
        f.mesh.delete_vmodel(req).await.unwrap();
    };
    let (info, ()) = tokio::join!(wait, delete);
    assert_eq!(info.unwrap().status(), VModelStatus::NotFound);
    assert!(f.mesh.state.lock().drivers.is_empty());
    assert!(f.mesh.list("", 10).is_empty());
    f.runtime.until(|state| state.loaded.is_empty()).await;
}

#[tokio::test]
async fn a_waiting_request_follows_the_switch() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    f.runtime.behave("a", Some(Behavior::Hold));
    let switch = async {
        f.runtime.until_loading("a").await;
        let force = SetVModelRequest {
            force: true,
            ..point("v", "b")
        };
        f.mesh.set_vmodel(force).await.unwrap();
    };
    let (entered, ()) = tokio::join!(f.enter("v", Kind::VModel), switch);
    assert_eq!(&**entered.unwrap().id(), "b");
}

#[tokio::test]
async fn a_failure_of_the_model_before_is_not_the_request_s() {
    let f = Fixture::new().await;
    f.register("a").await;
    f.point("v", "a").await;
    f.runtime.behave("a", Some(Behavior::Hold));
    let switch = async {
        f.runtime.until_loading("a").await;
        let force = SetVModelRequest {
            force: true,
            ..point("v", "b")
        };
        f.mesh.set_vmodel(force).await.unwrap();
        f.runtime.behave("a", Some(Behavior::Fail("no luck")));
    };
    let (entered, ()) = tokio::join!(f.enter("v", Kind::VModel), switch);
    assert_eq!(&**entered.unwrap().id(), "b");
    assert_eq!(
        f.status("a").await,
        ModelStatus::LoadingFailed,
        "it is still registered"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_while_its_vmodel_switches() {
    let f = Arc::new(Fixture::new().await);
    f.point("v", "m0").await;
    drop(f.enter("v", Kind::VModel).await.unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let requests: Vec<_> = (0..6)
        .map(|_| {
            let (f, stopped) = (f.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut served = 0_u64;
                while !*stopped.borrow() {
                    match f.mesh.try_enter("v", Kind::VModel) {
                        TryEnter::Ready(lease) => drop(lease),
                        TryEnter::Cold(_) => drop(f.mesh.enter("v", Kind::VModel).await.unwrap()),
                        TryEnter::NotFound => panic!("the vmodel is always there"),
                    }
                    served += 1;
                    tokio::task::yield_now().await;
                }
                served
            })
        })
        .collect();
    for n in 1..200 {
        // Ever new models, and the ones before them removed; half of the switches do not wait for the load.
        let force = n % 2 == 0;
        let info = f
            .mesh
            .set_vmodel(SetVModelRequest {
                force,
                ..sync(point("v", &format!("m{n}")))
            })
            .await;
        assert_eq!(info.unwrap().status(), VModelStatus::Defined);
    }
    stop.send(true).unwrap();
    for request in requests {
        assert!(request.await.unwrap() > 0);
    }
    let left: Vec<_> = f
        .mesh
        .list("", 10)
        .into_iter()
        .map(|model| model.model_id)
        .collect();
    assert_eq!(left, ["m199"]);
    f.runtime.until(|state| state.loaded.keys().eq(["m199"])).await;
}

#[tokio::test]
async fn a_vmodel_caught_between_two_models_is_read_again() {
    let f = Fixture::new().await;
    f.point("v", "a").await;
    f.register("b").await;
    // What a reader sees when the old model is gone from one map before the vmodel has moved in the other: it waits for
    // the mirror to be done.
    let mirror = f.mesh.state.lock();
    f.mesh.view.remove_model("a");
    let mesh = f.mesh.clone();
    let reader = std::thread::spawn(move || mesh.resolve("v", Kind::VModel).map(|found| found.id));
    let moved = crate::core::registry::VModelRecord {
        active: "b".into(),
        target: "b".into(),
        ..crate::core::registry::VModelRecord::clone(&f.mesh.view.vmodel("v").unwrap())
    };
    f.mesh.view.put_vmodel("v".into(), Arc::new(moved));
    drop(mirror);
    assert_eq!(reader.join().unwrap().as_deref(), Some("b"));
}

#[tokio::test]
async fn listing_pages_in_order_and_names_what_clients_name() {
    let f = Fixture::new().await;
    for id in ["c", "a", "b"] {
        f.register(id).await;
    }
    let existing = |vmodel: &str, target: &str| SetVModelRequest {
        model_info: None,
        ..point(vmodel, target)
    };
    for (vmodel, target) in [("w", "b"), ("v", "b"), ("x", "a")] {
        f.mesh.set_vmodel(existing(vmodel, target)).await.unwrap();
    }
    drop(f.enter("x", Kind::VModel).await.unwrap());
    f.runtime.behave("c", Some(Behavior::Hold));
    // A target that does not serve yet is not what clients of `x` get.
    f.mesh.set_vmodel(existing("x", "c")).await.unwrap();
    let list = |after: &str, limit| -> Vec<(String, String)> {
        let page = f.mesh.list(after, limit);
        page.into_iter().map(|m| (m.model_id, m.name)).collect()
    };
    let row = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    assert_eq!(list("", 2), [row("a", "x"), row("b", "v")]);
    assert_eq!(list("b", 2), [row("c", "c")]);
    assert_eq!(list("c", 2), []);
    let vmodels = f.mesh.list_vmodels("v", 5);
    assert_eq!(
        vmodels.iter().map(VModelId::as_str).collect::<Vec<_>>(),
        ["w", "x"]
    );
}

#[tokio::test]
async fn registered_models_are_counted() {
    let f = Fixture::new().await;
    let managed = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &f.metrics).unwrap();
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("modelmesh_models_managed_total "));
        count.unwrap().to_owned()
    };
    f.register("m").await;
    f.point("v", "a").await;
    assert_eq!(managed(), "2");
    f.point("v", "b").await;
    assert_eq!(managed(), "2", "a went with its reference");
    f.unregister("m").await.unwrap();
    assert_eq!(managed(), "1");
}

#[tokio::test]
async fn listing_tells_what_a_person_wants_to_know() {
    let f = Fixture::new().await;
    f.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    f.register("bad").await;
    f.register("cold").await;
    f.point("stable", "warm").await;
    f.enter("bad", Kind::Model).await.unwrap_err();
    drop(f.enter("stable", Kind::VModel).await.unwrap());
    let models = f.mesh.list("", 10);
    let short = |m: &api::mesh_v1::Model| (m.name.clone(), m.model_id.clone(), m.state.clone(), m.loads);
    let expected = [
        ("bad", "bad", "LOADING_FAILED", 0),
        ("cold", "cold", "NOT_LOADED", 0),
        ("stable", "warm", "LOADED", 1),
    ];
    let expected = expected.map(|(name, id, state, loads)| (name.into(), id.into(), state.into(), loads));
    assert_eq!(models.iter().map(short).collect::<Vec<_>>(), expected);
    assert!(models[0].error.ends_with("no luck") && models[1].error.is_empty());
    assert_eq!((models[1].size_bytes, models[1].last_used_ms), (0, 0));
    assert_eq!(
        (&*models[2].r#type, &*models[2].path, models[2].size_bytes),
        ("t", "p", 1 << 20)
    );
    assert!(models[2].last_used_ms > 0);
    assert_eq!(f.mesh.list("bad", 1)[0].model_id, "cold");
}
