//! The store of one process: in memory, and in a file if it shall outlive the process.
//!
//! A commit returns when its line is with the operating system, and the file is synced within [`SYNC`]: the end of the
//! process loses nothing, the end of the machine what was not synced.

mod follow;
mod journal;
mod state;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use self::{journal::Journal, state::State};
use super::{Follower, Op, Outcome, Read, Store, StoreError, Txn, txn};

pub use self::journal::JournalError;

/// A change is on the disk so much later at the latest.
const SYNC: Duration = Duration::from_secs(1);
/// Largest transaction, in bytes of keys and values: what etcd takes unless told otherwise.
const MAX_TXN: usize = 3 << 19;
/// A session in memory cannot be lost; clocks can hold this.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// A store in memory, with a session of its own. Clones share data and session; both go with the last of them.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

/// What all sessions share.
struct Shared {
    state: Mutex<State>,
    /// The revision, for those who wait for changes.
    revision: watch::Sender<u64>,
    /// Locked before `state`.
    journal: Option<Mutex<Journal>>,
    /// The file has lines that are not synced, and somebody will do it.
    unsynced: AtomicBool,
}

struct Session {
    shared: Arc<Shared>,
    id: u64,
    /// None once it was closed.
    ends: watch::Sender<Option<Instant>>,
}

impl Memory {
    /// An empty store that ends with the process.
    pub fn new() -> Self {
        Self::with(State::default(), None)
    }

    /// A store in a file, which is created if there is none. What was held is not in there: sessions end with their
    /// process. Reads the whole file, so it blocks. The file is this process's alone until the store is dropped.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut state = State::default();
        let journal = Journal::open(path, &mut state)?;
        Ok(Self::with(state, Some(journal)))
    }

    fn with(state: State, journal: Option<Journal>) -> Self {
        let shared = Arc::new(Shared {
            revision: watch::Sender::new(state.revision()),
            state: Mutex::new(state),
            journal: journal.map(Mutex::new),
            unsynced: AtomicBool::new(false),
        });
        let session = Session::new(shared.clone());
        Self {
            shared,
            session: Arc::new(session),
        }
    }

    /// The same data with another session, as another router has it.
    #[must_use]
    pub fn another_session(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            session: Arc::new(Session::new(self.shared.clone())),
        }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match *self.session.ends.borrow() {
            Some(_) => Ok(()),
            None => Err(StoreError::Closed),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// Does something with the state, and tells followers if that made a revision.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let now = state.revision();
        // Under the lock, so that revisions are told in order.
        self.revision.send_if_modified(|revision| {
            let changed = *revision != now;
            *revision = now;
            changed
        });
        result
    }

    /// Blocks on the file when there is one: readers wait while a line is written, not while the file is synced or
    /// rewritten.
    fn commit(&self, txn: &Txn) -> Result<Outcome, StoreError> {
        let mut journal = self.journal.as_ref().map(Mutex::lock);
        let outcome = self.change(|state| {
            if let Some(conflict) = state.check(txn)? {
                return Ok(Outcome::Conflict(conflict));
            }
            if let Some(journal) = &mut journal
                && !txn.ops.is_empty()
            {
                journal.append(state.revision() + 1, &txn.ops)?;
            }
            let revision = state.apply(&txn.ops);
            Ok(Outcome::Committed { revision })
        });
        if let Some(journal) = &mut journal
            && journal.wants_rewrite()
        {
            let entries = self.state.lock().lasting();
            journal.rewrite(&entries);
        }
        outcome
    }

    fn sync(&self) {
        self.unsynced.store(false, Ordering::Release);
        if let Some(journal) = &self.journal {
            journal.lock().sync();
        }
    }
}

impl Session {
    fn new(shared: Arc<Shared>) -> Self {
        let id = shared.state.lock().new_session();
        let ends = watch::Sender::new(Some(Instant::now() + FOR_EVER));
        Self { shared, id, ends }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.change(|state| state.end_session(self.id));
    }
}

/// Commits in the file's way, off the runtime's threads.
async fn commit_to_file(shared: Arc<Shared>, txn: Txn) -> Result<Outcome, StoreError> {
    let committed = tokio::task::spawn_blocking({
        let shared = shared.clone();
        move || shared.commit(&txn)
    });
    let outcome = committed
        .await
        .map_err(|err| StoreError::Ambiguous(format!("its thread ended: {err}")))??;
    if matches!(outcome, Outcome::Committed { .. }) && !shared.unsynced.swap(true, Ordering::AcqRel) {
        // Dropping the journal syncs too: a store that is gone needs nobody to do it.
        let shared = Arc::downgrade(&shared);
        tokio::spawn(async move {
            tokio::time::sleep(SYNC).await;
            if let Some(shared) = shared.upgrade() {
                // Fails only when the runtime ends.
                let _ = tokio::task::spawn_blocking(move || shared.sync()).await;
            }
        });
    }
    Ok(outcome)
}

impl Store for Memory {
    fn get<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Result<Read, StoreError>> {
        async move {
            txn::check_keys(keys)?;
            Ok(self.shared.state.lock().read(keys.iter().map(String::as_str)))
        }
        .boxed()
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        async move {
            self.check_open()?;
            txn.check()?;
            check_size(&txn.ops)?;
            if self.shared.journal.is_some() {
                commit_to_file(self.shared.clone(), txn).await
            } else {
                self.shared.commit(&txn)
            }
        }
        .boxed()
    }

    fn follow(&self, prefix: &str) -> Follower {
        follow::start(self.shared.clone(), self.session.ends.subscribe(), prefix.into())
    }

    fn hold<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            self.check_open()?;
            txn::check_key(key)?;
            let key = key.to_owned();
            let put = [Op::Put { key, value }];
            check_size(&put)?;
            Ok(self.shared.change(|state| state.hold(&put, self.session.id)))
        }
        .boxed()
    }

    fn release<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.check_open()?;
            self.shared.change(|state| state.release(key, self.session.id));
            Ok(())
        }
        .boxed()
    }

    fn session(&self) -> watch::Receiver<Option<Instant>> {
        self.session.ends.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.session.ends.send_replace(None);
            self.shared.change(|state| state.end_session(self.session.id));
            if self.shared.journal.is_some() {
                let shared = self.shared.clone();
                let _ = tokio::task::spawn_blocking(move || shared.sync()).await;
            }
        }
        .boxed()
    }
}

fn check_size(ops: &[Op]) -> Result<(), StoreError> {
    let size: usize = ops
        .iter()
        .map(|op| match op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
        })
        .sum();
    if size > MAX_TXN {
        return Err(StoreError::TooLarge(format!(
            "{size} bytes of keys and values, at most {MAX_TXN}"
        )));
    }
    Ok(())
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("revision", &*self.revision.borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
