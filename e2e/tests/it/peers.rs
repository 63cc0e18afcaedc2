//! Routers that forward calls to each other over real sockets, each with a backend of its own. Where calls go is a table
//! of the test, so that every turn can be had.

mod forward;
mod impostor;
mod listener;
mod retry;
mod tls;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{
    mmesh::{ModelInfo, RegisterModelRequest, SetVModelRequest},
    peer_v1::{
        CopyState, CopyStatusRequest, CopyStatusResponse, LoadRequest, LoadResponse, UnloadRequest,
        UnloadResponse,
    },
};
use e2e::{
    backend::{Backend, Options},
    client::{Answer, Client},
    process::eventually,
};
use futures::{FutureExt as _, future::BoxFuture};
use kit::{admin::Readiness, drain::Drain};
use prometheus_client::registry::Registry;
use router::{
    cache::CacheOptions,
    listen::ListenOptions,
    mesh::{
        Kind, Mesh, MeshOptions,
        hop::{Hop, Mode, Remote, Route, Routes, TryRoute},
    },
    metrics::{Metrics, MetricsOptions},
    peer::{Ix, PeerOptions, PeerService, Peers, Refusal},
    plane::{Plane, PlaneOptions},
    rest::RestOptions,
    rules::Rules,
    runtime::RemoteRuntime,
    server::{Listeners, PeerSetup, Router, Secured, Setup},
    upstream::{Endpoint, Pool, PoolOptions, Upstream},
};
use tonic::Status;

const ECHO: &str = "/stowage.test.Echo/";
const LIMIT: usize = 16 << 20;
const A: (&str, &str) = ("mm-model-id", "a");
const B: (&str, &str) = ("mm-model-id", "b");

/// Anything that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where calls to a model may go, in this order; what was tried is left out.
#[derive(Clone, Copy, Debug)]
enum Place {
    Here,
    There(Ix, Mode),
    Refuse(Refusal),
}

/// Answers for the mesh.
#[derive(Debug)]
struct Table {
    mesh: OnceLock<Arc<Mesh>>,
    peers: Arc<Peers>,
    places: Mutex<HashMap<String, Vec<Place>>>,
    /// Routes that were asked for.
    asked: AtomicUsize,
    /// Gives the same place again and again.
    stubborn: bool,
}

impl Table {
    fn next(&self, name: &str, hop: &Hop) -> Option<Place> {
        let places = self.places.lock().expect("no test panics here");
        let is_new = |place: &&Place| match place {
            Place::Here => !hop.tried_here,
            Place::There(ix, _) => self.stubborn || !hop.tried.contains(ix),
            Place::Refuse(_) => true,
        };
        places.get(name).into_iter().flatten().find(is_new).copied()
    }

    fn there(&self, ix: Ix, mode: Mode, name: &str) -> Option<Route> {
        // Vmodels point to the model `a`.
        let model = if name == "v" { "a" } else { name };
        let peer = self.peers.get(ix)?;
        Some(Route::There(Remote::new(&peer, model.into(), mode)))
    }
}

impl Routes for Table {
    fn try_enter(&self, name: &str, kind: Kind, hop: &Hop) -> TryRoute {
        let route = match self.next(name, hop) {
            Some(Place::Here) => return Routes::try_enter(self.mesh(), name, kind, hop),
            Some(Place::There(ix, mode)) => self.there(ix, mode, name),
            Some(Place::Refuse(_)) | None => None,
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        route.map_or(TryRoute::Cold, TryRoute::Ready)
    }

    fn enter<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
        hop: &'a mut Hop,
    ) -> BoxFuture<'a, Result<Route, Status>> {
        async move {
            match self.next(name, hop) {
                Some(Place::Here) => self.mesh().enter(name, kind).await.map(Route::Here),
                Some(Place::There(ix, mode)) => self
                    .there(ix, mode, name)
                    .ok_or_else(|| Status::unavailable("no such peer")),
                Some(Place::Refuse(refusal)) => Err(refusal.status(format!("refused: {refusal}"))),
                None => Err(match &hop.last {
                    Some(last) => Status::new(last.code, last.text.clone()),
                    None => Status::not_found("model not found"),
                }),
            }
        }
        .boxed()
    }
}

impl Table {
    fn mesh(&self) -> &Mesh {
        self.mesh.get().expect("set when the router has started")
    }
}

/// Remembers what it is asked.
#[derive(Debug, Default)]
struct Recorder {
    loads: Mutex<Vec<LoadRequest>>,
}

impl PeerService for Recorder {
    fn load(&self, request: LoadRequest) -> BoxFuture<'_, Result<LoadResponse, Status>> {
        async move {
            let sync = request.sync;
            self.loads.lock().expect("no test panics here").push(request);
            if sync {
                std::future::pending::<()>().await;
            }
            Ok(LoadResponse {
                status: CopyState::Loading.into(),
                error: String::new(),
            })
        }
        .boxed()
    }

    fn copy_status(&self, request: CopyStatusRequest) -> BoxFuture<'_, Result<CopyStatusResponse, Status>> {
        async move {
            Ok(CopyStatusResponse {
                state: CopyState::Loaded.into(),
                size_bytes: request.model_id.len() as u64,
                ..Default::default()
            })
        }
        .boxed()
    }

    fn unload(&self, _: UnloadRequest) -> BoxFuture<'_, Result<UnloadResponse, Status>> {
        async { Err(Status::failed_precondition("not today")) }.boxed()
    }
}

/// One router with the models `a` and `b` and the vmodel `v` that points to `a`.
struct Node {
    backend: Backend,
    /// Of its gRPC port, when that speaks no TLS.
    client: Option<Client>,
    drain: Drain,
    grpc: SocketAddr,
    routers: SocketAddr,
    peers: Arc<Peers>,
    plane: Arc<Plane>,
    table: Arc<Table>,
    service: Arc<Recorder>,
    metrics: Registry,
}

#[derive(Clone)]
struct Settings {
    replay_budget: usize,
    peers: PeerOptions,
    secured: Secured,
    stubborn: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replay_budget: 64 << 20,
            peers: PeerOptions::default(),
            secured: Secured::default(),
            stubborn: false,
        }
    }
}

impl Node {
    async fn start(name: &str, settings: Settings) -> Self {
        let backend = Backend::start(Options::default())
            .await
            .expect("the backend starts");
        let any = ([127, 0, 0, 1], 0).into();
        let listeners = Listeners::bind(any, None).await.expect("binds");
        let listeners = listeners
            .with_routers(any)
            .await
            .expect("binds")
            .with_tls(settings.secured.clone());
        let grpc = listeners.grpc_addr().expect("bound");
        let routers = listeners.routers_addr().expect("bound");
        let endpoint = Endpoint::Tcp(backend.addr);
        let pool = PoolOptions {
            connections: 2,
            connect_timeout: Duration::from_secs(2),
        };
        let peers = Peers::new(name.into(), settings.peers);
        let table = Arc::new(Table {
            mesh: OnceLock::new(),
            peers: peers.clone(),
            places: Mutex::default(),
            asked: AtomicUsize::new(0),
            stubborn: settings.stubborn,
        });
        let service = Arc::new(Recorder::default());
        let setup = Setup {
            runtime: Arc::new(RemoteRuntime::new(&endpoint)),
            upstream: Upstream::Remote(Pool::new(endpoint, pool)),
            cache: CacheOptions::default(),
            store: Arc::new(router::store::memory::Memory::new()),
            mesh: MeshOptions::default(),
            plane: PlaneOptions {
                message_limit: LIMIT,
                replay_budget: settings.replay_budget,
                parallelism: 4,
                plain_statuses: false,
                longest_call: PATIENCE,
            },
            rules: Rules::default(),
            peers: Some(PeerSetup {
                peers: peers.clone(),
                routes: Some(table.clone()),
                service: service.clone(),
            }),
        };
        let mut metrics = Registry::default();
        let options = MetricsOptions {
            max_labeled_models: 10,
            ..MetricsOptions::default()
        };
        let counters = Metrics::new(&mut metrics, options);
        let router = Router::start(setup, counters, Readiness::new("starting"))
            .await
            .expect("the runtime is ready");
        register(router.mesh()).await;
        table.mesh.set(router.mesh().clone()).expect("set once");
        let plane = router.plane().clone();
        let drain = Drain::new(Duration::from_secs(5));
        let plain = settings.secured.grpc.is_none();
        tokio::spawn(listeners.serve(
            router,
            ListenOptions::default(),
            RestOptions::default(),
            drain.clone(),
        ));
        let client = if plain {
            Some(Client::connect(grpc).await.expect("connects"))
        } else {
            None
        };
        Self {
            backend,
            client,
            drain,
            grpc,
            routers,
            peers,
            plane,
            table,
            service,
            metrics,
        }
    }

    fn goes(&self, name: &str, places: &[Place]) {
        let mut table = self.table.places.lock().expect("no test panics here");
        table.insert(name.to_owned(), places.to_vec());
    }

    fn knows(&self, ix: Ix, addr: SocketAddr) {
        self.peers
            .set(ix, format!("node-{ix}").as_str().into(), Some(addr));
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("a node without TLS")
    }

    /// A unary call that must be answered, with whatever status.
    async fn call(&self, method: &str, metadata: &[(&'static str, &str)], message: &[u8]) -> Answer {
        let path = format!("{ECHO}{method}");
        let call = self.client().unary(&path, metadata, message);
        tokio::time::timeout(PATIENCE, call)
            .await
            .expect("no hang")
            .expect("answered")
    }

    /// Code and decoded text of a call that must fail.
    async fn failure(
        &self,
        method: &str,
        metadata: &[(&'static str, &str)],
        message: &[u8],
    ) -> (u32, String) {
        let answer = self.call(method, metadata, message).await;
        let code = answer.code().expect("a status");
        assert_ne!(code, 0, "the call should fail");
        (code, text(&answer))
    }

    /// The metrics as text.
    fn scrape(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).expect("encodes");
        text
    }

    /// Sum of all series of a metric.
    fn counted(&self, name: &str) -> u64 {
        let text = self.scrape();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    /// Calls that have reached the backend.
    fn calls(&self) -> u64 {
        self.backend.stats.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.drain.start();
    }
}

async fn register(mesh: &Mesh) {
    for id in ["a", "b"] {
        let info = ModelInfo {
            r#type: "echo".into(),
            ..Default::default()
        };
        let request = RegisterModelRequest {
            model_id: id.into(),
            model_info: Some(info),
            ..Default::default()
        };
        mesh.register(request).await.expect("registered");
    }
    let vmodel = SetVModelRequest {
        v_model_id: "v".into(),
        target_model_id: "a".into(),
        ..Default::default()
    };
    mesh.set_vmodel(vmodel).await.expect("set");
}

/// Routers 0, 1, ... that know each other; what is not said otherwise is served where it arrives.
async fn nodes<const N: usize>(settings: Settings) -> [Node; N] {
    let mut nodes = Vec::new();
    for ix in 0..N {
        nodes.push(Node::start(&format!("node-{ix}"), settings.clone()).await);
    }
    for (own, node) in nodes.iter().enumerate() {
        for name in ["a", "b", "v"] {
            node.goes(name, &[Place::Here]);
        }
        for (ix, other) in nodes.iter().enumerate().filter(|(ix, _)| *ix != own) {
            node.knows(Ix::try_from(ix).expect("few"), other.routers);
        }
    }
    nodes
        .try_into()
        .unwrap_or_else(|_| panic!("as many as were made"))
}

/// Two routers; calls to `a` and `v` at the first go to the second.
async fn pair() -> [Node; 2] {
    let nodes = nodes(Settings::default()).await;
    for name in ["a", "v"] {
        nodes[0].goes(name, &[Place::There(1, Mode::Hit)]);
    }
    nodes
}

fn text(answer: &Answer) -> String {
    router::failure::percent_decode(answer.message().as_bytes())
}

/// Waits for a condition.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, PATIENCE, async || Ok(holds().then_some(())))
        .await
        .expect(what);
}
