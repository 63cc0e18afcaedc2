//! The way of a request among many instances.

use futures::future::BoxFuture;
use tonic::{Code, Status};

use super::{
    Found, Kind, Mesh, TryEnter,
    cluster::Cluster,
    hop::{Hop, Mode, Origin, Remote, Route, Routes, TryRoute},
    key::Key,
    not_found, now_ms,
    view::Entry,
};
use crate::{
    cache::{CacheError, CopyState, Lease},
    core::fleet::{Ask, Decision, Ix, NoPlace, Origin as From, Own, Why, route},
    model::ModelId,
    peer::Refusal,
};

/// Decisions for one request until it gives up: others load, fail and go away at the same time.
const MAX_TURNS: usize = 8;
/// Requests in a copy here from which a look at other copies is worth its time.
const BUSY: u64 = 8;

impl Routes for Mesh {
    fn draw(&self, name: &str, kind: Kind, headers: &http::HeaderMap) -> Option<u8> {
        self.draw_for(name, kind, headers)
    }

    fn try_enter(&self, name: &str, kind: Kind, hop: &Hop) -> TryRoute {
        let Some(cluster) = &self.cluster else {
            return match self.try_enter_drawn(name, kind, hop.draw) {
                TryEnter::Ready(lease) => TryRoute::Ready(Route::Here(lease)),
                TryEnter::Cold(_) => TryRoute::Cold,
                TryEnter::NotFound => TryRoute::NotFound,
            };
        };
        self.try_route(cluster, name, kind, hop)
    }

    fn enter<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
        hop: &'a mut Hop,
    ) -> BoxFuture<'a, Result<Route, Status>> {
        Box::pin(async move {
            match &self.cluster {
                None => self.enter_drawn(name, kind, hop.draw).await.map(Route::Here),
                Some(cluster) => self.route(cluster, name, kind, hop).await,
            }
        })
    }
}

impl Mesh {
    fn try_route(&self, cluster: &Cluster, name: &str, kind: Kind, hop: &Hop) -> TryRoute {
        if !hop.tried_here {
            match self.try_enter_drawn(name, kind, hop.draw) {
                TryEnter::Ready(lease) => {
                    let busy = lease.in_flight() > BUSY && hop.origin == Origin::Client { balanced: false };
                    let elsewhere = if busy {
                        self.less_busy(cluster, &lease, hop)
                    } else {
                        None
                    };
                    return TryRoute::Ready(elsewhere.unwrap_or(Route::Here(lease)));
                }
                TryEnter::NotFound if cluster.is_unknown(name) => return TryRoute::NotFound,
                TryEnter::Cold(_) | TryEnter::NotFound => {}
            }
        }
        let Some(found) = self.resolve_drawn(name, kind, hop.draw) else {
            return TryRoute::Cold;
        };
        let Some(entry) = self
            .view
            .entry(&found.id)
            .filter(|entry| !entry.copies.is_empty())
        else {
            return TryRoute::Cold;
        };
        // A copy that is registered here and serves nobody yet: how far it is needs a look.
        if entry.copies.iter().any(|copy| copy.instance == cluster.this) && !hop.tried_here {
            return TryRoute::Cold;
        }
        match self.decide(cluster, &entry, Own::Absent, 0, hop) {
            Decision::Hit(ix) => match remote(cluster, ix, &found.id, Mode::Hit) {
                Some(remote) => TryRoute::Ready(Route::There(remote)),
                None => TryRoute::Cold,
            },
            _ => TryRoute::Cold,
        }
    }

    /// Another copy, where the one here is clearly busier.
    fn less_busy(&self, cluster: &Cluster, lease: &Lease, hop: &Hop) -> Option<Route> {
        let entry = self
            .view
            .entry(lease.id())
            .filter(|entry| entry.copies.len() > 1)?;
        let in_flight = u32::try_from(lease.in_flight()).unwrap_or(u32::MAX);
        match self.decide(cluster, &entry, Own::Loaded, in_flight, hop) {
            Decision::Hit(ix) => remote(cluster, ix, lease.id(), Mode::Hit).map(Route::There),
            _ => None,
        }
    }

    async fn route(&self, cluster: &Cluster, name: &str, kind: Kind, hop: &mut Hop) -> Result<Route, Status> {
        for _ in 0..MAX_TURNS {
            let found = match self.resolve_drawn(name, kind, hop.draw) {
                Some(found) => found,
                None => self.find(cluster, name, kind).await?,
            };
            let Some(entry) = self.view.entry(&found.id) else {
                continue;
            };
            let (own, in_flight) = self.own(&found.id);
            let own = if hop.tried_here { Own::Absent } else { own };
            let err = match self.decide(cluster, &entry, own, in_flight, hop) {
                Decision::Here => self.acquire(&found).await,
                Decision::LoadHere => match self.claim(cluster, &found, &entry).await {
                    // Somebody else began to load it: look again.
                    Claim::Lost => continue,
                    Claim::Held => {
                        let _watch = self.watch_copy(&found.id);
                        self.acquire(&found).await
                    }
                },
                Decision::Hit(ix) => {
                    if let Some(remote) = remote(cluster, ix, &found.id, Mode::Hit) {
                        return Ok(Route::There(remote));
                    }
                    hop.tried.push(ix);
                    continue;
                }
                Decision::LoadAt(ix) => {
                    cluster.note_load(ix, self.size_of(&entry), now_ms());
                    if let Some(remote) = remote(cluster, ix, &found.id, Mode::Load) {
                        return Ok(Route::There(remote));
                    }
                    hop.tried.push(ix);
                    continue;
                }
                Decision::Refuse(why) => return Err(self.refuse(why, &found.id, &entry, hop).await),
            };
            let err = match err {
                Ok(lease) => return Ok(Route::Here(lease)),
                Err(err) => err,
            };
            if matches!(err, CacheError::Removed { .. }) {
                continue;
            }
            if !self.view.is_registered(&found) || !self.leads_to(name, kind, &found.id) {
                continue;
            }
            let status = self.status_for(&err.clone().named(name));
            if !matches!(hop.origin, Origin::Client { .. }) {
                return Err(refusal_of(&err).status_as(status.code(), status.message()));
            }
            // Here it cannot be; elsewhere it may.
            hop.tried_here = true;
            hop.last = Some(Box::new(super::hop::Refused {
                instance: Some(cluster.this),
                refusal: Some(refusal_of(&err)),
                code: status.code(),
                text: status.message().to_owned(),
            }));
        }
        Err(match hop.last.take() {
            Some(refused) => Status::new(refused.code, refused.text),
            None => Status::unavailable(format!(
                "{name} was replaced, moved or unloaded {MAX_TURNS} times while it was entered"
            )),
        })
    }

    pub(super) fn decide(
        &self,
        cluster: &Cluster,
        entry: &Entry,
        own: Own,
        own_in_flight: u32,
        hop: &Hop,
    ) -> Decision {
        let fleet = self.view.fleet();
        let ledger = cluster.ledger.lock();
        let mut excluded = hop.tried.clone();
        if hop.tried_here {
            excluded.push(cluster.this);
        }
        let ask = Ask {
            model: &entry.model(),
            size: self.size_of(entry),
            origin: match hop.origin {
                Origin::Client { balanced } => From::External { balanced },
                Origin::Hit => From::Hit,
                Origin::Load => From::Load,
            },
            excluded: &excluded,
            this: cluster.this,
            own,
            own_in_flight,
            draining: cluster.is_draining(),
            fleet: &fleet,
            load_of: &|ix| cluster.peers().load(ix),
            assumed_load_ms: cluster.assumed_load_ms(&entry.spec.kind),
            ledger: &ledger,
            settings: &cluster.settings,
            now_ms: now_ms(),
        };
        let mut chance = self.chance.lock();
        route(&ask, &mut chance)
    }

    /// Bytes that a copy probably takes.
    pub(super) fn size_of(&self, entry: &Entry) -> u64 {
        let default = self.cache.runtime_status().default_model_size_in_bytes;
        let average = self.cluster.as_ref().and_then(Cluster::average_size);
        entry.model().size.or(average).unwrap_or(default)
    }

    /// The copy here, and the requests in it.
    pub(super) fn own(&self, id: &str) -> (Own, u32) {
        let Some(copy) = self.cache.copy(id) else {
            return (Own::Absent, 0);
        };
        let in_flight = u32::try_from(copy.in_flight).unwrap_or(u32::MAX);
        let own = match copy.state {
            CopyState::Loaded => Own::Loaded,
            CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing => Own::Loading {
                since_ms: copy.since_ms,
            },
            CopyState::NotLoaded | CopyState::Unloading | CopyState::Failed => Own::Absent,
        };
        (own, in_flight)
    }

    /// The model that a name leads to. What the mirror does not have is looked for in the store, once in a while: it may
    /// have been registered elsewhere this very moment.
    pub(super) async fn find(&self, cluster: &Cluster, name: &str, kind: Kind) -> Result<Found, Status> {
        if let Some(found) = self.resolve(name, kind) {
            return Ok(found);
        }
        if cluster.is_unknown(name) {
            return Err(not_found(kind));
        }
        // Names are made up in any number; looks are not.
        let Ok(_turn) = cluster.looks().try_acquire() else {
            return Err(not_found(kind));
        };
        let mut keys = Vec::new();
        if kind != Kind::Model {
            keys.push(Key::vmodel(name).to_string());
        }
        if kind != Kind::VModel {
            keys.push(Key::model(name).to_string());
        }
        let newest = match self.store.get(&keys).await {
            Ok(read) => read.entries.iter().flatten().map(|entry| entry.revision).max(),
            // The mirror is the best that there is.
            Err(error) => {
                tracing::debug!(%error, "an unknown name could not be looked for");
                None
            }
        };
        if let Some(newest) = newest {
            self.reached(newest).await;
            if let Some(found) = self.resolve(name, kind) {
                return Ok(found);
            }
        }
        cluster.set_unknown(name);
        Err(not_found(kind))
    }

    async fn refuse(&self, why: Why, id: &str, entry: &Entry, hop: &mut Hop) -> Status {
        // That a copy was not where it was looked for is no answer for a client.
        let last = hop.last.take();
        let last = last.filter(|last| !matches!(last.refusal, Some(Refusal::NotHere | Refusal::Loading)));
        let (refusal, text) = match why {
            Why::NotHere => (Refusal::NotHere, "there is no copy here".to_owned()),
            Why::Draining => (Refusal::Draining, "this instance is leaving".to_owned()),
            Why::Failed {
                places,
                last: instance,
            } => {
                if let Some(last) = &last {
                    return Status::new(last.code, last.text.clone());
                }
                let said = self.errors_of(id).await.into_iter().next();
                let text = said.filter(|text| !text.is_empty()).unwrap_or_else(|| {
                    let name = self.name_of(instance).unwrap_or_default();
                    format!("the model could not be loaded on {places} instances, last on {name}")
                });
                (Refusal::Failed, text)
            }
            Why::Fruitless { places } => (
                Refusal::Overloaded,
                format!("none of the {places} copies of the model takes the call"),
            ),
            Why::AtMaximum => (
                Refusal::Overloaded,
                "the model has as many copies as it may have, and none takes the call".to_owned(),
            ),
            Why::NoPlace(no_place) => {
                if let Some(last) = &last {
                    return Status::new(last.code, last.text.clone());
                }
                (Refusal::NoRoom, self.no_place(no_place, entry))
            }
        };
        if matches!(hop.origin, Origin::Client { .. }) {
            let code = match why {
                Why::Fruitless { .. } | Why::AtMaximum => Code::ResourceExhausted,
                Why::NotHere | Why::Draining => Code::Unavailable,
                Why::Failed { .. } if self.options.precise_statuses => Code::FailedPrecondition,
                Why::NoPlace(NoPlace::NoneAllowed | NoPlace::TooLarge { .. })
                    if self.options.precise_statuses =>
                {
                    Code::FailedPrecondition
                }
                Why::NoPlace(_) if self.options.precise_statuses => Code::Unavailable,
                Why::NoPlace(_) | Why::Failed { .. } => Code::Internal,
            };
            return Status::new(code, text);
        }
        refusal.status(text)
    }

    /// Upstream's words where it has some.
    fn no_place(&self, no_place: NoPlace, entry: &Entry) -> String {
        match no_place {
            NoPlace::NoneAllowed => {
                let fleet = self.view.fleet();
                let labels = fleet.constraints().required(&entry.spec.kind).join(", ");
                format!(
                    "There are no running instances that meet the label requirements of type {}: {labels}",
                    entry.spec.kind
                )
            }
            NoPlace::NoneLeft => format!("Nowhere available to load: {no_place}"),
            NoPlace::Churn { .. } => format!("Cache churn threshold exceeded: {no_place}"),
            NoPlace::TooLarge { .. } | NoPlace::NotWorthIt => {
                format!("Nowhere available to load: {no_place}")
            }
        }
    }

    pub(super) fn name_of(&self, ix: Ix) -> Option<String> {
        self.state.lock().books.names.id(ix).map(ToString::to_string)
    }
}

fn remote(cluster: &Cluster, ix: Ix, id: &ModelId, mode: Mode) -> Option<Remote> {
    let peer = cluster.peers().get(ix)?;
    Some(Remote::new(&peer, id.clone(), mode))
}

/// What another router is told when a copy here could not be had.
pub(super) fn refusal_of(err: &CacheError) -> Refusal {
    match err {
        CacheError::TooLarge { .. } | CacheError::NotWorthIt { .. } => Refusal::NoRoom,
        CacheError::LoadFailed { .. } | CacheError::LoadTimeout { .. } => Refusal::Failed,
        CacheError::Removed { .. } => Refusal::Unknown,
        CacheError::ShuttingDown => Refusal::Draining,
        _ => Refusal::Overloaded,
    }
}

/// What became of the wish to load a model here.
pub(super) enum Claim {
    /// The record says that it is loaded here, or could not be written.
    Held,
    /// Others hold a copy by now.
    Lost,
}
