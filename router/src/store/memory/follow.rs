//! Feeds a follower from the state.

use std::sync::Arc;

use tokio::{
    sync::{
        mpsc::{self, error::SendError},
        watch,
    },
    time::Instant,
};

use super::{
    Shared,
    state::{self, State},
};
use crate::store::{
    Batch, Entry, Follower,
    follow::{BUFFER, PAGE_BYTES, PAGE_ENTRIES},
};

/// The follower was dropped.
type Gone = SendError<Batch>;

pub(super) fn start(
    shared: Arc<Shared>,
    mut session: watch::Receiver<Option<Instant>>,
    prefix: Box<str>,
) -> Follower {
    let (sender, batches) = mpsc::channel(BUFFER);
    let task = tokio::spawn(async move {
        tokio::select! {
            // Ends when the follower is dropped.
            _ = run(&shared, &sender, &prefix) => {}
            // An error: the last store was dropped.
            _ = session.wait_for(Option::is_none) => {}
        }
    });
    Follower::new(batches, task)
}

async fn run(shared: &Shared, sender: &mpsc::Sender<Batch>, prefix: &str) -> Result<(), Gone> {
    let mut revisions = shared.revision.subscribe();
    loop {
        let (mut revision, entries) = read(&shared.state.lock(), prefix);
        snapshot(sender, revision, entries).await?;
        loop {
            revisions.mark_unchanged();
            let next = shared
                .state
                .lock()
                .since(prefix, revision, PAGE_ENTRIES, PAGE_BYTES);
            let Some((changes, reached)) = next else { break };
            if reached > revision {
                revision = reached;
                sender.send(Batch::Changes { changes, revision }).await?;
            } else if revisions.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

fn read(state: &State, prefix: &str) -> (u64, Vec<Arc<Entry>>) {
    (state.revision(), state.under(prefix))
}

async fn snapshot(sender: &mpsc::Sender<Batch>, revision: u64, entries: Vec<Arc<Entry>>) -> Result<(), Gone> {
    sender.send(Batch::Begin { revision }).await?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += state::size(&entry);
        page.push(Arc::unwrap_or_clone(entry));
        if page.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
            bytes = 0;
            sender.send(Batch::Page(std::mem::take(&mut page))).await?;
        }
    }
    if !page.is_empty() {
        sender.send(Batch::Page(page)).await?;
    }
    sender.send(Batch::End { revision }).await
}
