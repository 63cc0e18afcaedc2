//! Records say which instances have which models. What the cache here does is written after the fact, except that a load
//! is announced before it begins: then two routers that miss the same model at the same time do not both load it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, stream};
use tonic::Status;

use super::{
    Found, Mesh,
    cluster::{Cluster, Dirty},
    key::Key,
    now_ms,
    route::Claim,
    view::Entry,
};
use crate::{
    cache::{CopyObserver, CopyState, CopyStatus},
    core::registry::{LoadFailure, ModelRecord},
    model::ModelId,
};

/// A load does not wait longer to be announced: serving comes before book-keeping.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);
/// Records that are brought up to date at once.
const WRITERS: usize = 16;
/// Models in one round.
const ROUND: usize = 256;
/// Wait after the store refused.
const RETRY: Duration = Duration::from_secs(1);
/// A size is written again when it differs by more than one part in so many.
const SIZE_STEP: u64 = 10;

impl Mesh {
    /// Announces a load here, unless the record shows copies that the decision to load did not know.
    pub(super) async fn claim(&self, cluster: &Cluster, found: &Found, seen: &Entry) -> Claim {
        let this = &*cluster.id;
        let fleet = self.view.fleet();
        let known: Vec<&str> = {
            let ids = seen.copies.iter().filter_map(|copy| fleet.get(copy.instance));
            ids.map(|instance| instance.id.as_str()).collect()
        };
        let is_news =
            |holder: &str| holder != this && !known.contains(&holder) && fleet.of_id(holder).is_some();
        let written = self.change([Key::model(&found.id)], |registry, changes| {
            let Some(record) = registry.model(&found.id) else {
                return Ok(Claim::Lost);
            };
            if record.placed.copies.keys().any(|holder| is_news(holder)) {
                return Ok(Claim::Lost);
            }
            registry.place(&found.id, this, now_ms(), changes);
            Ok(Claim::Held)
        });
        match tokio::time::timeout(ANNOUNCE_TIMEOUT, written).await {
            Ok(Ok(claim)) => claim,
            Ok(Err(error)) => {
                tracing::debug!(model = %found.id, error = error.message(), "load could not be announced");
                self.dirty.add(&found.id);
                Claim::Held
            }
            Err(_) => {
                self.dirty.add(&found.id);
                Claim::Held
            }
        }
    }

    /// When this is dropped the record is held against what is here: the load may have been given up.
    pub(super) fn watch_copy<'a>(&'a self, id: &'a ModelId) -> WatchCopy<'a> {
        WatchCopy { mesh: self, id }
    }

    /// Makes the record of a model say what is here.
    async fn true_up(&self, cluster: &Cluster, id: &ModelId) -> Result<(), Status> {
        let this = &*cluster.id;
        let Some(entry) = self.view.entry(id) else {
            return Ok(());
        };
        let copy = self.cache.copy(id);
        if is_true(&entry, cluster, copy.as_ref()) {
            return Ok(());
        }
        self.change([Key::model(id)], |registry, changes| {
            // As it is when the write is decided, not when it was wanted.
            let copy = self.cache.copy(id);
            let Some(record) = registry.model(id).cloned() else {
                return Ok(());
            };
            match copy.as_ref().and_then(present_since) {
                Some(since) => {
                    if !record.placed.copies.contains_key(this) || record.placed.failures.contains_key(this) {
                        registry.place(id, this, since, changes);
                    }
                    if let Some(bytes) = copy.as_ref().and_then(measured)
                        && is_other_size(&record, bytes)
                    {
                        registry.sized(id, bytes, changes);
                    }
                }
                None if record.placed.copies.contains_key(this) => {
                    registry.displace(id, this, now_ms(), changes);
                }
                None => {}
            }
            match copy.and_then(|copy| copy.failure) {
                Some(failure) => {
                    let known = record.placed.failures.get(this);
                    if known.is_none_or(|known| known.at != failure.at_ms) {
                        let failure = LoadFailure {
                            at: failure.at_ms,
                            message: failure.message.into(),
                        };
                        registry.load_failed(id, this, failure, changes);
                    }
                }
                None => {
                    registry.forgive(id, this, changes);
                }
            }
            Ok(())
        })
        .await
    }
}

fn present_since(copy: &CopyStatus) -> Option<u64> {
    match copy.state {
        CopyState::Queued
        | CopyState::Waiting
        | CopyState::Loading
        | CopyState::Sizing
        | CopyState::Loaded => Some(copy.since_ms),
        CopyState::NotLoaded | CopyState::Unloading | CopyState::Failed => None,
    }
}

fn measured(copy: &CopyStatus) -> Option<u64> {
    (copy.state == CopyState::Loaded && copy.size_bytes > 0).then_some(copy.size_bytes)
}

fn is_other_size(record: &ModelRecord, bytes: u64) -> bool {
    record.wish.size.abs_diff(bytes) > bytes / SIZE_STEP
}

/// Whether what the record says of this instance is what is here, as far as the mirror knows.
fn is_true(entry: &Entry, cluster: &Cluster, copy: Option<&CopyStatus>) -> bool {
    let claimed = entry.copies.iter().any(|held| held.instance == cluster.this);
    let failed = entry
        .failures
        .iter()
        .find(|failure| failure.instance == cluster.this);
    let failure = copy.and_then(|copy| copy.failure.as_ref());
    let size = copy.and_then(measured);
    let known = entry.model().size.unwrap_or(0);
    claimed == copy.and_then(present_since).is_some()
        && failed.map(|failed| failed.at_ms) == failure.map(|failure| failure.at_ms)
        && size.is_none_or(|size| known.abs_diff(size) <= size / SIZE_STEP)
}

/// See [`Mesh::watch_copy`].
pub(super) struct WatchCopy<'a> {
    mesh: &'a Mesh,
    id: &'a ModelId,
}

impl Drop for WatchCopy<'_> {
    fn drop(&mut self) {
        self.mesh.dirty.add(self.id);
    }
}

/// Told by the cache.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) dirty: Arc<Dirty>,
    pub(super) mesh: Weak<Mesh>,
}

impl CopyObserver for Observer {
    fn changed(&self, id: &ModelId) {
        self.dirty.add(id);
        if let Some(mesh) = self.mesh.upgrade()
            && let Some(cluster) = &mesh.cluster
        {
            cluster.news.notify_one();
        }
    }

    fn loaded(&self, id: &ModelId, took_ms: u64) {
        if let Some(mesh) = self.mesh.upgrade()
            && let Some(cluster) = &mesh.cluster
            && let Some(found) = mesh.view.model(id)
        {
            cluster.loaded_in(&found.spec.kind, took_ms);
        }
    }
}

/// Brings records up to date, until the mesh is gone.
pub(super) async fn follow_copies(mesh: Weak<Mesh>, dirty: Arc<Dirty>) {
    loop {
        let ids = dirty.take(ROUND);
        let Some(mesh) = mesh.upgrade() else { return };
        let Some(cluster) = &mesh.cluster else { return };
        if ids.is_empty() {
            drop(mesh);
            dirty.woken().await;
            continue;
        }
        let failed = stream::iter(ids)
            .map(|id| async {
                let done = mesh.true_up(cluster, &id).await;
                done.err().map(|error| (id, error))
            })
            .buffer_unordered(WRITERS)
            .filter_map(|failed| async { failed });
        let failed: Vec<_> = failed.collect().await;
        if let Some((id, error)) = failed.first() {
            let (error, more) = (error.message(), failed.len() - 1);
            tracing::warn!(model = %id, more, error, "records could not be brought up to date; will be tried again");
            for (id, _) in &failed {
                dirty.add(id);
            }
            drop(mesh);
            tokio::time::sleep(RETRY).await;
        }
    }
}
