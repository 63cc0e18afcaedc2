//! The calls as clients make them, against a server on a socket.

use std::time::Duration;

use api::{
    mesh_v1::{ListModelsRequest, mesh_client::MeshClient},
    mmesh::{
        DeleteVModelRequest, EnsureLoadedRequest, GetStatusRequest, GetVModelStatusRequest, ModelInfo,
        ModelStatusInfo, RegisterModelRequest, SetVModelRequest, UnregisterModelRequest,
        model_mesh_client::ModelMeshClient, model_status_info::ModelStatus,
        v_model_status_info::VModelStatus,
    },
};
use http::uri::PathAndQuery;
use kit::admin::Readiness;
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::{ServiceExt as _, util::MapRequest};

use super::canonical;
use crate::{
    cache::CacheOptions,
    mesh::{
        Kind, MeshOptions,
        tests::fake::{Behavior, Fixture, Setup, info, point, register, serve},
    },
    model::ModelId,
};

struct Client {
    f: Fixture,
    channel: Channel,
    calls: ModelMeshClient<Channel>,
}

impl Client {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let f = setup.start().await;
        let channel = serve(&f.mesh, &Readiness::new("")).await;
        Self {
            f,
            channel: channel.clone(),
            calls: ModelMeshClient::new(channel),
        }
    }

    async fn register(&mut self, req: RegisterModelRequest) -> Result<ModelStatus, (Code, String)> {
        self.calls
            .register_model(req)
            .await
            .map(|res| res.into_inner().status())
            .map_err(refusal)
    }

    async fn unregister(&mut self, id: &str) -> Result<(), (Code, String)> {
        let req = UnregisterModelRequest { model_id: id.into() };
        self.calls.unregister_model(req).await.map(drop).map_err(refusal)
    }

    async fn status(&mut self, id: &str) -> Result<ModelStatusInfo, (Code, String)> {
        let req = GetStatusRequest { model_id: id.into() };
        self.calls
            .get_model_status(req)
            .await
            .map(tonic::Response::into_inner)
            .map_err(refusal)
    }

    async fn ensure(&mut self, id: &str, sync: bool) -> Result<ModelStatus, (Code, String)> {
        let req = EnsureLoadedRequest {
            model_id: id.into(),
            last_used_time: 0,
            sync,
        };
        self.calls
            .ensure_loaded(req)
            .await
            .map(|res| res.into_inner().status())
            .map_err(refusal)
    }

    /// Status, active and target model, owner.
    async fn set(
        &mut self,
        req: SetVModelRequest,
    ) -> Result<(VModelStatus, String, String, String), (Code, String)> {
        let res = self.calls.set_v_model(req).await.map_err(refusal)?.into_inner();
        Ok((res.status(), res.active_model_id, res.target_model_id, res.owner))
    }

    async fn vmodel(&mut self, id: &str, owner: &str) -> Result<VModelStatus, (Code, String)> {
        let req = GetVModelStatusRequest {
            v_model_id: id.into(),
            owner: owner.into(),
        };
        self.calls
            .get_v_model_status(req)
            .await
            .map(|res| res.into_inner().status())
            .map_err(refusal)
    }

    async fn delete(&mut self, id: &str, owner: &str) -> Result<(), (Code, String)> {
        let req = DeleteVModelRequest {
            v_model_id: id.into(),
            owner: owner.into(),
        };
        self.calls.delete_v_model(req).await.map(drop).map_err(refusal)
    }

    /// A client whose calls go to `path`, whatever they are.
    fn old(
        &self,
        path: &'static str,
    ) -> ModelMeshClient<MapRequest<Channel, impl FnMut(http::Request<Body>) -> http::Request<Body>>> {
        let channel = self
            .channel
            .clone()
            .map_request(move |mut req: http::Request<Body>| {
                let mut parts = std::mem::take(req.uri_mut()).into_parts();
                parts.path_and_query = Some(PathAndQuery::from_static(path));
                *req.uri_mut() = http::Uri::from_parts(parts).unwrap();
                req
            });
        ModelMeshClient::new(channel)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "passed to `map_err`")]
fn refusal(status: Status) -> (Code, String) {
    (status.code(), status.message().to_owned())
}

fn refused<T>(code: Code, message: &str) -> Result<T, (Code, String)> {
    Err((code, message.to_owned()))
}

fn load(req: RegisterModelRequest, sync: bool) -> RegisterModelRequest {
    RegisterModelRequest {
        load_now: true,
        sync,
        ..req
    }
}

#[tokio::test]
async fn life_of_a_model() {
    let mut c = Client::new().await;
    let unknown = c.status("m").await.unwrap();
    assert_eq!(
        (unknown.status(), unknown.errors.len()),
        (ModelStatus::NotFound, 0)
    );
    assert_eq!(
        c.ensure("m", true).await,
        refused(Code::NotFound, "model not found")
    );
    assert_eq!(c.unregister("m").await, Ok(()));
    assert_eq!(c.register(register("m", "p")).await, Ok(ModelStatus::NotLoaded));
    assert_eq!(c.f.runtime.loads("m"), 0);
    assert_eq!(
        c.register(load(register("m", "p"), true)).await,
        Ok(ModelStatus::Loaded)
    );
    assert_eq!(
        c.register(register("m", "p")).await,
        Ok(ModelStatus::Loaded),
        "again, and nothing changes"
    );
    assert_eq!(c.status("m").await.unwrap().status(), ModelStatus::Loaded);
    assert_eq!(c.ensure("m", false).await, Ok(ModelStatus::Loaded));
    assert_eq!(c.unregister("m").await, Ok(()));
    assert_eq!(c.status("m").await.unwrap().status(), ModelStatus::NotFound);
    c.f.runtime.until(|state| state.loaded.is_empty()).await;
    assert_eq!(c.f.runtime.loads("m"), 1);
}

#[tokio::test]
async fn a_model_is_loading_until_it_is_loaded() {
    let mut c = Client::new().await;
    c.f.runtime.behave("m", Some(Behavior::Hold));
    assert_eq!(
        c.register(load(register("m", "p"), false)).await,
        Ok(ModelStatus::Loading)
    );
    assert_eq!(c.ensure("m", false).await, Ok(ModelStatus::Loading));
    c.f.runtime.behave("m", None);
    assert_eq!(c.ensure("m", true).await, Ok(ModelStatus::Loaded));
    assert_eq!(c.f.runtime.loads("m"), 1);
}

#[tokio::test]
async fn bad_requests_about_models() {
    let mut c = Client::new().await;
    let no_id = refused(Code::InvalidArgument, "must provide non-empty modelId");
    assert_eq!(c.register(register("", "p")).await, no_id);
    assert_eq!(
        c.unregister("").await,
        refused(Code::InvalidArgument, "must provide non-empty modelId")
    );
    assert_eq!(
        c.status("").await,
        refused(Code::InvalidArgument, "must provide non-empty modelId")
    );
    assert_eq!(c.ensure("", true).await, no_id);
    let no_type = refused(Code::InvalidArgument, "must provide non-empty modelInfo.type");
    assert_eq!(
        c.register(RegisterModelRequest {
            model_info: None,
            ..register("m", "p")
        })
        .await,
        no_type
    );
    let empty = Some(ModelInfo::default());
    assert_eq!(
        c.register(RegisterModelRequest {
            model_info: empty,
            ..register("m", "p")
        })
        .await,
        no_type
    );
    let control = c.register(register("a\u{7}b", "p")).await.unwrap_err();
    assert_eq!(control.0, Code::InvalidArgument);
    let long = c
        .register(register(&"x".repeat(ModelId::MAX_LEN + 1), "p"))
        .await
        .unwrap_err();
    assert_eq!(
        long,
        (
            Code::InvalidArgument,
            "modelId has 1025 bytes, at most 1024 are allowed".into()
        )
    );
    c.register(register("m", "p")).await.unwrap();
    assert_eq!(
        c.register(register("m", "q")).await,
        refused(
            Code::AlreadyExists,
            "model m already exists with a different path"
        )
    );
    c.set(point("v", "m")).await.unwrap();
    assert_eq!(
        c.unregister("m").await,
        refused(Code::FailedPrecondition, "Model m has referents")
    );
}

#[tokio::test]
async fn the_registry_is_bounded() {
    let mesh = MeshOptions {
        max_models: 1,
        max_vmodels: 1,
        ..MeshOptions::default()
    };
    let mut c = Client::with(Setup {
        mesh,
        ..Setup::default()
    })
    .await;
    c.set(point("v", "m")).await.unwrap();
    let full = refused(
        Code::ResourceExhausted,
        "the registry holds 1 models, which is its limit",
    );
    assert_eq!(c.register(register("n", "p")).await, full);
    let err = c.set(point("w", "m")).await.unwrap_err();
    assert_eq!(
        err,
        (
            Code::ResourceExhausted,
            "the registry holds 1 vmodels, which is its limit".into()
        )
    );
}

#[tokio::test]
async fn a_load_that_fails_is_not_an_error_of_the_call() {
    let mut c = Client::new().await;
    c.f.runtime.behave("m", Some(Behavior::Fail("no such file")));
    assert_eq!(
        c.register(load(register("m", "p"), true)).await,
        Ok(ModelStatus::LoadingFailed)
    );
    let info = c.status("m").await.unwrap();
    assert_eq!((info.errors.len(), info.model_copy_infos.len()), (1, 1));
    assert!(info.errors[0].ends_with("no such file"));
    let copy = &info.model_copy_infos[0];
    assert_eq!(
        (&*copy.location, copy.copy_status()),
        ("here", ModelStatus::LoadingFailed)
    );
    // What a request gets is an error.
    assert_eq!(
        c.f.enter("m", Kind::Model).await.unwrap_err().code(),
        Code::Internal
    );
}

#[tokio::test]
async fn a_load_that_is_not_worth_it_is_refused_although_the_model_stays_registered() {
    let mut c = Client::with(Setup {
        capacity_models: 10,
        ..Setup::default()
    })
    .await;
    for n in 0..10 {
        let id = format!("used-{n}");
        c.f.register(&id).await;
        drop(c.f.enter(&id, Kind::Model).await.unwrap());
    }
    let err = c.register(load(register("old", "p"), true)).await.unwrap_err();
    assert_eq!(err.0, Code::Internal, "{}", err.1);
    assert_eq!(c.status("old").await.unwrap().status(), ModelStatus::NotLoaded);
    assert_eq!(c.f.runtime.loads("old"), 0);
    assert_eq!(
        c.ensure("old", true).await,
        Ok(ModelStatus::Loaded),
        "used now is worth it"
    );
}

#[tokio::test]
async fn life_of_a_vmodel() {
    let mut c = Client::new().await;
    let state =
        |status, active: &str, target: &str| Ok((status, active.into(), target.into(), "me".to_owned()));
    let mine = |target: &str| SetVModelRequest {
        owner: "me".into(),
        ..point("v", target)
    };
    assert_eq!(c.vmodel("v", "").await, Ok(VModelStatus::NotFound));
    assert_eq!(c.set(mine("a")).await, state(VModelStatus::Defined, "a", "a"));
    assert_eq!(
        c.set(point("v", "a")).await,
        state(VModelStatus::Defined, "a", "a"),
        "again, whoever asks"
    );
    assert_eq!(c.ensure("a", true).await, Ok(ModelStatus::Loaded));
    c.f.runtime.behave("b", Some(Behavior::Hold));
    assert_eq!(
        c.set(mine("b")).await,
        state(VModelStatus::Transitioning, "a", "b")
    );
    assert_eq!(c.vmodel("v", "me").await, Ok(VModelStatus::Transitioning));
    c.f.runtime.behave("b", None);
    let sync = SetVModelRequest {
        sync: true,
        ..mine("b")
    };
    assert_eq!(c.set(sync.clone()).await, state(VModelStatus::Defined, "b", "b"));
    assert_eq!(
        c.status("a").await.unwrap().status(),
        ModelStatus::NotFound,
        "auto-deleted"
    );

    c.f.runtime.behave("c", Some(Behavior::Fail("bad")));
    let failing = SetVModelRequest {
        target_model_id: "c".into(),
        ..sync
    };
    assert_eq!(
        c.set(failing).await,
        state(VModelStatus::TransitionFailed, "b", "c")
    );
    let req = GetVModelStatusRequest {
        v_model_id: "v".into(),
        owner: String::new(),
    };
    let info = c.calls.get_v_model_status(req).await.unwrap().into_inner();
    let target = info.target_model_status.unwrap();
    assert_eq!(target.status(), ModelStatus::LoadingFailed);
    assert!(target.errors[0].ends_with("bad"));
    assert_eq!(info.active_model_status.unwrap().status(), ModelStatus::Loaded);

    assert_eq!(c.delete("v", "you").await, Ok(()));
    assert_eq!(c.vmodel("v", "you").await, Ok(VModelStatus::NotFound));
    assert_eq!(c.vmodel("v", "me").await, Ok(VModelStatus::TransitionFailed));
    assert_eq!(c.delete("v", "me").await, Ok(()));
    assert_eq!(c.vmodel("v", "").await, Ok(VModelStatus::NotFound));
    assert_eq!(c.status("b").await.unwrap().status(), ModelStatus::NotFound);
    assert_eq!(c.status("c").await.unwrap().status(), ModelStatus::NotFound);
    assert_eq!(c.delete("v", "me").await, Ok(()));
}

#[tokio::test]
async fn a_target_that_was_registered_by_itself_outlives_the_vmodel() {
    let mut c = Client::new().await;
    c.register(register("m", "p")).await.unwrap();
    // The flag counts when the model is created, not later.
    c.set(point("v", "m")).await.unwrap();
    c.delete("v", "").await.unwrap();
    assert_eq!(c.status("m").await.unwrap().status(), ModelStatus::NotLoaded);
    assert_eq!(c.unregister("m").await, Ok(()));
}

#[tokio::test]
async fn bad_requests_about_vmodels() {
    let mut c = Client::new().await;
    let invalid = |message| refused(Code::InvalidArgument, message);
    assert_eq!(
        c.set(point("", "m")).await,
        invalid("must provide non-empty vModelId")
    );
    assert_eq!(
        c.set(point("v", "")).await,
        invalid("must provide non-empty targetModelId")
    );
    assert_eq!(
        c.vmodel("", "").await,
        refused(Code::InvalidArgument, "must provide non-empty vModelId")
    );
    assert_eq!(
        c.delete("", "").await,
        refused(Code::InvalidArgument, "must provide non-empty vModelId")
    );
    let no_type = SetVModelRequest {
        model_info: Some(ModelInfo::default()),
        ..point("v", "m")
    };
    assert_eq!(
        c.set(no_type).await,
        invalid("must provide non-empty modelInfo.type")
    );
    let code = |result: Result<_, (Code, String)>| result.map(drop).unwrap_err().0;
    let no_info = SetVModelRequest {
        model_info: None,
        ..point("v", "m")
    };
    assert_eq!(code(c.set(no_info).await), Code::NotFound);
    let update = SetVModelRequest {
        update_only: true,
        ..point("v", "m")
    };
    assert_eq!(code(c.set(update).await), Code::NotFound);
    let expect = |expected: &str, target: &str| SetVModelRequest {
        expected_target_model_id: expected.into(),
        ..point("v", target)
    };
    assert_eq!(code(c.set(expect("n", "m")).await), Code::FailedPrecondition);
    assert_eq!(
        c.status("m").await.unwrap().status(),
        ModelStatus::NotFound,
        "nothing was created"
    );
    c.set(SetVModelRequest {
        owner: "me".into(),
        ..point("v", "m")
    })
    .await
    .unwrap();
    assert_eq!(code(c.set(expect("x", "n")).await), Code::FailedPrecondition);
    let other_path = SetVModelRequest {
        model_info: Some(info("q")),
        ..point("v", "m")
    };
    assert_eq!(code(c.set(other_path).await), Code::AlreadyExists);
    assert_eq!(
        c.set(SetVModelRequest {
            owner: "you".into(),
            ..point("v", "m")
        })
        .await,
        refused(
            Code::AlreadyExists,
            r#"vmodel v already exists with different owner "me""#
        )
    );
}

#[tokio::test]
async fn a_synchronous_switch_that_takes_too_long_says_so() {
    let mesh = MeshOptions {
        transition_wait: Duration::from_millis(10),
        ..MeshOptions::default()
    };
    let mut c = Client::with(Setup {
        mesh,
        ..Setup::default()
    })
    .await;
    c.set(point("v", "a")).await.unwrap();
    c.ensure("a", true).await.unwrap();
    c.f.runtime.behave("b", Some(Behavior::Hold));
    let err = c
        .set(SetVModelRequest {
            sync: true,
            ..point("v", "b")
        })
        .await
        .unwrap_err();
    assert_eq!(
        err,
        (
            Code::DeadlineExceeded,
            "vmodel v did not switch within 10ms; it goes on".into()
        )
    );
    assert_eq!(c.vmodel("v", "").await, Ok(VModelStatus::Transitioning));
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_wait_up() {
    let cache = CacheOptions {
        max_waiting_requests: 1,
        ..CacheOptions::default()
    };
    let mut c = Client::with(Setup {
        cache,
        ..Setup::default()
    })
    .await;
    c.f.runtime.behave("m", Some(Behavior::Hold));
    let mut calls = c.calls.clone();
    let waits = tokio::spawn(async move { calls.register_model(load(register("m", "p"), true)).await });
    c.f.runtime.until_loading("m").await;
    // Its wait takes the only place, so that nobody else may wait ...
    until_wait(&mut c, "before", Err(Code::ResourceExhausted)).await;
    waits.abort();
    // ... until the server hears that this client is gone. Nothing else ends its wait: the load is still held.
    until_wait(&mut c, "after", Ok(ModelStatus::Loaded)).await;
    c.f.runtime.behave("m", None);
    c.f.runtime.until(|state| state.loaded.contains_key("m")).await;
    assert_eq!(c.f.runtime.loads("m"), 1, "the load that it started went on");
}

/// Loads ever new models, and waits for them, until that has this result.
async fn until_wait(c: &mut Client, name: &str, expected: Result<ModelStatus, Code>) {
    for n in 0..4_000 {
        let req = load(register(&format!("{name}-{n}"), "p"), true);
        if c.register(req).await.map_err(|(code, _)| code) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came");
}

#[tokio::test]
async fn old_names_of_the_calls_work() {
    let c = Client::new().await;
    let services = ["mmesh.ModelMesh", "com.ibm.watson.tas.proto.TasRuntime"];
    let added = c
        .old("/mmesh.ModelMesh/addModel")
        .register_model(register("m", "p"))
        .await
        .unwrap();
    assert_eq!(added.into_inner().status(), ModelStatus::NotLoaded);
    let mut old = c.old("/com.ibm.watson.tas.proto.TasRuntime/getStatus");
    let info = old
        .get_model_status(GetStatusRequest { model_id: "m".into() })
        .await
        .unwrap();
    assert_eq!(info.into_inner().status(), ModelStatus::NotLoaded);
    let mut old = c.old("/com.ibm.watson.tas.proto.TasRuntime/deleteModel");
    old.unregister_model(UnregisterModelRequest { model_id: "m".into() })
        .await
        .unwrap();
    assert!(c.f.mesh.list("", 1).is_empty());
    let unknown = c
        .old("/mmesh.ModelMesh/addMode")
        .register_model(register("m", "p"))
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
    for service in services {
        assert_eq!(
            canonical(&format!("/{service}/addModel")),
            Some("/mmesh.ModelMesh/registerModel")
        );
        assert_eq!(canonical(&format!("/{service}/setVModels")), None);
    }
    assert_eq!(canonical("/other.Service/addModel"), None);
    assert_eq!(canonical("addModel"), None);
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let c = Client::new().await;
    for id in ["a", "b", "c"] {
        c.f.register(id).await;
    }
    c.f.point("name", "b").await;
    let mut client = MeshClient::new(c.channel.clone());
    let mut page = async |page_size, page_token: &str| {
        let req = ListModelsRequest {
            page_size,
            page_token: page_token.into(),
        };
        let res = client.list_models(req).await.unwrap().into_inner();
        (
            res.models.into_iter().map(|model| model.name).collect::<Vec<_>>(),
            res.next_page_token,
        )
    };
    assert_eq!(
        page(0, "").await,
        (vec!["a".into(), "name".into(), "c".into()], String::new())
    );
    assert_eq!(page(2, "").await, (vec!["a".into(), "name".into()], "b".into()));
    assert_eq!(page(2, "b").await, (vec!["c".into()], String::new()));
    assert_eq!(page(3, "").await.1, "", "exactly one page");
    assert_eq!(page(u32::MAX, "zzz").await, (vec![], String::new()));
}
