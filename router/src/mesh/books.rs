//! What the mirror keeps beside the view: ids in order, who is alive, who leads, and where a fresh snapshot is.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use crate::{
    core::{
        fleet::{Constraints, Fleet, Instance, Ix, Names, leader},
        registry::{VModelId, VModelRecord},
    },
    model::ModelId,
};

use super::key::{Key, Table};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Books {
    models: BTreeSet<ModelId>,
    vmodels: BTreeSet<VModelId>,
    /// Pairs of an active model and a vmodel that it serves.
    servers: BTreeSet<(ModelId, VModelId)>,
    pub(super) names: Names,
    instances: BTreeMap<Ix, Arc<Instance>>,
    /// When each candidate's latch was created.
    latches: BTreeMap<Box<str>, u64>,
    /// While a snapshot comes in: its last key, and what it showed to be gone.
    sweep: Option<Sweep>,
    constraints: Arc<Constraints>,
}

#[derive(Debug, Default)]
struct Sweep {
    last: Option<Key>,
    gone: Vec<Key>,
}

/// What the mirror does about a vmodel.
pub(super) enum Seen<'a> {
    /// It has this record now.
    Put(&'a VModelRecord),
    /// It is gone.
    Gone,
}

impl Books {
    pub(super) fn add_model(&mut self, id: ModelId) {
        self.models.insert(id);
    }

    pub(super) fn remove_model(&mut self, id: &str) {
        self.models.remove(id);
    }

    /// Follows a vmodel; `before` is the record that it had.
    pub(super) fn follow_vmodel(&mut self, id: &VModelId, before: Option<&VModelRecord>, seen: &Seen<'_>) {
        if let Some(before) = before {
            self.servers.remove(&(before.active.clone(), id.clone()));
        }
        match seen {
            Seen::Put(record) => {
                self.servers.insert((record.active.clone(), id.clone()));
                self.vmodels.insert(id.clone());
            }
            Seen::Gone => {
                self.vmodels.remove(id);
            }
        }
    }

    /// At most `limit` ids of models after `after`, in order.
    pub(super) fn models_after(&self, after: &str, limit: usize) -> Vec<ModelId> {
        // An empty `after` excludes nothing: no id is empty.
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.models.range::<str, _>(range).take(limit).cloned().collect()
    }

    /// At most `limit` ids of vmodels after `after`, in order.
    pub(super) fn vmodels_after(&self, after: &str, limit: usize) -> Vec<VModelId> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.vmodels.range::<str, _>(range).take(limit).cloned().collect()
    }

    /// First vmodel that this model serves.
    pub(super) fn served(&self, id: &ModelId) -> Option<&VModelId> {
        let from = (id.clone(), VModelId::from(""));
        let (model, vmodel) = self.servers.range(from..).next()?;
        (model == id).then_some(vmodel)
    }

    /// An instance described itself. Whether anything is different.
    pub(super) fn put_instance(&mut self, instance: Instance) -> bool {
        let ix = self.names.number(&instance.id);
        if self.instances.get(&ix).is_some_and(|known| **known == instance) {
            return false;
        }
        self.instances.insert(ix, Arc::new(instance));
        true
    }

    /// An instance is gone. Its number stays: records may name it still.
    pub(super) fn remove_instance(&mut self, id: &str) -> Option<Ix> {
        let ix = self.names.get(id)?;
        self.instances.remove(&ix).map(|_| ix)
    }

    pub(super) fn set_constraints(&mut self, constraints: Constraints) {
        self.constraints = Arc::new(constraints);
    }

    /// Everyone who is alive.
    pub(super) fn fleet(&self) -> Fleet {
        let instances = self
            .instances
            .iter()
            .map(|(ix, instance)| (*ix, Arc::clone(instance)));
        Fleet::new(instances, Arc::clone(&self.constraints))
    }

    /// All live instances.
    pub(super) fn instances(&self) -> impl Iterator<Item = (Ix, &Arc<Instance>)> {
        self.instances.iter().map(|(ix, instance)| (*ix, instance))
    }

    pub(super) fn put_latch(&mut self, candidate: &str, created: u64) {
        self.latches.insert(candidate.into(), created);
    }

    pub(super) fn remove_latch(&mut self, candidate: &str) {
        self.latches.remove(candidate);
    }

    /// Whose latch is the oldest. Names decide between latches of one transaction, which nobody writes.
    pub(super) fn leader(&self) -> Option<&str> {
        leader::elected(self.latches.iter().map(|(name, created)| (&**name, *created)))
    }

    /// A snapshot begins.
    pub(super) fn begin_sweep(&mut self) {
        self.sweep = Some(Sweep::default());
    }

    /// The snapshot has this key, and keys come in order: what is known between it and the one before is gone.
    pub(super) fn sweep_to(&mut self, key: &Key) {
        let Some(mut sweep) = self.sweep.take() else {
            return;
        };
        self.known_between(sweep.last.as_ref(), Some(key), &mut sweep.gone);
        sweep.last = Some(key.clone());
        self.sweep = Some(sweep);
    }

    /// The snapshot is complete: what it did not have, in an order in which it can be removed.
    pub(super) fn end_sweep(&mut self) -> Vec<Key> {
        let Some(mut sweep) = self.sweep.take() else {
            return Vec::new();
        };
        self.known_between(sweep.last.as_ref(), None, &mut sweep.gone);
        // A vmodel goes before the models that it points to.
        sweep.gone.sort_by_key(|key| key.table == Table::Models);
        sweep.gone
    }

    fn known_between(&self, from: Option<&Key>, to: Option<&Key>, gone: &mut Vec<Key>) {
        for table in Table::ALL {
            let low = match from {
                Some(from) if from.table > table => continue,
                Some(from) if from.table == table => Bound::Excluded(&*from.name),
                _ => Bound::Unbounded,
            };
            let high = match to {
                Some(to) if to.table < table => continue,
                Some(to) if to.table == table => Bound::Excluded(&*to.name),
                _ => Bound::Unbounded,
            };
            if let (Bound::Excluded(low), Bound::Excluded(high)) = (low, high)
                && low >= high
            {
                continue;
            }
            let range = (low, high);
            let mut add = |name: &str| gone.push(Key::new(table, name));
            match table {
                Table::Models => self.models.range::<str, _>(range).for_each(|id| add(id)),
                Table::VModels => self.vmodels.range::<str, _>(range).for_each(|id| add(id)),
                Table::Latches => self.latches.range::<str, _>(range).for_each(|(id, _)| add(id)),
                Table::Instances => {
                    let ids = self.instances.values().map(|instance| instance.id.as_str());
                    let mut ids: Vec<&str> = ids.collect();
                    ids.sort_unstable();
                    let within = |id: &&str| std::ops::RangeBounds::<str>::contains(&range, *id);
                    ids.into_iter().filter(within).for_each(add);
                }
                // Nothing is kept of them here.
                Table::Config | Table::Nodes => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(models: &[&str], vmodels: &[&str]) -> Books {
        let mut books = Books::default();
        for id in models {
            books.add_model((*id).into());
        }
        for id in vmodels {
            books.vmodels.insert((*id).into());
        }
        books
    }

    #[test]
    fn a_snapshot_shows_what_is_gone() {
        let mut books = books(&["a", "b", "c", "d"], &["u", "v"]);
        books.put_latch("_x", 5);
        books.begin_sweep();
        for key in ["registry/b", "registry/bb", "registry/d", "vmodels/v"] {
            books.sweep_to(&Key::parse(key).unwrap());
        }
        let gone: Vec<String> = books.end_sweep().iter().map(Key::to_string).collect();
        assert_eq!(
            gone,
            ["leaderLatch/_x", "vmodels/u", "registry/a", "registry/c"],
            "vmodels before models"
        );
        assert!(books.end_sweep().is_empty(), "nothing is swept twice");
    }

    #[test]
    fn an_empty_snapshot_takes_everything() {
        let mut books = books(&["a"], &["v"]);
        books.begin_sweep();
        assert_eq!(books.end_sweep().len(), 2);
    }

    #[test]
    fn the_oldest_latch_leads() {
        let mut books = Books::default();
        assert_eq!(books.leader(), None);
        books.put_latch("_b", 7);
        books.put_latch("_a", 9);
        assert_eq!(books.leader(), Some("_b"));
        books.remove_latch("_b");
        assert_eq!(books.leader(), Some("_a"));
    }
}
