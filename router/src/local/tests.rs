//! V2's server-level calls, as clients make them.

use std::collections::HashMap;

use api::{
    inference::{
        ModelReadyRequest, ModelRepositoryParameter, RepositoryIndexRequest, RepositoryModelLoadRequest,
        RepositoryModelUnloadRequest, ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
        grpc_inference_service_client::GrpcInferenceServiceClient,
        model_repository_parameter::ParameterChoice,
    },
    mmesh::{RuntimeStatusResponse, runtime_status_response::MethodInfo},
};
use kit::admin::Readiness;
use tonic::{Code, transport::Channel};

use super::{EXTENSIONS, extensions};
use crate::mesh::{
    Kind,
    tests::fake::{Behavior, Fixture, Setup, serve},
};

struct Client {
    f: Fixture,
    readiness: Readiness,
    calls: GrpcInferenceServiceClient<Channel>,
}

impl Client {
    async fn new() -> Self {
        let f = Setup::default().start().await;
        let readiness = Readiness::new("starting");
        readiness.set_ready();
        let calls = GrpcInferenceServiceClient::new(serve(&f.mesh, &readiness).await);
        Self { f, readiness, calls }
    }

    async fn ready(&mut self, name: &str, version: &str) -> Result<bool, Code> {
        let req = ModelReadyRequest {
            name: name.into(),
            version: version.into(),
        };
        self.calls
            .model_ready(req)
            .await
            .map(|res| res.into_inner().ready)
            .map_err(|err| err.code())
    }

    /// "name version STATE reason" of each entry.
    async fn index(&mut self, ready: bool) -> Vec<String> {
        let req = RepositoryIndexRequest {
            repository_name: String::new(),
            ready,
        };
        let index = self
            .calls
            .repository_index(req)
            .await
            .unwrap()
            .into_inner()
            .models;
        index
            .into_iter()
            .map(|m| format!("{} {} {} {}", m.name, m.version, m.state, m.reason))
            .collect()
    }

    async fn load(&mut self, name: &str) -> Result<(), (Code, String)> {
        let req = RepositoryModelLoadRequest {
            model_name: name.into(),
            ..RepositoryModelLoadRequest::default()
        };
        let res = self.calls.repository_model_load(req).await;
        res.map(drop)
            .map_err(|err| (err.code(), err.message().to_owned()))
    }

    async fn unload(&mut self, name: &str) -> Result<(), (Code, String)> {
        let parameters = parameter("unload_dependents");
        let req = RepositoryModelUnloadRequest {
            model_name: name.into(),
            parameters,
            repository_name: String::new(),
        };
        let res = self.calls.repository_model_unload(req).await;
        res.map(drop)
            .map_err(|err| (err.code(), err.message().to_owned()))
    }
}

fn parameter(name: &str) -> HashMap<String, ModelRepositoryParameter> {
    let value = ModelRepositoryParameter {
        parameter_choice: Some(ParameterChoice::BoolParam(false)),
    };
    HashMap::from([(name.to_owned(), value)])
}

#[test]
fn extensions_of_the_runtime_are_those_whose_methods_it_lists() {
    for (methods, expected) in [
        (&[][..], &[][..]),
        (
            &["inference.GRPCInferenceService/ModelStatistics"],
            &["statistics"],
        ),
        (
            &[
                "/inference.GRPCInferenceService/ModelConfig",
                "a.B/ModelStatistics",
            ],
            &["model_configuration"],
        ),
    ] {
        let runtime = RuntimeStatusResponse {
            method_infos: methods
                .iter()
                .map(|&method| (method.to_owned(), MethodInfo::default()))
                .collect(),
            ..RuntimeStatusResponse::default()
        };
        let all: Vec<_> = EXTENSIONS.iter().chain(expected).copied().collect();
        assert_eq!(extensions(&runtime), all, "{methods:?}");
    }
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let mut c = Client::new().await;
    let metadata = c
        .calls
        .server_metadata(ServerMetadataRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (&*metadata.name, &*metadata.version),
        ("stowage", env!("CARGO_PKG_VERSION"))
    );
    assert!(metadata.extensions.contains(&"model_repository".to_owned()));
    c.f.register("m").await;
    for (ready, expected) in [(true, true), (false, false)] {
        if ready {
            c.readiness.set_ready();
        } else {
            c.readiness.set_unready("draining");
        }
        let res = c
            .calls
            .server_ready(ServerReadyRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(res.ready, expected);
        assert_eq!(c.ready("m", "").await, Ok(expected));
        assert!(
            c.calls
                .server_live(ServerLiveRequest {})
                .await
                .unwrap()
                .into_inner()
                .live
        );
    }
}

#[tokio::test]
async fn a_model_is_ready_when_it_can_be_loaded() {
    let mut c = Client::new().await;
    c.f.register("m").await;
    c.f.point("v", "n").await;
    c.f.point("v:2", "n").await;
    c.f.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    c.f.register("bad").await;
    for (name, version, ready) in [
        ("m", "", true),
        ("v", "", true),
        ("v", "2", true),
        ("v", "3", false),
        ("m", "1", false),
        ("unknown", "", false),
        ("unknown", "1", false),
        ("bad", "", true),
    ] {
        assert_eq!(c.ready(name, version).await, Ok(ready), "{name} {version}");
    }
    assert_eq!(
        c.f.runtime.loads("m") + c.f.runtime.loads("n"),
        0,
        "nobody loads a model to answer this"
    );
    c.f.enter("bad", Kind::Model).await.unwrap_err();
    assert_eq!(c.ready("bad", "").await, Ok(false));
    assert_eq!(c.ready("", "").await, Err(Code::InvalidArgument));
}

#[tokio::test]
async fn the_index_has_every_name_and_version_once() {
    let mut c = Client::new().await;
    c.f.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    c.f.runtime.behave("slow", Some(Behavior::Hold));
    for id in ["bad", "cold", "hf:cold", "slow"] {
        c.f.register(id).await;
    }
    // As the folder watcher has it: each version by its own name, and the default one.
    c.f.point("iris:1", "iris-1").await;
    c.f.point("iris:2", "iris-2").await;
    c.f.point("iris", "iris-2").await;
    c.f.point("plain", "plain-x").await;
    c.f.enter("bad", Kind::Model).await.unwrap_err();
    drop(c.f.enter("iris", Kind::VModel).await.unwrap());
    let waits = c.f.mesh.clone();
    let waits = tokio::spawn(async move { waits.enter("slow", Kind::Model).await.map(drop) });
    c.f.runtime.until_loading("slow").await;
    let cold = "UNAVAILABLE not loaded, the first request loads it";
    let expected = [
        format!("iris 1 {cold}"),
        "iris 2 READY ".into(),
        format!("plain  {cold}"),
        "bad  UNAVAILABLE no luck".into(),
        format!("cold  {cold}"),
        format!("hf:cold  {cold}"),
        "slow  LOADING ".into(),
    ];
    assert_eq!(c.index(false).await, expected);
    assert_eq!(c.index(true).await, ["iris 2 READY "]);
    c.f.runtime.behave("slow", None);
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_index_that_would_not_fit_a_message_is_refused() {
    let mut c = Client::new().await;
    for n in 0..=super::MAX_INDEX {
        c.f.register(&format!("m{n}")).await;
    }
    let req = RepositoryIndexRequest {
        repository_name: String::new(),
        ready: false,
    };
    let err = c.calls.repository_index(req).await.unwrap_err();
    assert_eq!(err.code(), Code::ResourceExhausted);
    assert!(
        err.message().contains("stowage.v1.Mesh/ListModels"),
        "{}",
        err.message()
    );
    assert!(c.index(true).await.is_empty(), "what is ready fits");
}

#[tokio::test]
async fn models_are_loaded_and_unloaded_on_request() {
    let mut c = Client::new().await;
    c.f.point("m", "m-2").await;
    c.f.point("m:1", "m-1").await;
    assert_eq!(c.load("m").await, Ok(()));
    assert_eq!(c.f.runtime.loaded(), ["m-2"]);
    drop(c.f.enter("m:1", Kind::VModel).await.unwrap());
    let busy = c.f.enter("m", Kind::VModel).await.unwrap();
    assert_eq!(c.unload("m").await, Ok(()));
    c.f.runtime.until(|state| state.loaded.keys().eq(["m-2"])).await;
    drop(busy);
    c.f.runtime.until(|state| state.loaded.is_empty()).await;
    assert_eq!(c.ready("m", "").await, Ok(true), "still registered");
    drop(c.f.enter("m", Kind::VModel).await.unwrap());

    assert_eq!(
        c.load("unknown").await,
        Err((Code::NotFound, "model not found".into()))
    );
    assert_eq!(
        c.unload("unknown").await,
        Err((Code::NotFound, "model not found".into()))
    );
    assert_eq!(c.load("").await.unwrap_err().0, Code::InvalidArgument);
    c.f.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    c.f.register("bad").await;
    let (code, message) = c.load("bad").await.unwrap_err();
    assert!(
        code == Code::Internal && message.ends_with("no luck"),
        "{code}: {message}"
    );
    let parameters = parameter("config");
    let req = RepositoryModelLoadRequest {
        model_name: "m".into(),
        parameters,
        repository_name: String::new(),
    };
    let err = c.calls.repository_model_load(req).await.unwrap_err();
    assert_eq!(err.code(), Code::InvalidArgument);
    assert!(err.message().contains("config"), "{}", err.message());
}
