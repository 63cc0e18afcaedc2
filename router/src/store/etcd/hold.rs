//! Keys that live as long as the session.
//!
//! One task puts them, so that an old value never follows a newer one.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};
use tracing::warn;

use super::{calls::Calls, lease::Lease};
use crate::store::{Op, StoreError, Txn};

/// Requests that wait. A router holds two keys and changes them every few seconds.
pub(super) const QUEUE: usize = 64;
/// Keys that could not be put are tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What is asked of the task.
#[derive(Debug)]
pub(super) enum Command {
    Hold {
        key: String,
        value: Bytes,
        done: oneshot::Sender<Result<u64, StoreError>>,
    },
    Release {
        key: String,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// The way to the task.
#[derive(Debug)]
pub(super) struct Holds {
    commands: mpsc::Sender<Command>,
    /// Known without asking the task, which may be waiting for etcd.
    keys: Mutex<HashSet<String>>,
}

impl Holds {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        let keys = Mutex::default();
        Self { commands, keys }
    }

    pub(super) async fn hold(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        let key = key.to_owned();
        self.keys.lock().insert(key.clone());
        let (done, result) = oneshot::channel();
        self.ask(Command::Hold { key, value, done }, result).await?
    }

    pub(super) async fn release(&self, key: &str) -> Result<(), StoreError> {
        let (done, result) = oneshot::channel();
        let command = Command::Release {
            key: key.to_owned(),
            done,
        };
        let released = self.ask(command, result).await?;
        self.keys.lock().remove(key);
        released
    }

    /// Refuses a transaction that writes what is held here.
    pub(super) fn check_free(&self, txn: &Txn) -> Result<(), StoreError> {
        let keys = self.keys.lock();
        match txn.ops.iter().map(Op::key).find(|key| keys.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(StoreError::Invalid(format!(
                "key {key:?} is held by a session, which alone may write it"
            ))),
        }
    }

    async fn ask<T>(&self, command: Command, result: oneshot::Receiver<T>) -> Result<T, StoreError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)
    }
}

struct Holder {
    calls: Calls,
    lease: watch::Receiver<Lease>,
    held: BTreeMap<String, Bytes>,
    /// Those of them that etcd may not have.
    missing: BTreeSet<String>,
}

pub(super) async fn run(calls: Calls, mut commands: mpsc::Receiver<Command>, lease: watch::Receiver<Lease>) {
    let mut holder = Holder {
        calls,
        lease,
        held: BTreeMap::new(),
        missing: BTreeSet::new(),
    };
    loop {
        let incomplete = !holder.missing.is_empty();
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => holder.obey(command).await,
                None => return,
            },
            changed = holder.lease.changed() => match changed {
                Ok(()) => {
                    holder.missing = holder.held.keys().cloned().collect();
                    holder.put_missing().await;
                }
                Err(_) => return,
            },
            () = time::sleep(AGAIN), if incomplete => holder.put_missing().await,
        }
    }
}

impl Holder {
    async fn obey(&mut self, command: Command) {
        // Nobody waits for an answer any more when sending it fails.
        match command {
            Command::Hold { key, value, done } => {
                self.held.insert(key.clone(), value);
                let _ = done.send(self.put(&key).await);
            }
            Command::Release { key, done } => {
                self.missing.remove(&key);
                let result = match self.held.remove(&key) {
                    None => Ok(()),
                    Some(_) => self.calls.delete(&key).await,
                };
                let _ = done.send(result);
            }
        }
    }

    async fn put(&mut self, key: &str) -> Result<u64, StoreError> {
        let Some(value) = self.held.get(key) else {
            return Ok(0);
        };
        let id = self.lease.borrow().id;
        let result = match self.calls.put(key, value, id).await {
            // The lease is gone; its keeper will find out.
            Err(StoreError::Invalid(reason)) if reason.contains("lease not found") => {
                Err(StoreError::Unavailable(reason))
            }
            result => result,
        };
        match &result {
            Ok(_) => self.missing.remove(key),
            Err(_) => self.missing.insert(key.to_owned()),
        };
        result
    }

    async fn put_missing(&mut self) {
        for key in self.missing.clone() {
            if let Err(err) = self.put(&key).await {
                warn!(%key, error = %err, "a key of this router's session is not in etcd");
                return;
            }
        }
    }
}
