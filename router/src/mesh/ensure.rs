//! Copies that nobody waits for with a request: management, transitions, scaling and drain ask for them.

use std::{sync::Arc, time::Duration};

use api::peer_v1::{CopyState as PeerState, CopyStatusRequest, LoadRequest};
use tonic::Status;

use super::{Found, Mesh, cluster::Cluster, now_ms, route::Claim, view::Entry};
use crate::{
    cache::{CacheError, CopyState},
    core::{
        fleet::{Ix, Place, Purpose, place},
        registry::Presence,
    },
    peer::Peer,
};

/// Instances that are tried for one copy.
const MAX_PLACES: usize = 4;
/// Another instance answers such a question within this time.
const QUESTION: Duration = Duration::from_secs(3);
/// A load that is waited for takes so many load time-outs at most: its own, and what is before it in the queue.
const WAIT_LOADS: u32 = 5;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCopy {
    /// It could not be loaded here.
    #[error(transparent)]
    Here(#[from] CacheError),
    /// It could not be loaded elsewhere.
    #[error("{text}")]
    There {
        /// The load was tried and failed, as opposed to: nobody had the time or the room to try.
        failed: bool,
        /// What was said.
        text: String,
    },
    /// There is no place for it.
    #[error("Nowhere available to load: {0}")]
    Nowhere(String),
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Its copy is as young as that; `None` = now.
    pub(super) last_used: Option<u64>,
    /// Wait until it is loaded.
    pub(super) sync: bool,
    /// Copies on these instances do not count.
    pub(super) besides: &'a [Ix],
    /// For logs of whoever loads.
    pub(super) reason: &'a str,
}

impl Mesh {
    /// Has the model loaded somewhere, unless it is.
    pub(super) async fn ensure(&self, found: &Found, wanted: Wanted<'_>) -> Result<(), NoCopy> {
        match &self.cluster {
            None => self.ensure_here(found, wanted).await.map_err(NoCopy::Here),
            Some(cluster) => self.ensure_somewhere(cluster, found, wanted).await,
        }
    }

    async fn ensure_here(&self, found: &Found, wanted: Wanted<'_>) -> Result<(), CacheError> {
        self.load(found, wanted.last_used)?;
        if wanted.sync {
            self.cache.wait_loaded(&found.id).await?;
        }
        Ok(())
    }

    async fn ensure_somewhere(
        &self,
        cluster: &Cluster,
        found: &Found,
        wanted: Wanted<'_>,
    ) -> Result<(), NoCopy> {
        let mut tried = wanted.besides.to_vec();
        let mut last = None;
        for _ in 0..MAX_PLACES {
            let Some(entry) = self.view.entry(&found.id) else {
                let id = found.id.to_string();
                return Err(CacheError::Removed { id }.into());
            };
            let ix = match self.holder(cluster, &entry, &tried) {
                Some(holder) => holder,
                None => match self.place_for(cluster, &entry, &tried, wanted.last_used) {
                    Ok(ix) => ix,
                    Err(no_place) => return Err(last.unwrap_or(NoCopy::Nowhere(no_place))),
                },
            };
            let done = if ix == cluster.this {
                self.claim_and_load(cluster, found, &entry, wanted).await
            } else {
                cluster.note_load(ix, self.size_of(&entry), now_ms());
                self.ensure_there(cluster, ix, found, wanted).await
            };
            match done {
                Ok(()) => return Ok(()),
                Err(no_copy @ NoCopy::Here(CacheError::Removed { .. })) => return Err(no_copy),
                Err(no_copy) => {
                    tried.push(ix);
                    last = Some(no_copy);
                }
            }
        }
        Err(last.unwrap_or_else(|| NoCopy::Nowhere("every place that was tried failed".into())))
    }

    /// A live instance that has the model or loads it; this one first.
    fn holder(&self, cluster: &Cluster, entry: &Entry, tried: &[Ix]) -> Option<Ix> {
        let fleet = self.view.fleet();
        let here = cluster.this;
        let open = |ix: Ix| {
            !tried.contains(&ix)
                && fleet.get(ix).is_some_and(|instance| !instance.shutting_down)
                && (ix == here || cluster.peers().get(ix).is_some())
        };
        let mut copies: Vec<_> = entry.copies.iter().filter(|copy| open(copy.instance)).collect();
        copies.sort_by_key(|copy| (copy.instance != here, copy.since_ms));
        copies.first().map(|copy| copy.instance)
    }

    fn place_for(
        &self,
        cluster: &Cluster,
        entry: &Entry,
        tried: &[Ix],
        last_used: Option<u64>,
    ) -> Result<Ix, String> {
        let fleet = self.view.fleet();
        let ledger = cluster.ledger.lock();
        let place_for = Place {
            model: &entry.model(),
            size: self.size_of(entry),
            purpose: match last_used {
                Some(last_used_ms) => Purpose::Background { last_used_ms },
                None => Purpose::Further,
            },
            this: cluster.this,
            this_open: !cluster.is_draining() && !tried.contains(&cluster.this),
            prefer_this: false,
            excluded: tried,
            fleet: &fleet,
            ledger: &ledger,
            load_of: &|ix| cluster.peers().load(ix),
            settings: &cluster.settings,
            now_ms: now_ms(),
        };
        place(&place_for, &mut self.chance.lock()).map_err(|no_place| no_place.to_string())
    }

    /// Announces the load, then loads. Whoever asked chose this instance: copies elsewhere are no hindrance.
    pub(super) async fn claim_and_load(
        &self,
        cluster: &Cluster,
        found: &Found,
        entry: &Entry,
        wanted: Wanted<'_>,
    ) -> Result<(), NoCopy> {
        if let Claim::Lost = self.claim(cluster, found, entry).await
            && let Some(entry) = self.view.entry(&found.id)
        {
            // With the copies that have come in the meantime.
            let _second = self.claim(cluster, found, &entry).await;
        }
        let _watch = self.watch_copy(&found.id);
        Ok(self.ensure_here(found, wanted).await?)
    }

    async fn ensure_there(
        &self,
        cluster: &Cluster,
        ix: Ix,
        found: &Found,
        wanted: Wanted<'_>,
    ) -> Result<(), NoCopy> {
        let there = |failed, text: String| NoCopy::There { failed, text };
        let Some(peer) = cluster.peers().get(ix) else {
            return Err(there(false, "the instance is gone".into()));
        };
        let request = LoadRequest {
            model_id: found.id.to_string(),
            last_used_ms: wanted.last_used.unwrap_or(0),
            sync: wanted.sync,
            exclude: Vec::new(),
            reason: wanted.reason.to_owned(),
        };
        let timeout = if wanted.sync {
            self.longest_load()
        } else {
            QUESTION
        };
        let answer = peer.ask_load(&request, timeout).await;
        let answer = answer.map_err(|err| there(false, err.to_string()))?;
        match answer.status() {
            PeerState::Loaded => Ok(()),
            PeerState::Loading if !wanted.sync => Ok(()),
            PeerState::Failed => Err(there(true, answer.error)),
            PeerState::Loading | PeerState::Absent | PeerState::Unloading => Err(there(false, answer.error)),
        }
    }

    /// How long a load is waited for at most.
    pub(super) fn longest_load(&self) -> Duration {
        let timeout = self.cache.runtime_status().model_loading_timeout_ms;
        Duration::from_millis(timeout.into()) * WAIT_LOADS
    }

    /// Whether a model has a copy that certainly serves, one that may, or none.
    pub(super) async fn presence(&self, id: &str) -> Presence {
        let here = super::status::presence(self.cache.copy(id).as_ref());
        let Some(cluster) = &self.cluster else { return here };
        if here == Presence::Loaded {
            return here;
        }
        match (self.loaded_elsewhere(cluster, id).await, here) {
            (Presence::Absent, here) => here,
            (elsewhere, _) => elsewhere,
        }
    }

    /// The same, of instances other than this one.
    pub(super) async fn loaded_elsewhere(&self, cluster: &Cluster, id: &str) -> Presence {
        let Some(entry) = self.view.entry(id) else {
            return Presence::Absent;
        };
        let fleet = self.view.fleet();
        let mut presence = Presence::Absent;
        for copy in &entry.copies {
            let staying = fleet
                .get(copy.instance)
                .is_some_and(|instance| !instance.shutting_down);
            if copy.instance == cluster.this || !staying {
                continue;
            }
            presence = Presence::Loading;
            if let Some(peer) = cluster.peers().get(copy.instance)
                && self.state_there(&peer, id).await == Some(PeerState::Loaded)
            {
                return Presence::Loaded;
            }
        }
        presence
    }

    async fn state_there(&self, peer: &Arc<Peer>, id: &str) -> Option<PeerState> {
        let request = CopyStatusRequest {
            model_id: id.to_owned(),
        };
        let answer = peer.ask_copy_status(&request, QUESTION).await;
        answer.ok().map(|answer| answer.state())
    }
}

/// As other routers are told.
pub(super) fn peer_state(state: CopyState) -> PeerState {
    match state {
        CopyState::NotLoaded => PeerState::Absent,
        CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing => PeerState::Loading,
        CopyState::Loaded => PeerState::Loaded,
        CopyState::Unloading => PeerState::Unloading,
        CopyState::Failed => PeerState::Failed,
    }
}

impl NoCopy {
    /// The load was tried and failed.
    pub(super) fn is_load_failure(&self) -> bool {
        match self {
            Self::Here(err) => super::status::is_load_failure(err),
            Self::There { failed, .. } => *failed,
            Self::Nowhere(_) => false,
        }
    }

    /// As a client is told.
    pub(super) fn status(&self, mesh: &Mesh) -> Status {
        match self {
            Self::Here(err) => mesh.status_for(err),
            Self::There { .. } | Self::Nowhere(_) if mesh.options.precise_statuses => {
                Status::unavailable(self.to_string())
            }
            Self::There { .. } | Self::Nowhere(_) => Status::internal(self.to_string()),
        }
    }
}
