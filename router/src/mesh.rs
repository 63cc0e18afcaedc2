//! Models and vmodels of this instance, and the way from a name to a loaded copy.
//!
//! Reading is lock-free: `view` mirrors the registry in concurrent maps, and the warm path is one or two lookups.
//! Writing holds the lock of the pure [`Registry`] for the time of one operation, never over an await, and brings
//! view, cache and transitions up to date before it lets go: whoever comes next sees all of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tonic::Status;

use crate::{
    cache::{Cache, CacheError, Lease},
    core::registry::{Change, Limits, Registry, VModelId},
    metrics::Metrics,
    model::{ModelId, ModelSpec},
};

pub mod hop;
mod list;
mod models;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod transition;
mod view;
mod vmodels;

pub(crate) use list::MAX_PAGE;
use transition::Driver;
use view::View;

/// Tries to enter a name whose model is replaced or dropped each time. As many as upstream makes per request.
const MAX_TURNS: usize = 8;

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
        }
    }
}

/// Registry of models and vmodels, on top of the cache of loaded copies.
pub struct Mesh {
    cache: Arc<Cache>,
    options: MeshOptions,
    metrics: Metrics,
    view: View,
    state: Mutex<State>,
    /// Handed to transitions, which must not keep the mesh alive.
    me: Weak<Mesh>,
}

struct State {
    registry: Registry,
    /// One for each vmodel in transition.
    drivers: HashMap<VModelId, Driver>,
}

/// A model that a name leads to. The address of `spec` identifies the registration.
#[derive(Clone, Debug)]
struct Found {
    id: ModelId,
    spec: Arc<ModelSpec>,
}

impl Mesh {
    /// An empty mesh on top of `cache`.
    pub fn new(cache: Arc<Cache>, options: MeshOptions, metrics: Metrics) -> Arc<Self> {
        let limits = Limits {
            max_models: options.max_models,
            max_vmodels: options.max_vmodels,
        };
        let registry = Registry::new(limits, &options.default_vmodel_owner);
        Arc::new_cyclic(|me| Self {
            cache,
            options,
            metrics,
            view: View::default(),
            state: Mutex::new(State {
                registry,
                drivers: HashMap::new(),
            }),
            me: me.clone(),
        })
    }

    /// The copies that are loaded here.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Warm path: resolves the name and enters its copy. No lock, no allocation when it is ready or unknown.
    pub fn try_enter(&self, name: &str, kind: Kind) -> TryEnter {
        let model = |id: &str| match self.cache.enter(id) {
            // A copy here is that of a registered model: removing a model removes its copy.
            Some(lease) => TryEnter::Ready(lease),
            None => self
                .view
                .model(id)
                .map_or(TryEnter::NotFound, |found| TryEnter::Cold(found.id)),
        };
        let vmodel = || {
            self.view
                .with_active(name, |active| match self.cache.enter(active) {
                    Some(lease) => TryEnter::Ready(lease),
                    None => TryEnter::Cold(active.clone()),
                })
        };
        match kind {
            Kind::Model => model(name),
            Kind::VModel => vmodel().unwrap_or(TryEnter::NotFound),
            Kind::Either => vmodel().unwrap_or_else(|| model(name)),
        }
    }

    /// Resolves the name and enters its copy, which is loaded first where there is none. Goes along when a vmodel
    /// switches in the meantime. Dropping the future gives the wait up.
    pub async fn enter(&self, name: &str, kind: Kind) -> Result<Lease, Status> {
        for _ in 0..MAX_TURNS {
            let Some(found) = self.resolve(name, kind) else {
                return Err(not_found(kind));
            };
            let err = match self.acquire(&found).await {
                Ok(lease) => return Ok(lease),
                Err(err) => err,
            };
            // An error of a model that this name no longer leads to is not this request's.
            let moved = self
                .resolve(name, kind)
                .is_none_or(|now| !Arc::ptr_eq(&now.spec, &found.spec));
            if !moved && !matches!(err, CacheError::Removed { .. }) {
                return Err(err.named(name).status());
            }
        }
        Err(Status::unavailable(format!(
            "{name} was replaced or unloaded {MAX_TURNS} times while it was entered"
        )))
    }

    /// The runtime has no such model although it was loaded: drops this copy and loads the model again.
    /// `NOT_FOUND` when it is no longer registered, because its vmodel has moved on for example: enter by name again.
    pub async fn recover(&self, lease: Lease) -> Result<Lease, Status> {
        let id = lease.id().clone();
        self.cache.forget(lease);
        self.enter(&id, Kind::Model).await
    }

    /// Whether the name is registered, and the model that it leads to now.
    pub fn lookup(&self, name: &str, kind: Kind) -> Option<ModelId> {
        self.resolve(name, kind).map(|found| found.id)
    }

    /// Whether the name leads to a model that is loaded, or whose load nobody knows to fail.
    pub fn can_serve(&self, name: &str, kind: Kind) -> bool {
        self.lookup(name, kind).is_some_and(|id| {
            let failure = self.cache.copy(&id).and_then(|copy| copy.failure);
            failure.is_none_or(|failure| failure.retry_at_ms <= now_ms())
        })
    }

    fn resolve(&self, name: &str, kind: Kind) -> Option<Found> {
        match kind {
            Kind::Model => self.view.model(name),
            Kind::VModel => self.resolve_vmodel(name),
            Kind::Either => self.resolve_vmodel(name).or_else(|| self.view.model(name)),
        }
    }

    fn resolve_vmodel(&self, name: &str) -> Option<Found> {
        let active = self.view.with_active(name, ModelId::clone)?;
        self.view.model(&active).or_else(|| self.reread(name))
    }

    /// The view changes one entry at a time: between the two lookups the vmodel has moved and its old model was
    /// removed. The registry itself knows better.
    fn reread(&self, name: &str) -> Option<Found> {
        let state = self.state.lock();
        let record = state.registry.vmodel(name)?;
        [&record.active, &record.target].into_iter().find_map(|id| {
            let model = state.registry.model(id)?;
            Some(Found {
                id: id.clone(),
                spec: Arc::clone(&model.spec),
            })
        })
    }

    async fn acquire(&self, found: &Found) -> Result<Lease, CacheError> {
        let _check = CheckRegistered { mesh: self, found };
        self.cache.acquire(&found.id, &found.spec).await
    }

    /// Runs one change of the registry, and makes readers, cache and transitions follow before anyone else writes.
    fn change<T>(&self, change: impl FnOnce(&mut Registry, &mut Vec<Change>) -> T) -> T {
        let mut state = self.state.lock();
        let mut changes = Vec::new();
        let result = change(&mut state.registry, &mut changes);
        for change in &changes {
            self.view.apply(change);
            match change {
                Change::Model(id, None) => {
                    self.cache.remove(id);
                    self.metrics.set_managed(state.registry.models());
                }
                Change::Model(_, Some(_)) => self.metrics.set_managed(state.registry.models()),
                Change::VModel(id, record) => self.drive(&mut state.drivers, id, record.as_deref()),
            }
        }
        result
    }

    /// Starts to load a model that is registered as it was found. Under the lock of the registry, so that a load
    /// never comes after the removal of its model.
    fn load(&self, found: &Found, last_used: Option<u64>) -> Result<(), CacheError> {
        let state = self.state.lock();
        if state
            .registry
            .model(&found.id)
            .is_none_or(|model| !Arc::ptr_eq(&model.spec, &found.spec))
        {
            return Err(CacheError::Removed {
                id: found.id.to_string(),
            });
        }
        self.cache.ensure(&found.id, &found.spec, last_used)
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

/// A request resolves a name, and then asks for a load: when the model is removed, or removed and registered with
/// other attributes, in between, the load must not stay. Runs also when the request is dropped.
struct CheckRegistered<'a> {
    mesh: &'a Mesh,
    found: &'a Found,
}

impl Drop for CheckRegistered<'_> {
    fn drop(&mut self) {
        let Self { mesh, found } = self;
        if mesh.view.is_registered(found) {
            return;
        }
        let state = mesh.state.lock();
        if state
            .registry
            .model(&found.id)
            .is_none_or(|model| !Arc::ptr_eq(&model.spec, &found.spec))
        {
            mesh.cache.remove(&found.id);
        }
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
