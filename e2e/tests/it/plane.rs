//! The data plane in this process, between a client and a backend on bare HTTP/2: what a proxy can get wrong.

mod failures;
mod routing;
mod streaming;

use std::{sync::Arc, time::Duration};

use api::mmesh::{ModelInfo, RegisterModelRequest, SetVModelRequest};
use e2e::{
    backend::{Backend, Options},
    client::{Answer, Client},
    process::eventually,
};
use kit::{admin::Readiness, drain::Drain};
use prometheus_client::registry::Registry;
use router::{
    cache::CacheOptions,
    listen::ListenOptions,
    mesh::{Mesh, MeshOptions},
    metrics::{Metrics, MetricsOptions},
    plane::PlaneOptions,
    rest::RestOptions,
    rules::Rules,
    runtime::RemoteRuntime,
    server::{Listeners, Router, Setup},
    upstream::{Endpoint, Pool, PoolOptions, Upstream},
};

const ECHO: &str = "/stowage.test.Echo/";
const LIMIT: usize = 1 << 20;

/// Anything that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A router in front of a backend, with the models `a` and `b` and the vmodel `v` that points to `a`.
struct Fixture {
    backend: Backend,
    client: Client,
    drain: Drain,
    router_addr: std::net::SocketAddr,
    mesh: Arc<Mesh>,
    metrics: Metrics,
}

struct Settings {
    backend: Options,
    rules: Rules,
    plain_statuses: bool,
    replay_budget: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Options::default(),
            rules: Rules::default(),
            plain_statuses: false,
            replay_budget: 16 << 20,
        }
    }
}

async fn fixture(settings: Settings) -> Fixture {
    let backend = Backend::start(settings.backend)
        .await
        .expect("the backend starts");
    let listeners = Listeners::bind(([127, 0, 0, 1], 0).into(), None)
        .await
        .expect("binds");
    let router_addr = listeners.grpc_addr().expect("bound");
    let endpoint = Endpoint::Tcp(backend.addr);
    let pool = PoolOptions {
        connections: 2,
        connect_timeout: Duration::from_secs(2),
    };
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
            plain_statuses: settings.plain_statuses,
            longest_call: PATIENCE,
        },
        rules: settings.rules,
        peers: None,
    };
    let metrics = Metrics::new(&mut Registry::default(), MetricsOptions::default());
    let router = Router::start(setup, metrics.clone(), Readiness::new("starting"))
        .await
        .expect("the runtime is ready");
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
        router.mesh().register(request).await.expect("registered");
    }
    let vmodel = SetVModelRequest {
        v_model_id: "v".into(),
        target_model_id: "a".into(),
        ..Default::default()
    };
    router.mesh().set_vmodel(vmodel).await.expect("set");
    let mesh = router.mesh().clone();
    let drain = Drain::new(Duration::from_secs(5));
    tokio::spawn(listeners.serve(
        router,
        ListenOptions::default(),
        RestOptions::default(),
        drain.clone(),
    ));
    let client = Client::connect(router_addr).await.expect("connects");
    Fixture {
        backend,
        client,
        drain,
        router_addr,
        mesh,
        metrics,
    }
}

/// Waits for a condition.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, PATIENCE, async || Ok(holds().then_some(())))
        .await
        .expect(what);
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.drain.start();
    }
}

impl Fixture {
    /// A unary call that must be answered, with whatever status.
    async fn call(&self, path: &str, metadata: &[(&'static str, &str)], message: &[u8]) -> Answer {
        let call = self.client.unary(path, metadata, message);
        tokio::time::timeout(PATIENCE, call)
            .await
            .expect("no hang")
            .expect("answered")
    }

    /// Code and decoded text of a call that must fail.
    async fn failure(&self, path: &str, metadata: &[(&'static str, &str)], message: &[u8]) -> (u32, String) {
        let answer = self.call(path, metadata, message).await;
        let code = answer.code().expect("a status");
        assert_ne!(code, 0, "the call should fail");
        (code, router::failure::percent_decode(answer.message().as_bytes()))
    }
}
