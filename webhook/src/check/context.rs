//! What rules may look up, and what is stored already: from files instead of from a cluster.
//!
//! * Objects of `--context` are the cluster. A kind of which it has an object is known in full: what is not there does
//!   not exist. The two kinds of runtimes count as one, and the configuration is upstream's unless it is given.
//! * The objects that are checked are context too, and win over `--context`. What they say counts, but what they lack
//!   does not: the cluster may have it.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::manifest::Object;
use crate::{
    finding::Finding,
    review::Kind,
    snapshot::{Freshness, Part, Seen, Snapshot},
};

/// Rules that say that something is not there. All others conclude from what is.
const CONCLUDE_FROM_ABSENCE: [&str; 10] = [
    "IS-C03", "IS-C05", "IS-C16", "IS-C23", "LM-C02", "LN-V01", "PR-C04", "PR-C05", "PR-C07", "TM-C01",
];

const RUNTIMES: [Part; 2] = [Part::ServingRuntimes, Part::ClusterServingRuntimes];

type Key = (Kind, String, String);

/// The cluster as far as it is known.
#[derive(Debug)]
pub(super) struct Context {
    namespace: String,
    snapshot: Snapshot,
    /// Parts that are known in full.
    complete: BTreeSet<Part>,
    old: HashMap<Key, Value>,
}

impl Context {
    /// Nothing is known. Objects without a namespace are in `namespace`.
    pub(super) fn new(namespace: &str) -> Self {
        let mut snapshot = Snapshot::default();
        // Everybody has the built-in schemes, and few have others: those come with `--context`.
        snapshot.set_freshness(Part::StorageContainers, Freshness::Synced);
        Self {
            namespace: namespace.to_owned(),
            snapshot,
            complete: BTreeSet::new(),
            old: HashMap::new(),
        }
    }

    /// Whose namespace objects without one are in.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What rules look up.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes in an object of `--context`.
    pub(super) fn know(&mut self, object: &Object) -> Result<(), String> {
        for part in self.observe(object)? {
            self.complete.insert(part);
        }
        self.complete.insert(Part::Config);
        self.snapshot.set_freshness(Part::Config, Freshness::Synced);
        Ok(())
    }

    /// Takes in an object that is checked.
    pub(super) fn add(&mut self, object: &Object) -> Result<(), String> {
        self.observe(object).map(drop)
    }

    fn observe(&mut self, object: &Object) -> Result<Vec<Part>, String> {
        let seen = self.snapshot.observe(&object.value, &self.namespace);
        let parts = match seen.map_err(|err| err.to_string())? {
            Seen::Irrelevant => Vec::new(),
            Seen::Stored(part) if RUNTIMES.contains(&part) => RUNTIMES.to_vec(),
            Seen::Stored(part) => vec![part],
        };
        for part in &parts {
            self.snapshot.set_freshness(*part, Freshness::Synced);
        }
        Ok(parts)
    }

    /// Takes in an object of `--old`.
    pub(super) fn remember(&mut self, object: Object) {
        if let Some(key) = self.key(&object) {
            self.old.insert(key, object.value);
        }
    }

    /// The object as it is stored.
    pub(super) fn old(&self, object: &Object) -> Option<&Value> {
        if self.old.is_empty() {
            return None;
        }
        self.old.get(&self.key(object)?)
    }

    fn key(&self, object: &Object) -> Option<Key> {
        let namespace = object.namespace(&self.namespace).to_owned();
        Some((object.kind?, namespace, object.metadata("name").to_owned()))
    }

    /// Whether the finding holds: what the checked objects lack may be in the cluster.
    pub(super) fn is_certain(&self, finding: &Finding) -> bool {
        let absence = CONCLUDE_FROM_ABSENCE.contains(&finding.rule.id);
        !absence || finding.rule.needs.iter().all(|part| self.complete.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn rules_of_absence_exist_and_look_something_up() {
        for id in CONCLUDE_FROM_ABSENCE {
            let rule = rules::find(id).unwrap_or_else(|| panic!("there is no rule {id}"));
            assert!(!rule.needs.is_empty(), "{id}");
        }
    }
}
