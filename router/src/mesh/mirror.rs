//! Follows the store: what it says is seen by readers here, and copies, transitions and the fleet follow.

use std::sync::{Arc, Weak};

use api::records::{InstanceRecord, Record, RecordError, VModelRecord as VModelJson};

use crate::{
    core::registry::VModelId,
    model::ModelId,
    store::{Batch, Change, Entry, Follower},
};

use super::{
    Mesh, State,
    books::Seen,
    codec,
    key::{Key, Table},
    now_ms,
};

/// A record is on its way, and its instance hears of a load, within this time.
const RECORD_DELAY_MS: u64 = 1_000;

/// How well the mirror follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// The first snapshot is not complete.
    Syncing,
    /// What it shows was true a moment ago.
    Live,
    /// Nothing was heard for too long, and why.
    Stale(String),
}

/// Follows until the mesh is gone.
pub(super) async fn follow(mesh: Weak<Mesh>, mut follower: Follower) {
    while let Some(batch) = follower.next().await {
        let Some(mesh) = mesh.upgrade() else { return };
        mesh.apply(batch);
    }
    if let Some(mesh) = mesh.upgrade() {
        let error = "the store is closed".to_owned();
        mesh.mirror.send_replace(Mirror::Stale(error));
    }
}

impl Mesh {
    /// How well the mirror of the store follows, and every change of that.
    pub fn mirror(&self) -> tokio::sync::watch::Receiver<Mirror> {
        self.mirror.subscribe()
    }

    fn apply(&self, batch: Batch) {
        let mut state = self.state.lock();
        let revision = match batch {
            Batch::Begin { .. } => {
                state.books.begin_sweep();
                None
            }
            Batch::Page(entries) => {
                for entry in &entries {
                    if let Some(key) = Key::parse(&entry.key) {
                        state.books.sweep_to(&key);
                        self.put(&mut state, &key, entry);
                    }
                }
                None
            }
            Batch::End { revision } => {
                for key in state.books.end_sweep() {
                    self.gone(&mut state, &key);
                }
                Some(revision)
            }
            Batch::Changes { changes, revision } => {
                for change in &changes {
                    self.follow_change(&mut state, change);
                }
                Some(revision)
            }
            Batch::Stale { error } => {
                drop(state);
                tracing::warn!(error, "the registry may be out of date");
                self.mirror.send_replace(Mirror::Stale(error));
                return;
            }
        };
        self.settle(&mut state);
        drop(state);
        if let Some(revision) = revision {
            self.applied.send_if_modified(|applied| {
                let moved = revision != *applied;
                *applied = revision.max(*applied);
                moved
            });
            if *self.mirror.borrow() != Mirror::Live {
                let models = self.view.models();
                if self.cluster.is_some() {
                    tracing::info!(revision, models, "the registry is up to date");
                } else {
                    // In the process itself: nobody has waited for that.
                    tracing::debug!(revision, models, "the registry is up to date");
                }
                self.mirror.send_replace(Mirror::Live);
            }
        }
    }

    fn follow_change(&self, state: &mut State, change: &Change) {
        match change {
            Change::Put(entry) => {
                if let Some(key) = Key::parse(&entry.key) {
                    self.put(state, &key, entry);
                }
            }
            Change::Delete { key, .. } => {
                if let Some(key) = Key::parse(key) {
                    self.gone(state, &key);
                }
            }
        }
    }

    fn put(&self, state: &mut State, key: &Key, entry: &Entry) {
        let put = match key.table {
            Table::Models => self.put_model(state, &key.name, entry),
            Table::VModels => self.put_vmodel(state, &key.name, entry),
            Table::Instances => self.put_instance(state, &key.name, entry),
            Table::Latches => {
                state.books.put_latch(&key.name, entry.created);
                Ok(())
            }
            Table::Config => {
                let value = String::from_utf8_lossy(&entry.value).into_owned();
                self.configure(&key.name, Some(value));
                Ok(())
            }
            Table::Nodes => Ok(()),
        };
        match put {
            Ok(()) => self.tell(key.table, &key.name),
            // What was known of it before stays: one broken record must harm nothing else.
            Err(error) => tracing::warn!(%error, "a record is not taken"),
        }
    }

    fn put_model(&self, state: &mut State, id: &str, stored: &Entry) -> Result<(), RecordError> {
        let known = self.view.entry(id);
        let entry = codec::entry(stored, &mut state.books.names, known.as_deref())?;
        let id = ModelId::from(id);
        match &known {
            Some(known) if !Arc::ptr_eq(&known.spec, &entry.spec) => self.cache.remove(&id),
            Some(_) => {}
            None => {
                state.books.add_model(id.clone());
                if let Some(cluster) = &self.cluster {
                    cluster.set_known(&id);
                }
            }
        }
        self.view.put_model(id, Arc::new(entry));
        if known.is_none() {
            self.metrics.set_managed(self.view.models());
        }
        Ok(())
    }

    fn put_vmodel(&self, state: &mut State, id: &str, stored: &Entry) -> Result<(), RecordError> {
        let record = Arc::new(codec::vmodel(&VModelJson::parse(&stored.key, &stored.value)?));
        let (id, before) = (VModelId::from(id), self.view.vmodel(id));
        state
            .books
            .follow_vmodel(&id, before.as_deref(), &Seen::Put(&record));
        self.view.put_vmodel(id.clone(), Arc::clone(&record));
        if let (None, Some(cluster)) = (before, &self.cluster) {
            cluster.set_known(&id);
        }
        self.drive(state, &id, Some(&record));
        Ok(())
    }

    fn put_instance(&self, state: &mut State, id: &str, stored: &Entry) -> Result<(), RecordError> {
        let record = InstanceRecord::parse(&stored.key, &stored.value)?;
        state.fleet_changed |= state.books.put_instance(codec::instance(id, &record));
        if let (Some(cluster), Some(ix)) = (&self.cluster, state.books.names.get(id)) {
            // Loads that were sent there a while ago are in this record; its own time is another clock's.
            let written = now_ms().saturating_sub(RECORD_DELAY_MS);
            cluster.ledger.lock().published(ix, written);
        }
        Ok(())
    }

    fn gone(&self, state: &mut State, key: &Key) {
        let name = &*key.name;
        match key.table {
            Table::Models => {
                self.view.remove_model(name);
                state.books.remove_model(name);
                self.cache.remove(name);
                self.metrics.set_managed(self.view.models());
            }
            Table::VModels => {
                let (id, before) = (VModelId::from(name), self.view.vmodel(name));
                state.books.follow_vmodel(&id, before.as_deref(), &Seen::Gone);
                self.view.remove_vmodel(name);
                self.drive(state, &id, None);
            }
            Table::Instances if self.is_own(name) => {
                // The store lost it; it is put again, and here this instance lives all the time.
                if let Some(cluster) = &self.cluster {
                    cluster.news.notify_one();
                }
            }
            Table::Instances => {
                if let Some(ix) = state.books.remove_instance(name) {
                    state.fleet_changed = true;
                    state.departed.push(ix);
                }
            }
            Table::Latches => state.books.remove_latch(name),
            Table::Config => self.configure(name, None),
            Table::Nodes => {}
        }
        self.tell(key.table, name);
    }

    /// After each batch: the fleet as it is now, and whether this instance leads.
    pub(super) fn settle(&self, state: &mut State) {
        if std::mem::take(&mut state.fleet_changed) {
            let fleet = state.books.fleet();
            if let Some(cluster) = &self.cluster {
                cluster.measure(&fleet);
            }
            self.view.set_fleet(fleet);
            self.follow_fleet(state);
        }
        self.follow_leader(state);
    }
}
