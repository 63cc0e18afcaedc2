//! Any operations, in any order, from several tasks at once: nothing is left behind, and nothing is missing.

use api::mmesh::{DeleteVModelRequest, RegisterModelRequest, SetVModelRequest, UnregisterModelRequest};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tonic::Code;

use super::fake::{Behavior, Fixture, Setup, point, register};
use crate::{
    cache::CacheOptions,
    mesh::{Kind, Mesh, TryEnter},
};

/// More than there is room for: loads push each other out.
const MODELS: u8 = 12;
const VMODELS: u8 = 4;
const CAPACITY: u64 = 10;

#[derive(Clone, Debug)]
enum Op {
    /// With one of two paths, so that the same id stands for different contents.
    Register {
        model: u8,
        other_path: bool,
        load_now: bool,
        sync: bool,
    },
    Unregister(u8),
    Set {
        vmodel: u8,
        model: u8,
        force: bool,
        sync: bool,
        auto_delete: bool,
    },
    Delete(u8),
    Enter {
        name: String,
        kind: Kind,
        times: u8,
    },
    /// Enters, and does not wait for the answer.
    GiveUp(String),
    Unload(String),
}

fn model(n: u8) -> String {
    format!("m{}", n % MODELS)
}

fn vmodel(n: u8) -> String {
    format!("v{}", n % VMODELS)
}

fn name() -> impl Strategy<Value = (String, Kind)> {
    (any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(n, is_model, either)| {
        let (name, kind) = if is_model {
            (model(n), Kind::Model)
        } else {
            (vmodel(n), Kind::VModel)
        };
        (name, if either { Kind::Either } else { kind })
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (any::<u8>(), any::<[bool; 3]>()).prop_map(|(model, [other_path, load_now, sync])| {
            Op::Register { model, other_path, load_now, sync }
        }),
        2 => any::<u8>().prop_map(Op::Unregister),
        4 => (any::<u8>(), any::<u8>(), any::<[bool; 3]>()).prop_map(
            |(vmodel, model, [force, sync, auto_delete])| Op::Set { vmodel, model, force, sync, auto_delete }
        ),
        1 => any::<u8>().prop_map(Op::Delete),
        6 => (name(), 0..8_u8).prop_map(|((name, kind), times)| Op::Enter { name, kind, times }),
        1 => name().prop_map(|(name, _)| Op::GiveUp(name)),
        1 => name().prop_map(|(name, _)| Op::Unload(name)),
    ]
}

/// Runs one operation. It may be refused, but only for a reason that a client can understand.
async fn run(mesh: &Mesh, op: Op) {
    let result = match op {
        Op::Register {
            model: n,
            other_path,
            load_now,
            sync,
        } => {
            let req = register(&model(n), if other_path { "q" } else { "p" });
            mesh.register(RegisterModelRequest {
                load_now,
                sync,
                ..req
            })
            .await
            .map(drop)
        }
        Op::Unregister(n) => {
            mesh.unregister(UnregisterModelRequest { model_id: model(n) })
                .await
        }
        Op::Set {
            vmodel: v,
            model: n,
            force,
            sync,
            auto_delete,
        } => {
            let req = point(&vmodel(v), &model(n));
            let req = SetVModelRequest {
                force,
                sync,
                auto_delete_target_model: auto_delete,
                ..req
            };
            mesh.set_vmodel(req).await.map(drop)
        }
        Op::Delete(v) => {
            let req = DeleteVModelRequest {
                v_model_id: vmodel(v),
                owner: String::new(),
            };
            mesh.delete_vmodel(req).await
        }
        Op::Enter { name, kind, times } => enter(mesh, &name, kind, times).await,
        Op::GiveUp(name) => {
            let _given_up = futures::future::poll_immediate(Box::pin(mesh.enter(&name, Kind::Either))).await;
            Ok(())
        }
        Op::Unload(name) => mesh.unload_by_name(&name),
    };
    if let Err(err) = result {
        let code = err.code();
        let expected = [Code::NotFound, Code::AlreadyExists, Code::FailedPrecondition];
        let failed_load =
            err.message().ends_with("no luck") || err.message().starts_with("no room for model");
        assert!(
            expected.contains(&code) || code == Code::Internal && failed_load,
            "{err:?}"
        );
    }
}

async fn enter(mesh: &Mesh, name: &str, kind: Kind, times: u8) -> Result<(), tonic::Status> {
    for _ in 0..times {
        match mesh.try_enter(name, kind) {
            TryEnter::Ready(lease) => drop(lease),
            TryEnter::Cold(_) | TryEnter::NotFound => drop(mesh.enter(name, kind).await?),
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What must hold when nobody writes: readers see what the store has, and each transition has its driver.
async fn check_books(mesh: &Mesh) {
    // Transitions go on by themselves for a moment.
    let revision = async || {
        mesh.store
            .get(&["registry/m0".to_owned()])
            .await
            .unwrap()
            .revision
    };
    let mut now = revision().await;
    loop {
        mesh.reached(now).await;
        let later = revision().await;
        if later == now {
            break;
        }
        now = later;
    }
    let keys: Vec<String> = (0..MODELS).map(|n| format!("registry/{}", model(n))).collect();
    let models = mesh.store.get(&keys).await.unwrap().entries;
    let keys: Vec<String> = (0..VMODELS).map(|n| format!("vmodels/{}", vmodel(n))).collect();
    let vmodels = mesh.store.get(&keys).await.unwrap().entries;
    let state = mesh.state.lock();
    for (n, stored) in (0..).zip(models) {
        let seen = mesh.view.entry(&model(n));
        assert_eq!(
            seen.map(|entry| entry.created),
            stored.map(|entry| entry.created),
            "model {n}"
        );
    }
    let mut in_transition = 0;
    for (v, stored) in (0..).zip(vmodels) {
        let seen = mesh.view.vmodel(&vmodel(v));
        assert_eq!(seen.is_some(), stored.is_some());
        if let Some(seen) = seen {
            assert!(seen.models().all(|model| mesh.view.model(model).is_some()));
            in_transition += usize::from(seen.in_transition());
        }
    }
    assert_eq!(state.drivers.len(), in_transition);
}

async fn scenario(tasks: Vec<Vec<Op>>) {
    let cache = CacheOptions {
        load_backoff: std::time::Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let f = Setup {
        capacity_models: CAPACITY,
        cache,
        ..Setup::default()
    }
    .start()
    .await;
    f.runtime.behave("m4", Some(Behavior::Fail("no luck")));
    let mut running = JoinSet::new();
    for ops in tasks {
        let mesh = f.mesh.clone();
        running.spawn(async move {
            for op in ops {
                run(&mesh, op).await;
            }
        });
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
    check_books(&f.mesh).await;
    end_transitions(&f.mesh).await;
    check_serving(&f).await;

    for v in 0..VMODELS {
        run(&f.mesh, Op::Delete(v)).await;
    }
    for n in 0..MODELS {
        let req = UnregisterModelRequest { model_id: model(n) };
        f.mesh.unregister(req).await.expect("no reference is left");
    }
    assert!(f.mesh.view.is_empty() && f.mesh.state.lock().drivers.is_empty());
    f.runtime.until(|state| state.loaded.is_empty()).await;
}

/// So that nothing moves any more.
async fn end_transitions(mesh: &Mesh) {
    for v in 0..VMODELS {
        if let Some(record) = mesh.view.vmodel(&vmodel(v)) {
            let req = point(&vmodel(v), &record.target);
            let model_info = None;
            mesh.set_vmodel(SetVModelRequest {
                force: true,
                model_info,
                ..req
            })
            .await
            .unwrap();
        }
    }
    assert!(mesh.state.lock().drivers.is_empty());
}

/// Every model that is registered is served, with the contents of this registration.
async fn check_serving(f: &Fixture) {
    for n in (0..MODELS).filter(|n| *n != 4) {
        let id = model(n);
        let Some(found) = f.mesh.resolve(&id, Kind::Model) else {
            assert!(matches!(f.mesh.try_enter(&id, Kind::Model), TryEnter::NotFound));
            continue;
        };
        let _lease = f.enter(&id, Kind::Model).await.unwrap();
        f.runtime
            .until(|state| state.loaded.get(&id) == Some(&found.spec.path))
            .await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_behind(tasks in prop::collection::vec(prop::collection::vec(op(), 0..40), 4)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let scenario = async {
            tokio::time::timeout(std::time::Duration::from_mins(1), scenario(tasks)).await.expect("something hangs");
        };
        runtime.block_on(scenario);
    }
}
