//! Several meshes on one store, each with a runtime of its own, that ask each other over real connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::mmesh::{EnsureLoadedRequest, model_status_info::ModelStatus, v_model_status_info::VModelStatus};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Status, transport::Server};

use super::{
    PATIENCE,
    fake::{Behavior, Fake, point, register},
};
use crate::{
    cache::{Cache, CacheOptions},
    core::fleet::{Constraints, scale::ScaleSettings},
    mesh::{
        Answers, ClusterOptions, Kind, Mesh, MeshOptions,
        hop::{Hop, Mode, Origin, Refused, Route, Routes},
    },
    metrics::{Metrics, MetricsOptions},
    peer::{self, PeerOptions, PeerService, Peers, Refusal},
    store::{Store, memory::Memory},
};

struct Node {
    name: String,
    mesh: Arc<Mesh>,
    runtime: Arc<Fake>,
    store: Memory,
    server: JoinHandle<()>,
}

struct Among {
    nodes: Vec<Node>,
    store: Memory,
}

impl Among {
    async fn new(nodes: usize) -> Self {
        Self::with(nodes, |_| Vec::new()).await
    }

    async fn with(nodes: usize, labels: impl Fn(usize) -> Vec<String>) -> Self {
        let mut among = Self {
            nodes: Vec::new(),
            store: Memory::new(),
        };
        for n in 0..nodes {
            among.join(&format!("i{n}"), labels(n)).await;
        }
        among.settled().await;
        among
    }

    async fn join(&mut self, name: &str, labels: Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Fake::new(20);
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, MetricsOptions::default());
        let options = CacheOptions {
            load_backoff: Duration::from_millis(50),
            ..CacheOptions::default()
        };
        let cache = Cache::start(runtime.clone(), options, metrics.clone())
            .await
            .unwrap();
        let store = self.store.another_session();
        let options = options_of(name, address, labels);
        let mesh = Mesh::new(cache, Arc::new(store.clone()), options, metrics);
        mesh.synced().await;
        let service = peer::service(Answers::new(mesh.clone()));
        let server = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        let name = name.to_owned();
        self.nodes.push(Node {
            name,
            mesh,
            runtime,
            store,
            server,
        });
    }

    /// Until everybody knows everybody, and somebody leads.
    async fn settled(&self) {
        let count = self.nodes.len();
        self.until(|| {
            let complete = self
                .nodes
                .iter()
                .all(|node| node.mesh.view.fleet().len() == count);
            complete
                && self
                    .nodes
                    .iter()
                    .filter(|node| *node.mesh.leading.borrow())
                    .count()
                    == 1
        })
        .await;
    }

    async fn until(&self, mut reached: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached() {
            assert!(Instant::now() < deadline, "never happened");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Instances whose runtime has the model.
    fn holders(&self, id: &str) -> Vec<&str> {
        let holds = self
            .nodes
            .iter()
            .filter(|node| node.runtime.loaded().iter().any(|m| m == id));
        holds.map(|node| node.name.as_str()).collect()
    }

    /// Instances that the model's record names, as `n` sees it.
    fn registered(&self, n: usize, id: &str) -> Vec<String> {
        let mesh = &self.nodes[n].mesh;
        let mut names: Vec<_> = mesh
            .holders(id)
            .into_iter()
            .filter_map(|ix| mesh.name_of(ix))
            .collect();
        names.sort();
        names
    }

    /// What the data plane does with a call that comes to `n`: who served it in the end.
    async fn call(&self, n: usize, name: &str, kind: Kind) -> Result<String, Status> {
        timeout(PATIENCE, self.attempts(n, name, kind))
            .await
            .expect("hangs")
    }

    async fn attempts(&self, n: usize, name: &str, kind: Kind) -> Result<String, Status> {
        let mut hop = Hop::of_client(false);
        for _ in 0..8 {
            match Routes::enter(&*self.nodes[n].mesh, name, kind, &mut hop).await? {
                Route::Here(_lease) => return Ok(self.nodes[n].name.clone()),
                Route::There(remote) => {
                    let peer = remote.peer().id().to_string();
                    let origin = match remote.mode() {
                        Mode::Hit => Origin::Hit,
                        Mode::Load => Origin::Load,
                    };
                    let served = match self.nodes.iter().find(|node| node.name == peer) {
                        Some(node) => Box::pin(self.forwarded(node, remote.model(), origin, &hop)).await,
                        None => Err(Refusal::Draining.status("gone")),
                    };
                    match served {
                        Ok(name) => return Ok(name),
                        Err(status) => hop.refused(Refused {
                            instance: Some(remote.instance()),
                            refusal: Refusal::of_status(&status),
                            code: status.code(),
                            text: status.message().to_owned(),
                        }),
                    }
                }
            }
        }
        Err(Status::unavailable("8 attempts"))
    }

    async fn forwarded(&self, node: &Node, id: &str, origin: Origin, before: &Hop) -> Result<String, Status> {
        let mut hop = Hop {
            origin,
            tried: before.tried.clone(),
            ..Hop::default()
        };
        match Routes::enter(&*node.mesh, id, Kind::Model, &mut hop).await? {
            Route::Here(_lease) => Ok(node.name.clone()),
            Route::There(remote) => {
                assert_eq!((origin, remote.mode()), (Origin::Load, Mode::Hit), "a third hop");
                let peer = remote.peer().id().to_string();
                let Some(node) = self.nodes.iter().find(|node| node.name == peer) else {
                    return Err(Refusal::NotHere.status("gone"));
                };
                let mut last = Hop {
                    origin: Origin::Hit,
                    ..Hop::default()
                };
                match Routes::enter(&*node.mesh, id, Kind::Model, &mut last).await? {
                    Route::Here(_lease) => Ok(peer),
                    Route::There(_) => panic!("a hit went further"),
                }
            }
        }
    }

    /// Ends an instance without a word; its session ends later, as after `kill -9`.
    async fn kill(&mut self, name: &str) -> Node {
        let at = self.nodes.iter().position(|node| node.name == name).unwrap();
        let node = self.nodes.remove(at);
        node.server.abort();
        node.store.close().await;
        node
    }
}

fn options_of(name: &str, address: SocketAddr, labels: Vec<String>) -> MeshOptions {
    MeshOptions {
        instance_id: name.into(),
        transition_retry: Duration::from_millis(100),
        cluster: Some(ClusterOptions {
            peers: Peers::new(name.into(), PeerOptions::default()),
            address,
            location: format!("node-of-{name}"),
            zone: String::new(),
            labels,
            version: 0,
            constraints: Constraints::default(),
            min_churn_age_ms: Some(0),
            failure_expiry_ms: 900_000,
            scaling: ScaleSettings::default(),
            proactive: false,
            publish_every: Duration::from_millis(50),
        }),
        ..MeshOptions::default()
    }
}

#[tokio::test]
async fn a_model_is_loaded_once_and_served_from_everywhere() {
    let among = Among::new(3).await;
    among.nodes[0].mesh.register(register("m", "p")).await.unwrap();
    let first = among.call(1, "m", Kind::Model).await.unwrap();
    among
        .until(|| (0..3).all(|n| among.registered(n, "m") == [first.clone()]))
        .await;
    for n in 0..3 {
        assert_eq!(among.call(n, "m", Kind::Model).await.unwrap(), first);
    }
    assert_eq!(among.holders("m"), [&first]);
    let loads: u64 = among.nodes.iter().map(|node| node.runtime.loads("m")).sum();
    assert_eq!(loads, 1);
}

#[tokio::test]
async fn routers_that_miss_a_model_at_the_same_time_load_it_once() {
    let among = Among::new(3).await;
    for m in 0..10 {
        let id = format!("m{m}");
        among.nodes[0].mesh.register(register(&id, "p")).await.unwrap();
        let calls = (0..9).map(|n| among.call(n % 3, &id, Kind::Model));
        for served in futures::future::join_all(calls).await {
            served.unwrap();
        }
        assert_eq!(among.holders(&id).len(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_name_that_was_registered_elsewhere_just_now_is_found() {
    let among = Among::new(2).await;
    assert_eq!(
        among.call(1, "m", Kind::Model).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        among.call(1, "v", Kind::VModel).await.unwrap_err().code(),
        Code::NotFound
    );
    among.nodes[0].mesh.set_vmodel(point("v", "m")).await.unwrap();
    among
        .until(|| among.nodes[1].mesh.lookup("v", Kind::VModel).is_some())
        .await;
    among.call(1, "v", Kind::VModel).await.unwrap();
    among.call(1, "m", Kind::Model).await.unwrap();
}

#[tokio::test]
async fn a_load_that_fails_in_one_place_is_tried_in_another() {
    let among = Among::new(3).await;
    for node in &among.nodes[..2] {
        node.runtime.behave("m", Some(Behavior::Fail("no luck")));
    }
    among.nodes[0].mesh.register(register("m", "p")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(among.call(0, "m", Kind::Model).await.unwrap(), "i2");
    }
}

#[tokio::test]
async fn a_model_that_fails_everywhere_is_not_tried_without_end() {
    let among = Among::new(4).await;
    for node in &among.nodes {
        node.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    }
    among.nodes[0].mesh.register(register("bad", "p")).await.unwrap();
    let error = among.call(0, "bad", Kind::Model).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "no luck"));
    let failures = |n: usize| {
        among.nodes[n]
            .mesh
            .view
            .entry("bad")
            .map_or(0, |entry| entry.failures.len())
    };
    among.until(|| failures(0) >= 3).await;
    let loads = || -> u64 { among.nodes.iter().map(|node| node.runtime.loads("bad")).sum() };
    let before = loads();
    for n in 0..4 {
        among.until(|| failures(n) >= 3).await;
        among.call(n, "bad", Kind::Model).await.unwrap_err();
    }
    assert_eq!(loads(), before, "nobody tries while the failures are fresh");
    let get = api::mmesh::GetStatusRequest {
        model_id: "bad".into(),
    };
    let status = among.nodes[3].mesh.status(get).await.unwrap();
    assert_eq!(status.status(), ModelStatus::LoadingFailed);
    assert!(status.errors.len() >= 3 && status.errors.iter().all(|error| error == "no luck"));
    assert!(status.model_copy_infos[0].location.starts_with("node-of-"));
}

#[tokio::test]
async fn models_of_an_instance_that_died_are_served_elsewhere() {
    let mut among = Among::new(3).await;
    for m in 0..12 {
        let id = format!("m{m}");
        among.nodes[0].mesh.register(register(&id, "p")).await.unwrap();
        among.call(m % 3, &id, Kind::Model).await.unwrap();
    }
    let dead = among.kill("i1").await;
    assert!(!dead.runtime.loaded().is_empty(), "it had some");
    for m in 0..12 {
        let served = among.call(m % 2, &format!("m{m}"), Kind::Model).await.unwrap();
        assert_ne!(served, "i1");
    }
    among.settled().await;
}

#[tokio::test]
async fn a_vmodel_switches_whoever_leads_and_whoever_is_asked() {
    let mut among = Among::new(3).await;
    let sync = |target: &str| api::mmesh::SetVModelRequest {
        sync: true,
        load_now: true,
        ..point("v", target)
    };
    for n in 0..3 {
        let status = among.nodes[n]
            .mesh
            .set_vmodel(sync(&format!("m{n}")))
            .await
            .unwrap();
        assert_eq!(status.status(), VModelStatus::Defined, "{n}: {status:?}");
        assert_eq!(status.active_model_id, format!("m{n}"));
        among.call((n + 1) % 3, "v", Kind::VModel).await.unwrap();
    }
    assert!(
        among.nodes[0].mesh.lookup("m0", Kind::Model).is_none(),
        "it went with its reference"
    );
    // The leader goes, and somebody else goes on.
    let leader = among.nodes.iter().find(|node| *node.mesh.leading.borrow());
    let leader = leader.unwrap().name.clone();
    among.kill(&leader).await;
    among.settled().await;
    let status = among.nodes[1].mesh.set_vmodel(sync("last")).await.unwrap();
    assert_eq!(
        (status.status(), &*status.active_model_id),
        (VModelStatus::Defined, "last")
    );
}

#[tokio::test]
async fn a_vmodel_keeps_its_model_when_the_next_one_cannot_be_loaded() {
    let among = Among::new(2).await;
    for node in &among.nodes {
        node.runtime.behave("bad", Some(Behavior::Fail("no luck")));
    }
    among.nodes[0].mesh.set_vmodel(point("v", "good")).await.unwrap();
    among.call(0, "v", Kind::VModel).await.unwrap();
    let request = api::mmesh::SetVModelRequest {
        sync: true,
        ..point("v", "bad")
    };
    let status = among.nodes[1].mesh.set_vmodel(request).await.unwrap();
    assert_eq!(status.status(), VModelStatus::TransitionFailed);
    assert_eq!(status.target_model_status.unwrap().errors[0], "no luck");
    among.call(1, "v", Kind::VModel).await.unwrap();
    // It recovers by itself.
    for node in &among.nodes {
        node.runtime.behave("bad", None);
    }
}

#[tokio::test]
async fn who_leaves_hands_its_models_over_and_serves_until_then() {
    let among = Among::new(3).await;
    for m in 0..9 {
        let id = format!("m{m}");
        among.nodes[0].mesh.register(register(&id, "p")).await.unwrap();
        among.call(m % 3, &id, Kind::Model).await.unwrap();
    }
    let had = among.nodes[0].runtime.loaded();
    assert!(!had.is_empty());
    among.nodes[0].mesh.leave(Instant::now() + PATIENCE).await;
    for id in &had {
        assert!(among.holders(id).len() > 1, "{id} has a successor");
        let served = among.call(1, id, Kind::Model).await.unwrap();
        assert_ne!(served, "i0");
    }
    assert_eq!(
        among.nodes[0].runtime.loaded(),
        had,
        "what is here serves to the end"
    );
    assert!(!*among.nodes[0].mesh.leading.borrow());
    among.nodes[0].mesh.depart().await;
    among.until(|| among.nodes[1].mesh.view.fleet().len() == 2).await;
}

#[tokio::test]
async fn a_model_type_goes_only_where_its_labels_are() {
    let labels = |n: usize| {
        if n == 2 {
            vec!["gpu".to_owned()]
        } else {
            Vec::new()
        }
    };
    let among = Among::with(3, labels).await;
    let json = r#"{"t":{"required":["gpu"]}}"#;
    for node in &among.nodes {
        node.mesh.set_constraints(Constraints::parse(json).unwrap());
    }
    for m in 0..5 {
        let id = format!("m{m}");
        among.nodes[0].mesh.register(register(&id, "p")).await.unwrap();
        assert_eq!(among.call(m % 3, &id, Kind::Model).await.unwrap(), "i2");
    }
    let json = r#"{"t":{"required":["tpu"]}}"#;
    for node in &among.nodes {
        node.mesh.set_constraints(Constraints::parse(json).unwrap());
    }
    among.nodes[0].mesh.register(register("none", "p")).await.unwrap();
    let error = among.call(0, "none", Kind::Model).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(error.message().contains("tpu"), "{error:?}");
}

#[tokio::test]
async fn ensure_loaded_finds_the_copy_wherever_it_is() {
    let among = Among::new(3).await;
    among.nodes[0].mesh.register(register("m", "p")).await.unwrap();
    for n in 0..3 {
        let request = EnsureLoadedRequest {
            model_id: "m".into(),
            sync: true,
            ..EnsureLoadedRequest::default()
        };
        among
            .until(|| among.nodes[n].mesh.lookup("m", Kind::Model).is_some())
            .await;
        let status = among.nodes[n].mesh.ensure_loaded(request).await.unwrap();
        assert_eq!(status.status(), ModelStatus::Loaded, "{n}");
    }
    assert_eq!(among.holders("m").len(), 1);
}

#[tokio::test]
async fn a_registry_that_was_lost_heals_by_registering_again() {
    let among = Among::new(2).await;
    among.nodes[0].mesh.register(register("m", "p")).await.unwrap();
    among.call(0, "m", Kind::Model).await.unwrap();
    let unregister = api::mmesh::UnregisterModelRequest { model_id: "m".into() };
    among.nodes[1].mesh.unregister(unregister).await.unwrap();
    among.until(|| among.holders("m").is_empty()).await;
    among.nodes[1].mesh.register(register("m", "p")).await.unwrap();
    among.call(0, "m", Kind::Model).await.unwrap();
}

#[tokio::test]
async fn a_vmodel_switches_when_its_target_has_as_many_copies() {
    let among = Among::new(3).await;
    among.nodes[0].mesh.set_vmodel(point("v", "old")).await.unwrap();
    for node in &among.nodes {
        let request = api::peer_v1::LoadRequest {
            model_id: "old".into(),
            sync: true,
            ..api::peer_v1::LoadRequest::default()
        };
        Answers::new(node.mesh.clone()).load(request).await.unwrap();
    }
    for n in 0..3 {
        among.until(|| among.registered(n, "old").len() == 3).await;
    }
    let request = api::mmesh::SetVModelRequest {
        sync: true,
        ..point("v", "new")
    };
    let status = among.nodes[1].mesh.set_vmodel(request).await.unwrap();
    assert_eq!(status.status(), VModelStatus::Defined);
    assert_eq!(among.holders("new").len(), 3);
}

#[tokio::test]
async fn the_target_of_a_vmodel_is_loaded_where_it_may_be() {
    let labels = |n: usize| {
        if n == 2 {
            vec!["gpu".to_owned()]
        } else {
            Vec::new()
        }
    };
    let among = Among::with(3, labels).await;
    for node in &among.nodes {
        let json = r#"{"t":{"required":["gpu"]}}"#;
        node.mesh.set_constraints(Constraints::parse(json).unwrap());
    }
    for target in ["a", "b"] {
        let request = api::mmesh::SetVModelRequest {
            sync: true,
            load_now: true,
            ..point("v", target)
        };
        let status = among.nodes[0].mesh.set_vmodel(request).await.unwrap();
        assert_eq!(status.active_model_id, target);
        assert_eq!(among.holders(target), ["i2"]);
    }
}
