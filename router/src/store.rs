//! The store that the routers of a cluster share: small values under keys, versions, transactions, and changes as a stream.
//!
//! Everything that is decided together by many routers goes through [`Store::commit`], which compares before it
//! writes; everything that is read often comes from a mirror that a [`Follower`] feeds. Two implementations pass the
//! same tests: [`memory`] within one process, with a file if asked to, and etcd (feature `etcd`).
//!
//! Keys are relative to the cluster's root; `api::records` says which there are.

mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
mod follow;
pub mod leader;
pub mod memory;
mod txn;

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{sync::watch, time::Instant};

pub use self::{
    error::StoreError,
    follow::{Batch, Change, Follower},
    txn::{MAX_KEYS, Op, Outcome, Txn},
};

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, relative to the cluster's root.
    pub key: Box<str>,
    /// The value.
    pub value: Bytes,
    /// Revision of the store at which it was written last.
    pub revision: u64,
    /// Revision at which it was created; another one after it was deleted and created again.
    pub created: u64,
}

impl fmt::Debug for Entry {
    /// Without the value, which may hold a model's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{}+{} ({} bytes)",
            self.key,
            self.created,
            self.revision.saturating_sub(self.created),
            self.value.len()
        )
    }
}

/// Values at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Revision of the whole store.
    pub revision: u64,
    /// In the order of the keys that were asked for; none where there is nothing.
    pub entries: Vec<Option<Entry>>,
}

/// Keys and values with versions, shared by all routers of a cluster.
///
/// Revisions grow with every write to the store, anywhere in it. All waiting is bounded by deadlines of the
/// implementation.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The latest values, all of one revision: nothing that was committed before the call is missing. At most
    /// [`MAX_KEYS`] keys.
    fn get<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Result<Read, StoreError>>;

    /// Writes all of it or nothing. Keys that are held ([`Store::hold`]) are not written in this way.
    ///
    /// After [`StoreError::Ambiguous`] it may have happened, or happen later: read again before deciding.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// Everything under `prefix`, and then every change to it. Heals itself for ever; ends when dropped. Needs a tokio
    /// runtime.
    fn follow(&self, prefix: &str) -> Follower;

    /// Binds `key` to the session of this store, with this value: put now, and again whenever the session had to be made
    /// anew; gone when the session ends. A key that is held already gets the new value. Returns the revision.
    ///
    /// When it fails the key is held all the same, and put as soon as that is possible.
    fn hold<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Deletes a key that is held. When it fails the key is held no longer all the same, and goes with the session at the
    /// latest.
    fn release<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Until when the session certainly lives; none while there is no session. What only one router may do, it does only
    /// while its session lives.
    fn session(&self) -> watch::Receiver<Option<Instant>>;

    /// Ends the session: what is held is deleted, as far as the store can be reached. Every later write fails with
    /// [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}
