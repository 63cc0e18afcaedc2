//! Where a model is loaded, as its record says: written by the routers that load it.

use std::collections::BTreeMap;

use super::{Change, ModelRecord, Registry};
use crate::model::ModelId;

/// Failures that a record remembers, the oldest go first: it is held by every router.
const MAX_FAILURES: usize = 16;
/// Longest failure message in a record, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Where a model is, by id of the instance. Times are in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Instances that have it or load it, with the time at which the load began.
    pub copies: BTreeMap<Box<str>, u64>,
    /// Instances where it could not be loaded.
    pub failures: BTreeMap<Box<str>, LoadFailure>,
    /// When a copy was last unloaded while others stayed; 0 = not known.
    pub last_unload: u64,
}

/// A load that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFailure {
    /// When.
    pub at: u64,
    /// Why.
    pub message: Box<str>,
}

/// What was asked for beyond serving requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Copies that there shall be at least; 0 = the cache decides.
    pub min: u32,
    /// Copies that there shall be at most; 0 = no bound.
    pub max: u32,
    /// Instances, by id or label, on which it stays loaded.
    pub pinned: Box<[Box<str>]>,
    /// Its size when it was last loaded, in bytes; 0 = not known.
    pub size: u64,
}

impl Registry {
    /// An instance has the model, or begins to load it. False when the model is not registered.
    pub fn place(&mut self, id: &str, instance: &str, since: u64, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| {
            record.placed.failures.remove(instance);
            record.placed.copies.insert(instance.into(), since);
        })
    }

    /// An instance no longer has the model.
    pub fn displace(&mut self, id: &str, instance: &str, now: u64, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| {
            if record.placed.copies.remove(instance).is_some() {
                // As upstream: with one or two copies left there is nothing to wait for before the next step.
                record.placed.last_unload = if record.placed.copies.len() > 2 { now } else { 0 };
            }
        })
    }

    /// An instance could not load the model.
    pub fn load_failed(
        &mut self,
        id: &str,
        instance: &str,
        failure: LoadFailure,
        changes: &mut Vec<Change>,
    ) -> bool {
        let LoadFailure { at, message } = failure;
        let message = truncated(&message);
        self.update(id, changes, |record| {
            let Placed { copies, failures, .. } = &mut record.placed;
            copies.remove(instance);
            failures.insert(instance.into(), LoadFailure { at, message });
            while failures.len() > MAX_FAILURES {
                let oldest = failures.iter().min_by_key(|(_, failure)| failure.at);
                let Some(oldest) = oldest.map(|(instance, _)| instance.clone()) else {
                    break;
                };
                failures.remove(&oldest);
            }
        })
    }

    /// The failure of this instance does not count any more.
    pub fn forgive(&mut self, id: &str, instance: &str, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| {
            record.placed.failures.remove(instance);
        })
    }

    /// Forgets instances that are gone.
    pub fn prune(&mut self, id: &str, gone: impl Fn(&str) -> bool, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| {
            record.placed.copies.retain(|instance, _| !gone(instance));
            record.placed.failures.retain(|instance, _| !gone(instance));
        })
    }

    /// Sets how many copies there shall be, and where.
    pub fn wish(&mut self, id: &str, wish: Wish, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| record.wish = wish)
    }

    /// Notes the size of a loaded copy.
    pub fn sized(&mut self, id: &str, bytes: u64, changes: &mut Vec<Change>) -> bool {
        self.update(id, changes, |record| record.wish.size = bytes)
    }

    /// Changes a record; nothing is written where nothing is different. False when the model is not registered.
    fn update(&mut self, id: &str, changes: &mut Vec<Change>, change: impl FnOnce(&mut ModelRecord)) -> bool {
        let Some((id, record)) = self.models.get_key_value(id) else {
            return false;
        };
        let (id, mut next): (ModelId, _) = (id.clone(), ModelRecord::clone(record));
        change(&mut next);
        if next.placed != record.placed || next.wish != record.wish {
            self.put_model(&id, next, changes);
        }
        true
    }
}

fn truncated(message: &str) -> Box<str> {
    let end = (0..=MAX_MESSAGE.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    message.get(..end.unwrap_or(0)).unwrap_or_default().into()
}
