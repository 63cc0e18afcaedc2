//! A runtime that does what a test tells it, and a mesh on top of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api::mmesh::{
    LoadModelResponse, ModelInfo, RegisterModelRequest, RuntimeStatusResponse, SetVModelRequest,
    runtime_status_response,
};
use futures::{FutureExt, future::BoxFuture};
use kit::admin::Readiness;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Server},
};

use crate::{
    cache::{Cache, CacheOptions, Lease},
    local, management,
    mesh::{Kind, Mesh, MeshOptions},
    metrics::{Metrics, MetricsOptions},
    model::{ModelId, ModelSpec},
    runtime::Runtime,
    store::memory::Memory,
};

const MIB: u64 = 1 << 20;
/// Far beyond what anything here takes; a test that gets there hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What a load of one model does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Hold,
    Fail(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Path of each model that is loaded.
    pub(crate) loaded: BTreeMap<String, String>,
    /// Loads that began, of each model.
    pub(crate) loads: HashMap<String, u64>,
}

/// Every model takes 1 MiB.
#[derive(Debug)]
pub(crate) struct Fake {
    capacity: u64,
    behaviors: watch::Sender<HashMap<String, Behavior>>,
    state: watch::Sender<State>,
}

impl Fake {
    /// Room for so many models.
    pub(crate) fn new(capacity_models: u64) -> Arc<Self> {
        Arc::new(Self {
            capacity: capacity_models * MIB,
            behaviors: watch::Sender::new(HashMap::new()),
            state: watch::Sender::new(State::default()),
        })
    }

    pub(crate) fn behave(&self, id: &str, behavior: Option<Behavior>) {
        self.behaviors.send_modify(|behaviors| {
            match behavior {
                Some(behavior) => behaviors.insert(id.to_owned(), behavior),
                None => behaviors.remove(id),
            };
        });
    }

    /// Waits until the runtime is as the test wants it.
    pub(crate) async fn until(&self, reached: impl FnMut(&State) -> bool) {
        let mut state = self.state.subscribe();
        timeout(PATIENCE, state.wait_for(reached))
            .await
            .expect("never happened")
            .unwrap();
    }

    pub(crate) async fn until_loading(&self, id: &str) {
        self.until(|state| state.loads.contains_key(id)).await;
    }

    pub(crate) fn loads(&self, id: &str) -> u64 {
        self.state.borrow().loads.get(id).copied().unwrap_or(0)
    }

    pub(crate) fn loaded(&self) -> Vec<String> {
        self.state.borrow().loaded.keys().cloned().collect()
    }

    /// Forgets a model behind the router's back.
    pub(crate) fn lose(&self, id: &str) {
        self.state.send_modify(|state| drop(state.loaded.remove(id)));
    }
}

impl Runtime for Fake {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        let status = RuntimeStatusResponse {
            status: runtime_status_response::Status::Ready.into(),
            capacity_in_bytes: self.capacity,
            max_loading_concurrency: 4,
            model_loading_timeout_ms: 60_000,
            default_model_size_in_bytes: MIB,
            ..RuntimeStatusResponse::default()
        };
        async move { Ok(status) }.boxed()
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
        _: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        async move {
            self.state
                .send_modify(|state| *state.loads.entry(id.to_string()).or_default() += 1);
            let mut behaviors = self.behaviors.subscribe();
            let done = behaviors
                .wait_for(|behaviors| behaviors.get(&**id) != Some(&Behavior::Hold))
                .await;
            if let Some(Behavior::Fail(message)) = done.unwrap().get(&**id) {
                return Err(Status::internal(*message));
            }
            self.state
                .send_modify(|state| drop(state.loaded.insert(id.to_string(), spec.path.clone())));
            Ok(LoadModelResponse {
                size_in_bytes: MIB,
                max_concurrency: 0,
            })
        }
        .boxed()
    }

    fn unload<'a>(&'a self, id: &'a ModelId, _: Duration) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            self.lose(id);
            Ok(())
        }
        .boxed()
    }

    fn predict_size<'a>(&'a self, _: &'a ModelId, _: &'a ModelSpec) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(MIB) }.boxed()
    }

    fn model_size<'a>(&'a self, _: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(MIB) }.boxed()
    }
}

/// A mesh on a fake runtime.
pub(crate) struct Fixture {
    pub(crate) runtime: Arc<Fake>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) metrics: Registry,
}

/// What a test may want different.
pub(crate) struct Setup {
    pub(crate) capacity_models: u64,
    pub(crate) cache: CacheOptions,
    pub(crate) mesh: MeshOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            capacity_models: 100,
            cache: CacheOptions {
                load_backoff: Duration::from_mins(1),
                ..CacheOptions::default()
            },
            mesh: MeshOptions {
                instance_id: "here".into(),
                ..MeshOptions::default()
            },
        }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> Fixture {
        let runtime = Fake::new(self.capacity_models);
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, MetricsOptions::default());
        let cache = Cache::start(runtime.clone(), self.cache, metrics.clone())
            .await
            .unwrap();
        let mesh = Mesh::new(cache, Arc::new(Memory::new()), self.mesh, metrics);
        mesh.synced().await;
        Fixture {
            runtime,
            mesh,
            metrics: registry,
        }
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Setup::default().start().await
    }

    pub(crate) async fn register(&self, id: &str) {
        self.mesh.register(register(id, "p")).await.unwrap();
    }

    pub(crate) async fn point(&self, vmodel: &str, target: &str) {
        self.mesh.set_vmodel(point(vmodel, target)).await.unwrap();
    }

    pub(crate) async fn enter(&self, name: &str, kind: Kind) -> Result<Lease, Status> {
        timeout(PATIENCE, self.mesh.enter(name, kind))
            .await
            .expect("enter hangs")
    }

    /// The model that serves this vmodel, whose path must be the one that is loaded.
    pub(crate) async fn served_by(&self, vmodel: &str) -> String {
        self.enter(vmodel, Kind::VModel).await.unwrap().id().to_string()
    }
}

pub(crate) fn info(path: &str) -> ModelInfo {
    ModelInfo {
        r#type: "t".into(),
        path: path.into(),
        key: String::new(),
    }
}

pub(crate) fn register(id: &str, path: &str) -> RegisterModelRequest {
    RegisterModelRequest {
        model_id: id.into(),
        model_info: Some(info(path)),
        ..RegisterModelRequest::default()
    }
}

/// Creates the target where it is missing, and removes it when nothing points to it.
pub(crate) fn point(vmodel: &str, target: &str) -> SetVModelRequest {
    SetVModelRequest {
        v_model_id: vmodel.into(),
        target_model_id: target.into(),
        model_info: Some(info("p")),
        auto_delete_target_model: true,
        ..SetVModelRequest::default()
    }
}

/// A client's connection to a real server with everything that this instance answers itself.
pub(crate) async fn serve(mesh: &Arc<Mesh>, readiness: &Readiness) -> Channel {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(management::service(mesh.clone()))
        .add_service(management::legacy_service(mesh.clone()))
        .add_service(management::mesh_service(mesh.clone()))
        .add_service(local::service(mesh.clone(), readiness.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Endpoint::from_shared(format!("http://{addr}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}
