//! What every store does. Each case has keys of its own, so that all of them share one store.

use std::{sync::Arc, time::Duration};

use e2e::etcd::{Etcd, Options};
use futures::future::{BoxFuture, join_all};
use router::store::{MAX_KEYS, Outcome, Store, StoreError, Txn, memory::Memory};
use tempfile::TempDir;
use tokio::time::{self, Instant};

use super::{Mirror, commit, committed, delete, get, put, store, try_commit};
use crate::support::SOON;

/// Opens the same data with another session.
type Open<'a> = dyn Fn() -> BoxFuture<'a, Arc<dyn Store>> + 'a;

async fn conform(open: &Open<'_>) {
    let store = open().await;
    reads(&*store).await;
    comparisons(&*store).await;
    all_or_nothing(&*store).await;
    refusals(&*store).await;
    values(&*store).await;
    counting(&[store.clone(), open().await]).await;
    following(&*store).await;
    pages(&*store).await;
    sessions(open).await;
    order_of_candidates(open).await;
}

#[tokio::test]
async fn memory() {
    let memory = Memory::new();
    conform(&|| {
        let store: Arc<dyn Store> = Arc::new(memory.another_session());
        Box::pin(async { store })
    })
    .await;
}

#[tokio::test]
async fn memory_with_a_file() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::open(&folder.path().join("store")).unwrap();
    conform(&|| {
        let store: Arc<dyn Store> = Arc::new(memory.another_session());
        Box::pin(async { store })
    })
    .await;
}

#[tokio::test]
async fn etcd_of_one_member() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    conform(&|| Box::pin(store(&etcd))).await;
}

#[tokio::test]
async fn etcd_of_three_members() {
    let options = Options {
        members: 3,
        ..Options::default()
    };
    let etcd = Etcd::start(options).await.unwrap();
    conform(&|| Box::pin(store(&etcd))).await;
}

async fn reads(store: &dyn Store) {
    let first = commit(store, vec![put("reads/a", "1")]).await;
    let second = commit(store, vec![put("reads/b", "2")]).await;
    assert!(second > first && first > 0);
    let keys = ["reads/b", "reads/none", "reads/a", "reads/b"].map(str::to_owned);
    let read = store.get(&keys).await.unwrap();
    assert!(read.revision >= second);
    let found: Vec<_> = read
        .entries
        .iter()
        .map(|entry| entry.as_ref().map(|entry| &*entry.key))
        .collect();
    assert_eq!(found, [Some("reads/b"), None, Some("reads/a"), Some("reads/b")]);
    assert_eq!(store.get(&[]).await.unwrap().entries, []);
}

async fn comparisons(store: &dyn Store) {
    let txn = |revision, ops| Txn {
        compare: vec![("cas/a".to_owned(), revision)],
        ops,
    };
    let created = committed(store.commit(txn(0, vec![put("cas/a", "1")])).await.unwrap());
    let Outcome::Conflict(read) = store.commit(txn(0, vec![put("cas/a", "2")])).await.unwrap() else {
        panic!("created twice");
    };
    let there = read.entries[0].clone().unwrap();
    assert_eq!(
        (&there.value[..], there.revision, there.created),
        (&b"1"[..], created, created)
    );
    let changed = committed(store.commit(txn(created, vec![put("cas/a", "2")])).await.unwrap());
    let there = get(store, "cas/a").await.unwrap();
    assert_eq!((there.revision, there.created), (changed, created));
    assert!(matches!(
        store.commit(txn(created, vec![delete("cas/a")])).await.unwrap(),
        Outcome::Conflict(_)
    ));
    committed(store.commit(txn(changed, vec![delete("cas/a")])).await.unwrap());
    let Outcome::Conflict(read) = store.commit(txn(changed, vec![put("cas/a", "3")])).await.unwrap() else {
        panic!("it was deleted");
    };
    assert_eq!(read.entries, [None]);
    let again = committed(store.commit(txn(0, vec![put("cas/a", "3")])).await.unwrap());
    assert_eq!(get(store, "cas/a").await.unwrap().created, again);
}

async fn all_or_nothing(store: &dyn Store) {
    let revision = commit(store, vec![put("all/a", "1"), put("all/b", "1")]).await;
    let txn = Txn {
        compare: vec![("all/a".into(), revision), ("all/b".into(), revision - 1)],
        ops: vec![put("all/a", "2"), delete("all/b"), put("all/c", "2")],
    };
    let Outcome::Conflict(read) = store.commit(txn.clone()).await.unwrap() else {
        panic!("a comparison does not hold");
    };
    assert_eq!(read.entries.len(), 2);
    assert_eq!(get(store, "all/a").await.unwrap().revision, revision);
    assert_eq!(get(store, "all/c").await, None);
    let compare = vec![("all/a".into(), revision), ("all/b".into(), revision)];
    let next = committed(store.commit(Txn { compare, ..txn }).await.unwrap());
    for (key, there) in [("all/a", Some(next)), ("all/b", None), ("all/c", Some(next))] {
        assert_eq!(get(store, key).await.map(|entry| entry.revision), there);
    }
    // Nothing to write: the comparison is the question.
    let compare = vec![("all/a".into(), next)];
    committed(store.commit(Txn { compare, ops: vec![] }).await.unwrap());
    // Deleting what is not there is no error.
    commit(store, vec![delete("all/none")]).await;
}

async fn refusals(store: &dyn Store) {
    let many: Vec<_> = (0..=MAX_KEYS).map(|n| put(&format!("bad/{n}"), "")).collect();
    let keys: Vec<_> = many.iter().map(|op| op.key().to_owned()).collect();
    for ops in [
        vec![put("bad/a", "1"), put("bad/a", "2")],
        vec![put("bad/a", "1"), delete("bad/a")],
        vec![put("", "1")],
        vec![put(&"x".repeat(5000), "1")],
        many,
    ] {
        let result = try_commit(store, ops).await;
        assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    }
    assert!(matches!(store.get(&keys).await, Err(StoreError::Invalid(_))));
    let result = try_commit(store, vec![put("bad/large", vec![0; 2 << 20])]).await;
    assert!(matches!(result, Err(StoreError::TooLarge(_))), "{result:?}");
    assert_eq!(get(store, "bad/large").await, None);
    // As many as fit are fine.
    commit(
        store,
        (1..=MAX_KEYS).map(|n| put(&format!("good/{n}"), "")).collect(),
    )
    .await;
}

async fn values(store: &dyn Store) {
    let long = vec![7; 1 << 20];
    for (key, value) in [
        ("values/empty", &b""[..]),
        ("values/binary", b"\0\xff\n"),
        ("values/long", &long),
        ("values/\u{e9}/ \n", b"odd key"),
    ] {
        commit(store, vec![put(key, value)]).await;
        assert_eq!(get(store, key).await.unwrap().value, value, "{key}");
    }
}

/// Tasks that add to one number, each with comparisons of its own.
async fn counting(stores: &[Arc<dyn Store>]) {
    const TASKS: usize = 6;
    const TIMES: usize = 20;
    let add = async |store: &dyn Store| {
        let key = "count";
        for _ in 0..TIMES {
            let mut there = get(store, key).await;
            loop {
                let (revision, count) = there.as_ref().map_or((0, 0), |entry| {
                    let count = std::str::from_utf8(&entry.value).unwrap();
                    (entry.revision, count.parse::<usize>().unwrap())
                });
                let txn = Txn {
                    compare: vec![(key.to_owned(), revision)],
                    ops: vec![put(key, (count + 1).to_string())],
                };
                match store.commit(txn).await.unwrap() {
                    Outcome::Committed { .. } => break,
                    Outcome::Conflict(mut read) => there = read.entries.remove(0),
                }
            }
        }
    };
    join_all((0..TASKS).map(|n| add(&*stores[n % stores.len()]))).await;
    let total = get(&*stores[0], "count").await.unwrap();
    assert_eq!(total.value, (TASKS * TIMES).to_string());
}

async fn following(store: &dyn Store) {
    commit(
        store,
        vec![put("follow/a", "1"), put("follow/b", "1"), put("followed", "1")],
    )
    .await;
    let mut mirror = Mirror::started(store, "follow/").await;
    let mut all = Mirror::started(store, "").await;
    let mut nothing = Mirror::started(store, "nothing/").await;
    assert_eq!(mirror.entries.len(), 2);
    assert_eq!(all.value("followed"), Some(&b"1"[..]));
    assert!(nothing.entries.is_empty());
    let created = mirror.entries["follow/a"].created;
    let last = commit(
        store,
        vec![put("follow/a", "2"), delete("follow/b"), put("follow/c", "2")],
    )
    .await;
    mirror.until("changes", |mirror| mirror.revision >= last).await;
    assert_eq!(mirror.revision, last, "all of them at once");
    assert_eq!(mirror.entries.len(), 2);
    assert_eq!(mirror.entries["follow/a"].created, created);
    assert_eq!(mirror.entries["follow/c"].revision, last);
    all.until("changes", |mirror| mirror.revision >= last).await;
    // Progress, without changes.
    nothing.until("progress", |mirror| mirror.revision >= last).await;
    for n in 0..50 {
        commit(store, vec![put("follow/count", n.to_string())]).await;
    }
    mirror
        .until("last", |mirror| mirror.value("follow/count") == Some(b"49"))
        .await;
    assert_eq!((mirror.snapshots, all.snapshots), (1, 1));
}

async fn pages(store: &dyn Store) {
    let key = |n: usize| format!("pages/{n:04}");
    for chunk in (0..2500).collect::<Vec<_>>().chunks(MAX_KEYS) {
        commit(
            store,
            chunk.iter().map(|n| put(&key(*n), n.to_string())).collect(),
        )
        .await;
    }
    let mirror = Mirror::started(store, "pages/").await;
    assert_eq!(mirror.entries.len(), 2500);
    assert!(
        mirror.pages >= 3 && mirror.largest <= 1000,
        "{} {}",
        mirror.pages,
        mirror.largest
    );
    assert!((0..2500).all(|n| mirror.value(&key(n)) == Some(n.to_string().as_bytes())));
}

async fn sessions(open: &Open<'_>) {
    let (store, other) = (open().await, open().await);
    let mut mirror = Mirror::started(&*store, "held/").await;
    let created = other.hold("held/a", "1".into()).await.unwrap();
    let changed = other.hold("held/a", "2".into()).await.unwrap();
    assert!(changed > created);
    other.hold("held/b", "1".into()).await.unwrap();
    store.hold("held/c", "1".into()).await.unwrap();
    let there = get(&*store, "held/a").await.unwrap();
    assert_eq!(
        (&there.value[..], there.created, there.revision),
        (&b"2"[..], created, changed)
    );
    let refused = try_commit(&*other, vec![put("held/a", "mine")]).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    other.release("held/b").await.unwrap();
    other.release("held/never").await.unwrap();
    mirror
        .until("three keys", |mirror| mirror.value("held/c").is_some())
        .await;
    mirror
        .until("release", |mirror| mirror.value("held/b").is_none())
        .await;

    // It lives longer than it would without being renewed.
    let mut session = other.session();
    let end = session.borrow_and_update().expect("a session");
    assert!(end > Instant::now());
    if end < Instant::now() + Duration::from_hours(1) {
        let renewed = session.wait_for(|now| now.is_none_or(|now| now > end));
        assert!(time::timeout(SOON, renewed).await.unwrap().unwrap().is_some());
    }

    let follower = Mirror::started(&*other, "held/").await;
    other.close().await;
    time::timeout(SOON, session.wait_for(Option::is_none))
        .await
        .unwrap()
        .unwrap();
    mirror
        .until("the end of the session", |mirror| {
            mirror.value("held/a").is_none()
        })
        .await;
    assert!(mirror.value("held/c").is_some());
    follower.ended().await;
    assert_eq!(other.hold("held/d", "1".into()).await, Err(StoreError::Closed));
    assert_eq!(
        try_commit(&*other, vec![put("held/d", "1")]).await,
        Err(StoreError::Closed)
    );
    assert_eq!(other.release("held/d").await, Err(StoreError::Closed));
}

async fn order_of_candidates(open: &Open<'_>) {
    use router::store::leader;
    let (first, second) = (open().await, open().await);
    for (store, name) in [(&first, "b"), (&second, "a")] {
        store.hold(&leader::key(name), leader::value(name)).await.unwrap();
    }
    first.hold(&leader::key("b"), leader::value("b")).await.unwrap();
    let mut mirror = Mirror::started(&*second, "leaderLatch/").await;
    let leader = |mirror: &Mirror| leader::leader(mirror.entries.values()).map(str::to_owned);
    assert_eq!(leader(&mirror).as_deref(), Some("b"));
    first.close().await;
    mirror
        .until("the next leader", |mirror| leader(mirror).as_deref() == Some("a"))
        .await;
}
