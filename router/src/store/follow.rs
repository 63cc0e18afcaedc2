//! Everything under a prefix, and every change to it.

use std::fmt;

use tokio::{sync::mpsc, task::JoinHandle};

use super::Entry;

/// Batches that wait for a reader. Each is bounded too, by [`PAGE_ENTRIES`] and [`PAGE_BYTES`] or by a transaction, so
/// that a slow reader slows the source and does not fill the memory.
pub(super) const BUFFER: usize = 8;
/// Most entries in a page, or changes in a batch that are not of one revision.
pub(super) const PAGE_ENTRIES: usize = 1000;
/// A page or batch ends when its keys and values are this long, in bytes; a single larger entry still fits in one.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created or replaced.
    Put(Entry),
    /// It was deleted.
    Delete {
        /// The key.
        key: Box<str>,
        /// Revision of the deletion.
        revision: u64,
    },
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// When it changed.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// What a [`Follower`] hears, in this order: a snapshot (`Begin`, `Page`s, `End`), then `Changes`; from time to time
/// `Stale`, and a snapshot anew, which replaces what was mirrored before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// A snapshot begins: the `Page`s up to `End` are all there is at this revision. When another `Begin` comes before
    /// `End`, the first one is void.
    Begin {
        /// Revision of the snapshot.
        revision: u64,
    },
    /// A part of the snapshot, in the order of the keys.
    Page(Vec<Entry>),
    /// The snapshot is complete.
    End {
        /// Revision of the snapshot.
        revision: u64,
    },
    /// Changes in the order of their revisions, those of one revision always together; none = all is well, and nothing
    /// has changed.
    Changes {
        /// The changes.
        changes: Vec<Change>,
        /// What was mirrored is now what the store held at this revision. Never goes down, except with a snapshot of a
        /// store that lost its data.
        revision: u64,
    },
    /// Nothing was heard for too long, or the connection is gone: what is mirrored may be old, until another batch comes.
    Stale {
        /// Why.
        error: String,
    },
}

/// Receives [`Batch`]es. Dropping it ends the work behind it.
pub struct Follower {
    batches: mpsc::Receiver<Batch>,
    task: JoinHandle<()>,
}

impl Follower {
    pub(super) fn new(batches: mpsc::Receiver<Batch>, task: JoinHandle<()>) -> Self {
        Self { batches, task }
    }

    /// The next batch; none when the store was closed. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Batches that wait to be received. What is not read is kept back at its source.
    pub fn waiting(&self) -> usize {
        self.batches.len()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
