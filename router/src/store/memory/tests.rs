use std::{collections::BTreeMap, fs};

use tempfile::TempDir;

use super::*;
use crate::store::{Batch, Change, Entry, MAX_KEYS};

fn put(key: &str, value: &str) -> Op {
    Op::Put {
        key: key.into(),
        value: value.to_owned().into(),
    }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

/// Commits without comparison; returns the revision.
async fn commit(store: &Memory, ops: Vec<Op>) -> u64 {
    let compare = Vec::new();
    match store.commit(Txn { compare, ops }).await.unwrap() {
        Outcome::Committed { revision } => revision,
        Outcome::Conflict(read) => panic!("conflict without comparison: {read:?}"),
    }
}

async fn get(store: &Memory, key: &str) -> Option<Entry> {
    store.get(&[key.to_owned()]).await.unwrap().entries.remove(0)
}

/// What a follower mirrors.
#[derive(Debug, Default)]
struct Mirror {
    entries: BTreeMap<Box<str>, Entry>,
    revision: u64,
    snapshots: u64,
    largest_page: usize,
}

impl Mirror {
    fn apply(&mut self, batch: Batch) {
        match batch {
            Batch::Begin { .. } => self.entries.clear(),
            Batch::Page(page) => {
                self.largest_page = self.largest_page.max(page.len());
                self.entries
                    .extend(page.into_iter().map(|entry| (entry.key.clone(), entry)));
            }
            Batch::End { revision } => {
                self.revision = revision;
                self.snapshots += 1;
            }
            Batch::Changes { changes, revision } => {
                for change in changes {
                    assert!(change.revision() > self.revision && change.revision() <= revision);
                    match change {
                        Change::Put(entry) => drop(self.entries.insert(entry.key.clone(), entry)),
                        Change::Delete { key, .. } => drop(self.entries.remove(&key)),
                    }
                }
                self.revision = revision;
            }
            Batch::Stale { error } => panic!("stale: {error}"),
        }
    }

    async fn reach(&mut self, follower: &mut Follower, revision: u64) {
        while self.revision < revision || self.snapshots == 0 {
            self.apply(follower.next().await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_follower_that_falls_behind_reads_everything_again() {
    let store = Memory::new();
    commit(&store, vec![put("a/1", "old"), put("b/1", "x")]).await;
    let mut follower = store.follow("a/");
    let mut mirror = Mirror::default();
    mirror.reach(&mut follower, 1).await;
    assert_eq!(mirror.entries.len(), 1);
    // More than the log and the channel hold.
    let mut last = 0;
    for round in 0..300 {
        let ops = (0..MAX_KEYS).map(|n| put(&format!("a/{n}"), &format!("{round}")));
        last = commit(&store, ops.collect()).await;
    }
    last = commit(&store, vec![delete("a/1")]).await.max(last);
    mirror.reach(&mut follower, last).await;
    assert!(mirror.snapshots > 1);
    assert_eq!(mirror.entries.len(), MAX_KEYS - 1);
    assert!(mirror.entries.values().all(|entry| entry.value == "299"));
}

#[tokio::test]
async fn a_large_snapshot_comes_in_pages() {
    let store = Memory::new();
    for page in 0..40 {
        let ops = (0..100).map(|n| put(&format!("a/{page}-{n}"), "v"));
        commit(&store, ops.collect()).await;
    }
    let mut follower = store.follow("a/");
    let mut mirror = Mirror::default();
    mirror.reach(&mut follower, 40).await;
    assert_eq!((mirror.entries.len(), mirror.largest_page), (4000, 1000));
}

#[tokio::test]
async fn held_keys_go_with_their_session() {
    let store = Memory::new();
    let other = store.another_session();
    other.hold("instances/b", "1".into()).await.unwrap();
    let revision = other.hold("instances/b", "2".into()).await.unwrap();
    store.hold("instances/a", "1".into()).await.unwrap();
    let held = get(&store, "instances/b").await.unwrap();
    assert_eq!((held.revision, held.created), (revision, 1));
    assert!(matches!(
        store.commit(Txn { compare: vec![], ops: vec![put("instances/b", "mine")] }).await,
        Err(StoreError::Invalid(reason)) if reason.contains("instances/b")
    ));
    // Only its own session releases it.
    store.release("instances/b").await.unwrap();
    assert!(get(&store, "instances/b").await.is_some());

    let mut session = other.session();
    assert!(session.borrow_and_update().is_some());
    other.close().await;
    assert!(session.borrow_and_update().is_none());
    assert!(get(&store, "instances/b").await.is_none());
    assert_eq!(other.hold("k", "v".into()).await, Err(StoreError::Closed));

    let third = store.another_session();
    third.hold("instances/c", "1".into()).await.unwrap();
    drop(third);
    assert!(get(&store, "instances/c").await.is_none());
    assert!(get(&store, "instances/a").await.is_some());
}

#[tokio::test]
async fn a_follower_ends_when_its_store_is_closed() {
    let store = Memory::new();
    let mut follower = store.follow("");
    assert_eq!(follower.next().await, Some(Batch::Begin { revision: 0 }));
    store.close().await;
    while follower.next().await.is_some() {}
}

#[tokio::test]
async fn a_file_outlives_the_process() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let store = Memory::open(&path).unwrap();
    commit(&store, vec![put("a", "1"), put("b", "1")]).await;
    commit(&store, vec![put("a", "2")]).await;
    store.hold("instances/x", "held".into()).await.unwrap();
    let binary = Op::Put {
        key: "c".into(),
        value: Bytes::from_static(b"\xff\0\n"),
    };
    let last = commit(&store, vec![delete("b"), binary]).await;
    let before = (get(&store, "a").await, get(&store, "c").await);
    assert!(matches!(
        Memory::open(&path),
        Err(JournalError::InUse { path: named }) if named == path
    ));
    drop(store);

    let store = Memory::open(&path).unwrap();
    assert_eq!((get(&store, "a").await, get(&store, "c").await), before);
    assert_eq!(
        before.0.map(|entry| (entry.created, entry.revision)),
        Some((1, 2))
    );
    assert!(get(&store, "b").await.is_none());
    assert!(get(&store, "instances/x").await.is_none());
    assert!(commit(&store, vec![put("d", "1")]).await > last);
}

#[tokio::test]
async fn history_does_not_fill_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let store = Memory::open(&path).unwrap();
    let long = "x".repeat(100_000);
    for n in 0..100 {
        commit(&store, vec![put("long", &long), put("count", &n.to_string())]).await;
    }
    let revision = get(&store, "count").await.unwrap().revision;
    drop(store);
    assert!(fs::metadata(&path).unwrap().len() < 2 << 20);
    let store = Memory::open(&path).unwrap();
    let count = get(&store, "count").await.unwrap();
    assert_eq!(
        (&count.value[..], count.revision, count.created),
        (&b"99"[..], revision, 1)
    );
}
