//! Puts the parts of a router together: listeners first, so that a port that is taken is known before anything else
//! is done; then the runtime; then traffic.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use api::names::methods;
use http::HeaderMap;
use kit::{admin::Readiness, drain::Drain};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Status, service::Routes as Services};
use tonic_health::server::HealthReporter;

use crate::{
    cache::{Cache, CacheOptions, StartError},
    chunks::Chunks,
    listen::{self, ListenOptions, Tls},
    local, management,
    mesh::{Answers, Mesh, MeshOptions, Mirror, hop::Routes},
    metrics::Metrics,
    peer::{self, PeerService, Peers},
    plane::{LocalServices, Plane, PlaneOptions},
    rest,
    rules::Rules,
    runtime::Runtime,
    store::Store,
    upstream::{Upstream, local_service},
};

/// V2 methods that the router answers itself; the others go to the model.
const V2_LOCAL: [&str; 7] = [
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
];

/// Listening sockets, nothing served yet.
#[derive(Debug)]
pub struct Listeners {
    grpc: TcpListener,
    rest: Option<TcpListener>,
    routers: Option<TcpListener>,
    secured: Secured,
}

/// Which listeners speak TLS; those without a value do not.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    /// gRPC.
    pub grpc: Option<Tls>,
    /// REST.
    pub rest: Option<Tls>,
    /// Between routers.
    pub routers: Option<Tls>,
}

impl Listeners {
    /// Binds the gRPC address, and the REST address when there is one.
    pub async fn bind(grpc: SocketAddr, rest: Option<SocketAddr>) -> Result<Self, BindError> {
        let grpc = bind("gRPC", grpc).await?;
        let rest = match rest {
            Some(addr) => Some(bind("REST", addr).await?),
            None => None,
        };
        Ok(Self {
            grpc,
            rest,
            routers: None,
            secured: Secured::default(),
        })
    }

    /// Binds an address for other routers too.
    pub async fn with_routers(mut self, addr: SocketAddr) -> Result<Self, BindError> {
        self.routers = Some(bind("other routers", addr).await?);
        Ok(self)
    }

    /// Has listeners speak TLS.
    #[must_use]
    pub fn with_tls(mut self, secured: Secured) -> Self {
        self.secured = secured;
        self
    }

    /// Serves gRPC alone: what is left to do when the REST port is taken.
    pub async fn bind_grpc(grpc: SocketAddr) -> Result<Self, BindError> {
        Self::bind(grpc, None).await
    }

    /// Where gRPC is served.
    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where REST is served.
    pub fn rest_addr(&self) -> Option<SocketAddr> {
        self.rest.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where other routers are served.
    pub fn routers_addr(&self) -> Option<SocketAddr> {
        self.routers
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until the drain has started and every call has ended, or the drain's deadline.
    pub async fn serve(self, router: Router, listen: ListenOptions, rest: rest::RestOptions, drain: Drain) {
        let Router {
            plane,
            mut health,
            readiness,
        } = router;
        let mut servers = JoinSet::new();
        let connections = listen.connections;
        let Secured {
            grpc: tls,
            rest: rest_tls,
            routers: routers_tls,
        } = self.secured;
        let listen = ListenOptions { tls, ..listen };
        servers.spawn(listen::run(self.grpc, plane.clone(), listen, drain.clone()));
        if let Some(listener) = self.rest {
            let app = rest::app(Backend(plane.clone()), rest);
            servers.spawn(rest::serve(listener, app, connections, rest_tls, drain.clone()));
        }
        if let Some(listener) = self.routers {
            let options = ListenOptions {
                tls: routers_tls,
                ..ListenOptions::for_routers()
            };
            servers.spawn(listen::run(listener, plane.clone(), options, drain.clone()));
        }
        drain.started().await;
        readiness.set_unready("draining");
        not_serving(&mut health).await;
        let drained = drain.finished().await;
        tracing::info!(?drained, "calls have ended");
        let deadline = drain.deadline().unwrap_or_else(tokio::time::Instant::now);
        plane.mesh().depart().await;
        plane.mesh().cache().shutdown(deadline).await;
        servers.shutdown().await;
    }
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for {what} on {addr}")]
pub struct BindError {
    what: &'static str,
    addr: SocketAddr,
    #[source]
    source: io::Error,
}

impl BindError {
    /// The address is in use.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

async fn bind(what: &'static str, addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| BindError { what, addr, source })
}

/// What a router is made of.
#[derive(Debug)]
pub struct Setup {
    /// Loads models.
    pub runtime: Arc<dyn Runtime>,
    /// Answers inference calls.
    pub upstream: Upstream,
    /// Limits of the cache.
    pub cache: CacheOptions,
    /// Where models and vmodels are registered.
    pub store: Arc<dyn Store>,
    /// Limits of the registry.
    pub mesh: MeshOptions,
    /// Limits of the data plane.
    pub plane: PlaneOptions,
    /// How ids are found in messages.
    pub rules: Rules,
    /// Instead of what the mesh would do; `None` = as the mesh says.
    pub peers: Option<PeerSetup>,
}

/// Other ways of a router that is one of several than those of its mesh.
#[derive(Debug)]
pub struct PeerSetup {
    /// The others.
    pub peers: Arc<Peers>,
    /// Where calls go; `None` = to copies here.
    pub routes: Option<Arc<dyn Routes>>,
    /// Answers the others.
    pub service: Arc<dyn PeerService>,
}

/// A router whose runtime is ready.
#[derive(Debug)]
pub struct Router {
    plane: Arc<Plane>,
    health: HealthReporter,
    readiness: Readiness,
}

impl Router {
    /// Waits for the runtime, then is ready.
    pub async fn start(setup: Setup, metrics: Metrics, readiness: Readiness) -> Result<Self, StartError> {
        let Setup {
            runtime,
            upstream,
            cache,
            store,
            mesh,
            plane,
            rules,
            peers,
        } = setup;
        let cache = Cache::start(runtime, cache, metrics.clone()).await?;
        let others = mesh.cluster.as_ref().map(|cluster| cluster.peers.clone());
        let mesh = Mesh::new(cache, store, mesh, metrics.clone());
        readiness.set_unready("reading the registry");
        mesh.synced().await;
        let peers = peers.or_else(|| {
            others.map(|peers| PeerSetup {
                peers,
                routes: None,
                service: Answers::new(mesh.clone()),
            })
        });
        let mesh_handle = mesh.clone();
        let (health, health_service) = tonic_health::server::health_reporter();
        let routes = Services::new(health_service)
            .add_service(management::service(mesh.clone()))
            .add_service(management::legacy_service(mesh.clone()))
            .add_service(management::mesh_service(mesh.clone()))
            .add_service(local::service(mesh.clone(), readiness.clone()));
        let routes = reflection(routes).prepare();
        let local = LocalServices {
            service: local_service(routes),
            services: vec![
                "mmesh.ModelMesh",
                "com.ibm.watson.tas.proto.TasRuntime",
                "stowage.v1.Mesh",
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ],
            methods: V2_LOCAL
                .iter()
                .map(|name| format!("/{}/{name}", methods::INFERENCE_SERVICE))
                .collect(),
        };
        let mut plane = Plane::new(mesh.clone(), upstream, rules, local, plane, metrics);
        if let Some(PeerSetup {
            peers,
            routes,
            service,
        }) = peers
        {
            let internal = local_service(Services::new(peer::service(service)).prepare());
            plane = plane.among(peers, internal, routes.unwrap_or(mesh));
        }
        let plane = Arc::new(plane);
        for service in ["", methods::INFERENCE_SERVICE, "mmesh.ModelMesh"] {
            health
                .set_service_status(service, tonic_health::ServingStatus::Serving)
                .await;
        }
        readiness.set_ready();
        tokio::spawn(follow_mirror(Arc::downgrade(&mesh_handle), readiness.clone()));
        Ok(Self {
            plane,
            health,
            readiness,
        })
    }

    /// Models, vmodels and what is loaded.
    pub fn mesh(&self) -> &Arc<Mesh> {
        self.plane.mesh()
    }

    /// The data plane.
    pub fn plane(&self) -> &Arc<Plane> {
        &self.plane
    }
}

/// A router whose registry may be out of date says so, until it is not.
async fn follow_mirror(mesh: Weak<Mesh>, readiness: Readiness) {
    let Some(mut mirror) = mesh.upgrade().map(|mesh| mesh.mirror()) else {
        return;
    };
    while mirror.changed().await.is_ok() {
        let now = mirror.borrow_and_update().clone();
        match now {
            Mirror::Stale(error) => {
                readiness.set_unready(format!("the registry may be out of date: {error}"));
            }
            Mirror::Live if mesh.upgrade().is_some_and(|mesh| !mesh.is_leaving()) => readiness.set_ready(),
            Mirror::Live | Mirror::Syncing => {}
        }
    }
}

async fn not_serving(health: &mut HealthReporter) {
    for service in ["", methods::INFERENCE_SERVICE, "mmesh.ModelMesh"] {
        health
            .set_service_status(service, tonic_health::ServingStatus::NotServing)
            .await;
    }
}

/// Services that reflection lists. The runtime SPI is described too, but served by the runtime alone.
const LISTED: [&str; 6] = [
    methods::INFERENCE_SERVICE,
    "mmesh.ModelMesh",
    "stowage.v1.Mesh",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Adds reflection, v1 and the older v1alpha that common tools still ask first.
fn reflection(mut routes: Services) -> Services {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure();
        LISTED
            .into_iter()
            .fold(builder, tonic_reflection::server::Builder::with_service_name)
            .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
    };
    match builder().build_v1() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::warn!(%error, "reflection is not served"),
    }
    match builder().build_v1alpha() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::warn!(%error, "reflection v1alpha is not served"),
    }
    routes
}

/// REST's way into the data plane.
#[derive(Clone, Debug)]
struct Backend(Arc<Plane>);

impl rest::Backend for Backend {
    async fn call(
        &self,
        method: &'static str,
        metadata: HeaderMap,
        message: Chunks,
    ) -> Result<(HeaderMap, Chunks), Status> {
        self.0.unary(method, metadata, message).await
    }
}
