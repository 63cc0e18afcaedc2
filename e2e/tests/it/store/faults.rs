//! What etcd goes through, seen by a store that stays open.

use e2e::{
    etcd::{Door, Etcd, Options},
    process::eventually,
};
use router::store::{Store, StoreError};
use tokio::time;

use super::{Mirror, commit, connect, get, put, store, try_commit};
use crate::support::SOON;

/// Commits until it succeeds.
async fn commit_at_last(store: &dyn Store, key: &str, value: &str) -> u64 {
    eventually("a commit", SOON, async || {
        match try_commit(store, vec![put(key, value)]).await {
            Ok(outcome) => Ok(Some(super::committed(outcome))),
            Err(err) if err.is_transient() => Ok(None),
            Err(err) => anyhow::bail!("{err}"),
        }
    })
    .await
    .unwrap()
}

async fn three() -> Etcd {
    let options = Options {
        members: 3,
        ..Options::default()
    };
    Etcd::start(options).await.unwrap()
}

#[tokio::test]
async fn a_wrong_address_fails_soon_and_says_so() {
    let err = connect("etcd:127.0.0.1:1,127.0.0.1:2").await.unwrap_err();
    let StoreError::Unavailable(text) = &err else {
        panic!("{err:?}")
    };
    assert!(
        text.contains("127.0.0.1:1: ") && text.contains("127.0.0.1:2: "),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
    // Somebody listens, and never says anything.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let err = connect(&format!("etcd:{address}")).await.unwrap_err();
    assert!(
        matches!(&err, StoreError::Unavailable(text) if text.contains(&address.to_string())),
        "{err}"
    );
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart() {
    let mut etcd = Etcd::start(Options::default()).await.unwrap();
    let store = store(&etcd).await;
    commit(&*store, vec![put("k/a", "1"), put("k/b", "1")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    for round in 2..4 {
        etcd.restart(0).await.unwrap();
        let last = commit_at_last(&*store, "k/a", &round.to_string()).await;
        mirror
            .until("the change after the restart", |mirror| mirror.revision >= last)
            .await;
    }
    assert_eq!((mirror.value("k/a"), mirror.snapshots), (Some(&b"3"[..]), 1));
}

#[tokio::test]
async fn a_watch_goes_on_after_its_connection_was_cut() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let door = Door::to(&etcd.endpoint(0)).await.unwrap();
    let store = connect(&format!("etcd:{}", door.address())).await.unwrap();
    commit(&*store, vec![put("k/a", "1"), put("k/b", "1")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    door.shut();
    etcd.put("/mm/test/k/a", "2").await.unwrap();
    etcd.put("/mm/test/other", "2").await.unwrap();
    door.open();
    mirror
        .until("what was missed", |mirror| mirror.value("k/a") == Some(b"2"))
        .await;
    assert_eq!((mirror.entries.len(), mirror.snapshots), (2, 1));
}

#[tokio::test]
async fn a_watch_survives_compaction_while_it_was_away() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let door = Door::to(&etcd.endpoint(0)).await.unwrap();
    let store = connect(&format!("etcd:{}", door.address())).await.unwrap();
    commit(&*store, vec![put("k/a", "1"), put("k/b", "1"), put("k/c", "1")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    door.shut();
    etcd.put("/mm/test/k/a", "2").await.unwrap();
    etcd.delete("/mm/test/k/b").await.unwrap();
    etcd.put("/mm/test/k/a", "3").await.unwrap();
    etcd.compact(0).await.unwrap();
    door.open();
    mirror
        .until("what was missed", |mirror| mirror.value("k/a") == Some(b"3"))
        .await;
    mirror.until("all of it", |mirror| mirror.snapshots == 2).await;
    assert_eq!(mirror.value("k/b"), None, "what was deleted is gone");
    assert_eq!(mirror.value("k/c"), Some(&b"1"[..]));
    let last = commit_at_last(&*store, "k/b", "2").await;
    mirror
        .until("the change after it", |mirror| mirror.revision >= last)
        .await;
    assert_eq!(mirror.snapshots, 2);
}

#[tokio::test]
async fn a_session_that_ran_out_comes_back_with_its_keys() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let door = Door::to(&etcd.endpoint(0)).await.unwrap();
    let cut = connect(&format!("etcd:{}", door.address())).await.unwrap();
    let other = store(&etcd).await;
    cut.hold("instances/cut", "1".into()).await.unwrap();
    cut.hold("instances/left", "1".into()).await.unwrap();
    let mut mine = Mirror::started(&*cut, "instances/").await;
    let mut theirs = Mirror::started(&*other, "instances/").await;
    assert_eq!(theirs.entries.len(), 2);
    let mut session = cut.session();
    session.borrow_and_update();

    door.silence();
    mine.until("silence", |mirror| mirror.stale.is_some()).await;
    theirs
        .until("the end of the session", |mirror| mirror.entries.is_empty())
        .await;
    // Who was cut knew before the others.
    assert!(
        session
            .borrow_and_update()
            .is_none_or(|end| end <= time::Instant::now())
    );
    let held = cut.hold("instances/cut", "2".into()).await.unwrap_err();
    assert!(held.is_transient(), "{held:?}");
    let released = cut.release("instances/left").await.unwrap_err();
    assert!(released.is_transient(), "{released:?}");

    door.open();
    theirs
        .until("the key", |mirror| mirror.value("instances/cut") == Some(b"2"))
        .await;
    mine.until("the same", |mirror| {
        mirror.stale.is_none() && mirror.value("instances/cut") == Some(b"2")
    })
    .await;
    let back = session.wait_for(|end| end.is_some_and(|end| end > time::Instant::now()));
    time::timeout(SOON, back).await.expect("a session").unwrap();
    assert_eq!(theirs.entries.len(), 1, "what was released stays away");
}

#[tokio::test]
async fn silence_is_told_and_calls_do_not_hang() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let store = store(&etcd).await;
    commit(&*store, vec![put("k/a", "1")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    etcd.pause(0).unwrap();
    let write = try_commit(&*store, vec![put("k/a", "2")]).await;
    assert!(matches!(write, Err(StoreError::Ambiguous(_))), "{write:?}");
    let read = store.get(&["k/a".to_owned()]).await.unwrap_err();
    assert!(read.is_transient(), "{read:?}");
    mirror.until("silence", |mirror| mirror.stale.is_some()).await;
    assert_eq!(mirror.value("k/a"), Some(&b"1"[..]), "what is old is kept");
    etcd.resume(0).unwrap();
    let last = commit_at_last(&*store, "k/b", "1").await;
    mirror
        .until("the change", |mirror| {
            mirror.revision >= last && mirror.stale.is_none()
        })
        .await;
    // Whether the uncertain write happened or not, the mirror has what is there.
    let there = get(&*store, "k/a").await.unwrap();
    assert!(there.value == "1" || there.value == "2");
    assert_eq!(mirror.value("k/a"), Some(&there.value[..]));
}

#[tokio::test]
async fn a_write_that_was_not_sent_is_known_not_to_have_happened() {
    let mut etcd = Etcd::start(Options::default()).await.unwrap();
    let store = store(&etcd).await;
    etcd.kill(0).unwrap();
    // The first one may be on its way when the connection ends.
    let _ = try_commit(&*store, vec![put("k/a", "1")]).await;
    let write = try_commit(&*store, vec![put("k/b", "1")]).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    etcd.restart(0).await.unwrap();
    commit_at_last(&*store, "k/c", "1").await;
    assert_eq!(get(&*store, "k/b").await, None);
}

#[tokio::test]
async fn a_lost_session_is_made_anew_with_all_its_keys() {
    let mut etcd = Etcd::start(Options::default()).await.unwrap();
    let store = store(&etcd).await;
    store.hold("instances/a", "1".into()).await.unwrap();
    store.hold("leaderLatch/_a", "_a".into()).await.unwrap();
    let mut mirror = Mirror::started(&*store, "").await;
    let mut session = store.session();
    assert!(session.borrow_and_update().is_some());

    etcd.pause(0).unwrap();
    let lost = session.wait_for(Option::is_none);
    time::timeout(SOON, lost)
        .await
        .expect("the session ends")
        .unwrap();
    // What is changed meanwhile is put when that is possible again.
    let failed = store.hold("instances/a", "2".into()).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    // Etcd gives leases their full time again when it starts; only the end of its data ends this one for sure.
    etcd.resume(0).unwrap();
    etcd.wipe().await.unwrap();
    let back = session.wait_for(Option::is_some);
    time::timeout(SOON, back).await.expect("another session").unwrap();
    mirror
        .until("a new snapshot with the held keys", |mirror| {
            mirror.snapshots > 1
                && mirror.value("instances/a") == Some(b"2")
                && mirror.value("leaderLatch/_a") == Some(b"_a")
        })
        .await;
    mirror.until("no silence", |mirror| mirror.stale.is_none()).await;
    let there = get(&*store, "instances/a").await.unwrap();
    assert_eq!(there.created, mirror.entries["instances/a"].created);
    store.close().await;
    assert_eq!(etcd.keys().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn keys_of_a_process_that_died_go_with_its_session() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let (died, lives) = (store(&etcd).await, store(&etcd).await);
    died.hold("instances/died", "1".into()).await.unwrap();
    lives.hold("instances/lives", "1".into()).await.unwrap();
    let mut mirror = Mirror::started(&*lives, "instances/").await;
    // Without closing it, as a process that is killed.
    drop(died);
    mirror
        .until("the end of its session", |mirror| {
            mirror.value("instances/died").is_none()
        })
        .await;
    assert!(mirror.value("instances/lives").is_some());
}

#[tokio::test]
async fn the_leader_of_etcd_changes() {
    let mut etcd = three().await;
    let store = store(&etcd).await;
    store.hold("instances/a", "1".into()).await.unwrap();
    commit(&*store, vec![put("k/a", "0")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    for round in 1..=3 {
        let leader = etcd.leader(0).await.unwrap();
        etcd.kill(leader).unwrap();
        let last = commit_at_last(&*store, "k/a", &round.to_string()).await;
        mirror.until("the change", |mirror| mirror.revision >= last).await;
        etcd.restart(leader).await.unwrap();
    }
    assert_eq!(mirror.value("k/a"), Some(&b"3"[..]));
    assert_eq!(
        mirror.snapshots, 1,
        "nothing was lost, so nothing had to be read again"
    );
    assert!(get(&*store, "instances/a").await.is_some());
}

#[tokio::test]
async fn a_member_that_hangs_is_left() {
    let etcd = three().await;
    let store = store(&etcd).await;
    commit(&*store, vec![put("k/a", "0")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    for member in 0..3 {
        etcd.pause(member).unwrap();
        let last = commit_at_last(&*store, "k/a", &member.to_string()).await;
        mirror.until("the change", |mirror| mirror.revision >= last).await;
        etcd.resume(member).unwrap();
    }
    mirror.until("no silence", |mirror| mirror.stale.is_none()).await;
    assert!(store.session().borrow().is_some());
}

#[tokio::test]
async fn without_a_quorum_nothing_is_read_or_written() {
    let mut etcd = three().await;
    let store = store(&etcd).await;
    commit(&*store, vec![put("k/a", "0")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;
    etcd.kill(0).unwrap();
    etcd.kill(1).unwrap();
    let read = store.get(&["k/a".to_owned()]).await.unwrap_err();
    assert!(read.is_transient(), "{read:?}");
    let write = try_commit(&*store, vec![put("k/a", "1")]).await.unwrap_err();
    assert!(write.is_transient(), "{write:?}");
    mirror.until("silence", |mirror| mirror.stale.is_some()).await;
    // One of them makes a quorum with the one that stayed.
    etcd.restart(0).await.unwrap();
    let last = commit_at_last(&*store, "k/a", "2").await;
    mirror
        .until("the change", |mirror| {
            mirror.revision >= last && mirror.stale.is_none()
        })
        .await;
    assert_eq!(mirror.value("k/a"), Some(&b"2"[..]));
}
