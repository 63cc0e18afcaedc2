//! From a name to a loaded copy: what every request asks.

use http::HeaderMap;
use tonic::Status;

use crate::{
    cache::{CacheError, Lease},
    core::registry::VModelRecord,
    model::ModelId,
};

use super::{Found, Kind, Mesh, TryEnter, not_found, now_ms};

/// Tries to enter a name whose model is replaced or dropped each time. As many as upstream makes per request.
const MAX_TURNS: usize = 8;

impl Mesh {
    /// Warm path: resolves the name and enters its copy. No lock, no allocation when it is ready or unknown.
    pub fn try_enter(&self, name: &str, kind: Kind) -> TryEnter {
        self.try_enter_drawn(name, kind, None)
    }

    /// The same for a call whose model is drawn.
    pub(super) fn try_enter_drawn(&self, name: &str, kind: Kind, draw: Option<u8>) -> TryEnter {
        let model = |id: &str| match self.cache.enter(id) {
            // A copy here is that of a registered model: removing a model removes its copy.
            Some(lease) => TryEnter::Ready(lease),
            None => self
                .view
                .model(id)
                .map_or(TryEnter::NotFound, |found| TryEnter::Cold(found.id)),
        };
        let vmodel = || {
            self.view.with_vmodel(name, |vmodel| {
                let model = self.drawn(vmodel, draw);
                match self.cache.enter(model) {
                    Some(lease) => TryEnter::Ready(lease),
                    None => TryEnter::Cold(model.clone()),
                }
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
        self.enter_drawn(name, kind, None).await
    }

    /// The same for a call whose model is drawn.
    pub(super) async fn enter_drawn(
        &self,
        name: &str,
        kind: Kind,
        draw: Option<u8>,
    ) -> Result<Lease, Status> {
        for _ in 0..MAX_TURNS {
            let Some(found) = self.resolve_drawn(name, kind, draw) else {
                return Err(not_found(kind));
            };
            let err = match self.acquire(&found).await {
                Ok(lease) => return Ok(lease),
                Err(err) => err,
            };
            // An error of a model that this name no longer leads to is not this request's.
            let moved = !self.view.is_registered(&found) || !self.leads_to(name, kind, &found.id);
            if !moved && !matches!(err, CacheError::Removed { .. }) {
                return Err(self.status_for(&err.named(name)));
            }
        }
        Err(Status::unavailable(format!(
            "{name} was replaced or unloaded {MAX_TURNS} times while it was entered"
        )))
    }

    /// What a client is told.
    pub(super) fn status_for(&self, err: &CacheError) -> Status {
        if self.options.precise_statuses {
            err.precise_status()
        } else {
            err.status()
        }
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

    /// The model that a name leads to; of several the active one.
    pub(super) fn resolve(&self, name: &str, kind: Kind) -> Option<Found> {
        self.resolve_drawn(name, kind, None)
    }

    /// The same for a call whose model is drawn.
    pub(super) fn resolve_drawn(&self, name: &str, kind: Kind, draw: Option<u8>) -> Option<Found> {
        match kind {
            Kind::Model => self.view.model(name),
            Kind::VModel => self.resolve_vmodel(name, draw),
            Kind::Either => self.resolve_vmodel(name, draw).or_else(|| self.view.model(name)),
        }
    }

    /// Whether a call for this name may go to this model.
    pub(super) fn leads_to(&self, name: &str, kind: Kind, id: &str) -> bool {
        let of_vmodel = || {
            self.view.with_vmodel(name, |vmodel| {
                let shared = vmodel.weights.iter().any(|weight| *weight.model == *id);
                *vmodel.active == *id || shared
            })
        };
        match kind {
            Kind::Model => name == id,
            Kind::VModel => of_vmodel().unwrap_or(false),
            Kind::Either => of_vmodel().unwrap_or(name == id),
        }
    }

    fn resolve_vmodel(&self, name: &str, draw: Option<u8>) -> Option<Found> {
        let model = self
            .view
            .with_vmodel(name, |vmodel| self.drawn(vmodel, draw).clone())?;
        self.view.model(&model).or_else(|| self.reread(name))
    }

    /// The model that gets a call; without a draw the active one.
    fn drawn<'a>(&self, vmodel: &'a VModelRecord, draw: Option<u8>) -> &'a ModelId {
        let Some(draw) = draw.filter(|_| !vmodel.weights.is_empty()) else {
            return &vmodel.active;
        };
        let drawn = vmodel.at(draw.into());
        // One that is gone, because somebody removed it by force, gets nothing.
        if self.view.model(drawn).is_some() {
            drawn
        } else {
            &vmodel.active
        }
    }

    /// Draws for a call of a vmodel that several models share; the clients of a sticky one always draw the same.
    pub(super) fn draw_for(&self, name: &str, kind: Kind, headers: &HeaderMap) -> Option<u8> {
        if kind == Kind::Model || !self.view.is_shared() {
            return None;
        }
        self.view.with_vmodel(name, |vmodel| {
            if vmodel.weights.is_empty() {
                return None;
            }
            let client = headers.get(&*vmodel.sticky).filter(|_| !vmodel.sticky.is_empty());
            let draw = match client {
                Some(value) => stable_hash(name.as_bytes(), value.as_bytes()) % 100,
                None => self.chance.lock().below(100),
            };
            u8::try_from(draw).ok()
        })?
    }

    /// The view changes one entry at a time: between the two look-ups the vmodel has moved and its old model was
    /// removed. While the mirror waits the two agree.
    fn reread(&self, name: &str) -> Option<Found> {
        let _standing = self.state.lock();
        let record = self.view.vmodel(name)?;
        [&record.active, &record.target]
            .into_iter()
            .find_map(|id| self.view.model(id))
    }

    pub(super) async fn acquire(&self, found: &Found) -> Result<Lease, CacheError> {
        let _check = CheckRegistered { mesh: self, found };
        self.cache.acquire(&found.id, &found.spec).await
    }

    /// Starts to load a model that is registered as it was found. While the mirror waits, so that a load never comes
    /// after the removal of its model.
    pub(super) fn load(&self, found: &Found, last_used: Option<u64>) -> Result<(), CacheError> {
        let _standing = self.state.lock();
        if !self.view.is_registered(found) {
            return Err(CacheError::Removed {
                id: found.id.to_string(),
            });
        }
        self.cache.ensure(&found.id, &found.spec, last_used)
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
        let _standing = mesh.state.lock();
        if !mesh.view.is_registered(found) {
            mesh.cache.remove(&found.id);
        }
    }
}

/// The same on every router and in every version: clients stay with their model (FNV-1a).
fn stable_hash(name: &[u8], value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.iter().chain([&0]).chain(value) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // The low digits of a decimal remainder need all bits.
    hash ^ (hash >> 32)
}
