//! The store that routers share, in memory and in etcd: one suite for both, and what only etcd can go through.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod faults;
mod large;
mod mirror;
mod secure;

use std::{path::Path, sync::Arc, time::Duration};

use e2e::etcd::Etcd;
use router::store::{
    Entry, Op, Outcome, Store, StoreError, Txn,
    etcd::{self, Options, config::Config},
};

use self::mirror::Mirror;

/// Where the keys of the tests are.
const ROOT: &str = "/mm/test/";

/// Short times, so that a test sees what a router sees once in a while.
fn options(kv_store: &str) -> Options {
    Options {
        session: Duration::from_secs(6),
        progress: Duration::from_millis(300),
        stale_after: Duration::from_secs(3),
        ..Options::new(Config::parse(kv_store).unwrap(), ROOT)
    }
}

async fn connect(kv_store: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(etcd::Etcd::connect(options(kv_store)).await?))
}

/// A store in this etcd.
async fn store(etcd: &Etcd) -> Arc<dyn Store> {
    connect(&format!("etcd:{}", etcd.endpoints())).await.unwrap()
}

/// A store with the settings of a file.
async fn store_of(file: &Path) -> Result<Arc<dyn Store>, StoreError> {
    connect(&format!("etcd:{}", file.display())).await
}

fn put(key: &str, value: impl AsRef<[u8]>) -> Op {
    Op::Put {
        key: key.into(),
        value: value.as_ref().to_vec().into(),
    }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

/// Commits what cannot conflict; returns the revision.
async fn commit(store: &dyn Store, ops: Vec<Op>) -> u64 {
    committed(try_commit(store, ops).await.unwrap())
}

async fn try_commit(store: &dyn Store, ops: Vec<Op>) -> Result<Outcome, StoreError> {
    let compare = Vec::new();
    store.commit(Txn { compare, ops }).await
}

fn committed(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Committed { revision } => revision,
        Outcome::Conflict(read) => panic!("conflict: {read:?}"),
    }
}

async fn get(store: &dyn Store, key: &str) -> Option<Entry> {
    store.get(&[key.to_owned()]).await.unwrap().entries.remove(0)
}
