//! From the answers of a watch to batches of changes. Pure.

use api::etcd::WatchResponse;

use super::{
    calls::revision_of,
    keys::{Root, number},
};
use crate::store::{
    Batch, Change,
    follow::{PAGE_BYTES, PAGE_ENTRIES},
};

/// Why a watch cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What it wants is compacted away, or etcd lost its data: only a snapshot helps.
    Snapshot(String),
    /// Another watch from where it stopped.
    Again(String),
}

/// Where a watch is.
#[derive(Debug)]
pub(super) struct Assembler {
    root: Root,
    /// Everything up to here was passed on.
    reached: u64,
    /// What etcd said last of how far it is. Believed when it says so the next time: etcd before 3.5.8 may say it before the
    /// changes that led there.
    said: u64,
    /// Changes of the latest revision of an answer that goes on.
    pending: Vec<Change>,
}

impl Assembler {
    /// After a snapshot, or another watch, that reached this revision.
    pub(super) fn new(root: Root, reached: u64) -> Self {
        Self {
            root,
            reached,
            said: 0,
            pending: Vec::new(),
        }
    }

    /// Where to go on.
    pub(super) fn reached(&self) -> u64 {
        self.reached
    }

    /// The batches that an answer completes, at least one: it is a sign of life.
    pub(super) fn push(&mut self, answer: WatchResponse) -> Result<Vec<Batch>, End> {
        let revision = revision_of(answer.header.as_ref());
        if answer.compact_revision > 0 {
            let compacted = answer.compact_revision;
            return Err(End::Snapshot(format!(
                "changes before revision {compacted} are compacted"
            )));
        }
        if answer.canceled {
            return Err(End::Again(format!(
                "etcd ended the watch: {}",
                answer.cancel_reason
            )));
        }
        if answer.created {
            // A member may be behind the one that was heard before.
            return Ok(vec![self.progress()]);
        }
        if answer.events.is_empty() && !answer.fragment && self.pending.is_empty() {
            if revision < self.said {
                let said = self.said;
                return Err(End::Snapshot(format!(
                    "etcd went back from revision {said} to {revision}"
                )));
            }
            self.reached = self.reached.max(self.said);
            self.said = revision;
            return Ok(vec![self.progress()]);
        }
        for event in answer.events {
            let revision = event.kv.as_ref().map_or(0, |kv| number(kv.mod_revision));
            // Passed on before: a watch may begin with what was there.
            if revision > self.reached {
                self.pending.extend(self.root.change(event));
            }
        }
        Ok(self.complete(answer.fragment))
    }

    fn progress(&self) -> Batch {
        Batch::Changes {
            changes: Vec::new(),
            revision: self.reached,
        }
    }

    /// Batches of whole revisions. The last one is not whole while the answer goes on.
    fn complete(&mut self, goes_on: bool) -> Vec<Batch> {
        let mut batches = Vec::new();
        let open = match self.pending.last() {
            Some(last) if goes_on => last.revision(),
            _ => u64::MAX,
        };
        let whole = self.pending.partition_point(|change| change.revision() < open);
        let rest = self.pending.split_off(whole);
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for change in std::mem::replace(&mut self.pending, rest) {
            let revision = change.revision();
            if revision != self.reached && (changes.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES) {
                bytes = 0;
                let changes = std::mem::take(&mut changes);
                let revision = self.reached;
                batches.push(Batch::Changes { changes, revision });
            }
            self.reached = revision;
            bytes += size(&change);
            changes.push(change);
        }
        let revision = self.reached;
        batches.push(Batch::Changes { changes, revision });
        batches
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Put(entry) => entry.key.len() + entry.value.len(),
        Change::Delete { key, .. } => key.len(),
    }
}

#[cfg(test)]
mod tests;
