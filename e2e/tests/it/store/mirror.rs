//! What a router does with a follower.

use std::collections::BTreeMap;

use router::store::{Batch, Change, Entry, Follower, Store};
use tokio::time;

use crate::support::SOON;

/// A copy of what is under a prefix, and what was told about it.
#[derive(Debug)]
pub(super) struct Mirror {
    follower: Follower,
    pub(super) entries: BTreeMap<Box<str>, Entry>,
    pub(super) revision: u64,
    /// Complete ones.
    pub(super) snapshots: usize,
    pub(super) stale: Option<String>,
    pub(super) pages: usize,
    pub(super) largest: usize,
    /// All changes of a revision come in one batch.
    in_snapshot: bool,
}

impl Mirror {
    pub(super) fn new(store: &dyn Store, prefix: &str) -> Self {
        Self {
            follower: store.follow(prefix),
            entries: BTreeMap::new(),
            revision: 0,
            snapshots: 0,
            stale: None,
            pages: 0,
            largest: 0,
            in_snapshot: false,
        }
    }

    /// With its first snapshot.
    pub(super) async fn started(store: &dyn Store, prefix: &str) -> Self {
        let mut mirror = Self::new(store, prefix);
        mirror
            .until("first snapshot", |mirror| mirror.snapshots > 0)
            .await;
        mirror
    }

    /// Applies batches until it is as wanted.
    pub(super) async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let wait = async {
            while !reached(self) {
                let batch = self.follower.next().await.expect("the follower goes on");
                self.apply(batch);
            }
        };
        let waited = time::timeout(SOON, wait).await;
        assert!(waited.is_ok(), "{what}: not within {SOON:?}: {self:?}");
    }

    /// The follower ends, after whatever it has.
    pub(super) async fn ended(mut self) {
        let wait = async { while self.follower.next().await.is_some() {} };
        time::timeout(SOON, wait).await.expect("the follower ends");
    }

    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        self.entries.get(key).map(|entry| &entry.value[..])
    }

    fn apply(&mut self, batch: Batch) {
        if let Batch::Stale { error } = batch {
            self.stale = Some(error);
            return;
        }
        self.stale = None;
        match batch {
            Batch::Begin { .. } => {
                self.entries.clear();
                self.in_snapshot = true;
            }
            Batch::Page(page) => {
                assert!(self.in_snapshot && !page.is_empty());
                self.pages += 1;
                self.largest = self.largest.max(page.len());
                for entry in page {
                    let twice = self.entries.insert(entry.key.clone(), entry);
                    assert_eq!(twice, None);
                }
            }
            Batch::End { revision } => {
                assert!(self.in_snapshot);
                self.in_snapshot = false;
                self.snapshots += 1;
                self.revision = revision;
            }
            Batch::Changes { changes, revision } => {
                assert!(!self.in_snapshot && revision >= self.revision);
                let mut last = self.revision;
                for change in changes {
                    assert!(
                        change.revision() > self.revision,
                        "a revision in two batches: {change:?}"
                    );
                    assert!(change.revision() >= last && change.revision() <= revision);
                    last = change.revision();
                    match change {
                        Change::Put(entry) => drop(self.entries.insert(entry.key.clone(), entry)),
                        Change::Delete { key, .. } => drop(self.entries.remove(&key)),
                    }
                }
                self.revision = revision;
            }
            Batch::Stale { .. } => {}
        }
    }
}
