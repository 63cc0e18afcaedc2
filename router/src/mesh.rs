//! Models and vmodels, and the way from a name to a loaded copy.
//!
//! What is registered lies in a [`Store`]. Reading is lock-free: `view` mirrors the store in concurrent maps, and the warm
//! path is one or two look-ups. Writing is a transaction on the store (`write`): an operation of the pure registry runs on
//! the records that it is about, and is written unless somebody else was quicker. Both ways end in the `mirror`, which
//! follows the store and brings view, cache and transitions up to date, one batch at a time under a lock. A write returns
//! when the mirror here has seen it: whoever comes next sees all of it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::{broadcast, watch as latest},
    time::Instant,
};
use tonic::Status;

use crate::{
    cache::{Cache, Lease},
    core::{
        fleet::{Ix, Rng},
        registry::VModelId,
    },
    metrics::Metrics,
    model::{ModelId, ModelSpec},
    store::Store,
};

mod among;
mod answers;
mod books;
mod claims;
mod cluster;
mod codec;
mod ensure;
mod enter;
pub mod hop;
mod key;
mod lead;
mod leave;
mod list;
mod member;
mod mirror;
mod models;
mod reap;
mod route;
mod show;
mod status;
mod steer;
mod tend;
#[cfg(test)]
pub(crate) mod tests;
mod transition;
mod view;
mod vmodels;
mod watch;
mod write;

pub use answers::Answers;
use books::Books;
pub use cluster::ClusterOptions;
use cluster::{Cluster, Dirty};
pub(crate) use list::MAX_PAGE;
pub use mirror::Mirror;
use transition::Driver;
use view::View;
pub use watch::{Lost, News, Watcher};

/// Setting of the store: requests in a minute that are enough for one copy.
const SCALEUP_RPM_THRESHOLD: &str = "scaleup_rpm_threshold";

/// What a name is looked up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Concrete model.
    Model,
    /// Stable name.
    VModel,
    /// Stable name, and a concrete model where there is none.
    Either,
}

/// Where a request goes next.
#[derive(Debug)]
pub enum TryEnter {
    /// In: call the runtime.
    Ready(Lease),
    /// The model exists and is not loaded, or its slots are taken: [`Mesh::enter`] waits.
    Cold(ModelId),
    /// There is no such name.
    NotFound,
}

/// Limits and waits.
#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// Who this instance is, in `modelCopyInfos`.
    pub instance_id: String,
    /// Models that may be registered.
    pub max_models: usize,
    /// vmodels that may be registered.
    pub max_vmodels: usize,
    /// Owner of vmodels that are created without one.
    pub default_vmodel_owner: String,
    /// How long a synchronous `setVModel` waits for the switch.
    pub transition_wait: Duration,
    /// How long the target of a transition may take to load before that counts as failed.
    pub transition_load_timeout: Duration,
    /// Longest wait before a failed transition is tried again.
    pub transition_retry: Duration,
    /// Codes that tell overload, a bad model and a slow one apart, instead of upstream's INTERNAL for all.
    pub precise_statuses: bool,
    /// How long a failed load counts.
    pub failure_expiry: Duration,
    /// The other instances; `None` = there are none.
    pub cluster: Option<ClusterOptions>,
}

impl Default for MeshOptions {
    fn default() -> Self {
        Self {
            instance_id: "local".into(),
            // A few GB of memory, and far beyond what a pod ever serves.
            max_models: 5_000_000,
            max_vmodels: 5_000_000,
            default_vmodel_owner: String::new(),
            transition_wait: Duration::from_mins(4),
            transition_load_timeout: Duration::from_mins(10),
            transition_retry: Duration::from_mins(15),
            precise_statuses: false,
            failure_expiry: Duration::from_mins(15),
            cluster: None,
        }
    }
}

/// Registry of models and vmodels, on top of the cache of loaded copies.
pub struct Mesh {
    cache: Arc<Cache>,
    store: Arc<dyn Store>,
    options: MeshOptions,
    metrics: Metrics,
    view: View,
    state: Mutex<State>,
    /// Revision of the store that the view shows.
    applied: latest::Sender<u64>,
    mirror: latest::Sender<Mirror>,
    /// Until when the session of the store certainly lives.
    session: latest::Receiver<Option<Instant>>,
    /// This instance leads.
    leading: latest::Sender<bool>,
    /// What `config/` of the store says.
    config: latest::Sender<BTreeMap<String, String>>,
    chance: Mutex<Rng>,
    /// What changed, for those who watch.
    news: broadcast::Sender<News>,
    /// The others; `None` = this instance is alone, and copies are here or nowhere.
    cluster: Option<Cluster>,
    dirty: Arc<Dirty>,
    /// Handed to tasks, which must not keep the mesh alive.
    me: Weak<Mesh>,
}

/// What the mirror works on.
#[derive(Default)]
struct State {
    books: Books,
    /// One for each vmodel in transition, while this instance leads.
    drivers: HashMap<VModelId, Driver>,
    /// This instance runs the transitions.
    leading: bool,
    /// Somebody came, went, or looks different.
    fleet_changed: bool,
    /// Instances that went since the last look.
    departed: Vec<Ix>,
}

/// A model that a name leads to. The address of `spec` identifies the registration.
#[derive(Clone, Debug)]
struct Found {
    id: ModelId,
    spec: Arc<ModelSpec>,
}

impl Mesh {
    /// A mesh on top of `cache` that follows `store`. It is empty until [`Mesh::synced`]. Must be called on a tokio
    /// runtime.
    pub fn new(
        cache: Arc<Cache>,
        store: Arc<dyn Store>,
        options: MeshOptions,
        metrics: Metrics,
    ) -> Arc<Self> {
        let seed = now_ms() ^ u64::from(std::process::id()) << 40;
        let follower = store.follow("");
        let mut state = State::default();
        let this = state.books.names.number(&options.instance_id);
        if let Some(cluster) = &options.cluster {
            state.books.set_constraints(cluster.constraints.clone());
        }
        let dirty = Arc::new(Dirty::default());
        let load_timeout = cache.runtime_status().model_loading_timeout_ms;
        let cluster = options
            .cluster
            .clone()
            .map(|cluster| Cluster::new(cluster, &options.instance_id, this, now_ms(), load_timeout.into()));
        let session = store.session();
        let mesh = Arc::new_cyclic(|me| Self {
            cache,
            store,
            session,
            leading: latest::Sender::new(false),
            options,
            metrics,
            view: View::default(),
            state: Mutex::new(state),
            applied: latest::Sender::new(0),
            mirror: latest::Sender::new(Mirror::Syncing),
            config: latest::Sender::new(BTreeMap::new()),
            chance: Mutex::new(Rng::new(seed)),
            news: broadcast::Sender::new(watch::BUFFER),
            cluster,
            dirty,
            me: me.clone(),
        });
        mesh.enroll();
        tokio::spawn(mirror::follow(mesh.me.clone(), follower));
        if mesh.cluster.is_some() {
            mesh.cache.observe(Arc::new(claims::Observer {
                dirty: mesh.dirty.clone(),
                mesh: mesh.me.clone(),
            }));
            tokio::spawn(claims::follow_copies(mesh.me.clone(), mesh.dirty.clone()));
            tokio::spawn(member::publish(mesh.me.clone()));
            tokio::spawn(lead::stand(mesh.me.clone()));
            tokio::spawn(tend::tend(mesh.me.clone()));
            tokio::spawn(reap::reap(mesh.me.clone()));
        }
        mesh
    }

    /// The copies that are loaded here.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Waits until everything that the store held is here.
    pub async fn synced(&self) {
        let mut mirror = self.mirror.subscribe();
        // Closed only with the mesh itself.
        let _live = mirror.wait_for(|mirror| *mirror == Mirror::Live).await;
    }

    /// Settings from the store, and every change of them.
    pub fn config(&self) -> latest::Receiver<BTreeMap<String, String>> {
        self.config.subscribe()
    }

    fn configure(&self, name: &str, value: Option<String>) {
        if let (SCALEUP_RPM_THRESHOLD, Some(cluster)) = (name, &self.cluster) {
            cluster.set_rpm_threshold(value.as_deref());
        }
        self.config.send_if_modified(|config| match value {
            Some(value) => config.insert(name.to_owned(), value.clone()) != Some(value),
            None => config.remove(name).is_some(),
        });
    }

    /// Between half of `most` and `most`.
    fn jitter(&self, most: Duration) -> Duration {
        most / 2 + most.mul_f64(self.chance.lock().unit() / 2.0)
    }
}

impl fmt::Debug for Mesh {
    /// Leaves out what may be millions of records.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn not_found(kind: Kind) -> Status {
    Status::not_found(match kind {
        Kind::Model | Kind::Either => "model not found",
        Kind::VModel => "vmodel not found",
    })
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
