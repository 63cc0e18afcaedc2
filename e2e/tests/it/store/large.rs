//! Very many records.

use e2e::etcd::{Etcd, Options};
use futures::{StreamExt as _, stream};
use router::store::{Batch, MAX_KEYS};
use tokio::time;

use super::{commit, put, store};
use crate::support::SOON;

const RECORDS: usize = 120_000;
/// As many transactions under way at a time.
const WIDTH: usize = 16;

#[tokio::test]
async fn a_large_snapshot_streams_at_the_pace_of_its_reader() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    let store = store(&etcd).await;
    let numbers: Vec<_> = (0..RECORDS).collect();
    let value = format!(r#"{{"type":"onnx","mPath":"{}"}}"#, "p".repeat(100));
    stream::iter(numbers.chunks(MAX_KEYS))
        .for_each_concurrent(WIDTH, async |chunk| {
            let ops = chunk.iter().map(|n| put(&format!("registry/{n:06}"), &value));
            commit(&*store, ops.collect()).await;
        })
        .await;

    let mut follower = store.follow("registry/");
    let (mut found, mut pages, mut most_waiting) = (0, 0, 0);
    let read = async {
        while let Some(batch) = follower.next().await {
            // What waits for a reader is all that is in memory.
            most_waiting = most_waiting.max(follower.waiting());
            match batch {
                Batch::Page(page) => {
                    assert!(page.len() <= 1000);
                    assert!(page.is_sorted_by(|one, two| one.key < two.key));
                    found += page.len();
                    pages += 1;
                    // Slower than etcd.
                    tokio::task::yield_now().await;
                }
                Batch::End { .. } => break,
                Batch::Begin { .. } => assert_eq!(found, 0, "in one go"),
                other => panic!("{other:?}"),
            }
        }
    };
    time::timeout(SOON, read).await.unwrap();
    assert_eq!(found, RECORDS);
    assert!(
        pages >= RECORDS / 1000 && most_waiting <= 8,
        "{pages} pages, {most_waiting} waiting"
    );
}
