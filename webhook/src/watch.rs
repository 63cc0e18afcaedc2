//! What rules look up, watched: one task for each source, one that writes snapshots.
//!
//! ```text
//! source ─► follow (list, watch, again) ─► queue ─► Board (pure) ─► ArcSwap<Snapshot> ─► reviews
//! ```
//!
//! A source whose resource is not installed is empty, and asked for again. One that cannot be watched becomes stale after
//! [`GRACE`]: rules that need it warn, and the server is not ready.

mod backoff;
mod board;
mod follow;
mod object;
mod source;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use kit::drain::Drain;
use kube::Client;
use tokio::sync::{mpsc, watch};

pub use self::backoff::Backoff;
use self::{
    board::{Board, Event},
    follow::follow,
    source::{SOURCES, Which},
};
use crate::{Snapshot, health::Health, server::metrics::Metrics};

/// The part of the health that this is.
pub const PART: &str = "watches";

/// How long a watch call lasts, in seconds. It is also how soon a connection that died silently is noticed, and costs one
/// request for each source and turn.
pub const WATCH_TIMEOUT: u32 = 60;
/// How long a source may fail before it is stale: longer than an API server takes to restart behind a load balancer.
const GRACE: Duration = Duration::from_secs(10);
/// How often a resource that is not installed is asked for.
const MISSING_INTERVAL: Duration = Duration::from_secs(10);
/// Events that wait for the writer; a source waits when it is full.
const QUEUE: usize = 1024;

/// Publishes snapshots until `drain` has finished. The first ones say that nothing is fresh.
pub fn start(
    client: &Client,
    namespace: &str,
    health: Health,
    metrics: Metrics,
    drain: &Drain,
) -> Arc<ArcSwap<Snapshot>> {
    let board = Board::new();
    let published = Arc::new(ArcSwap::from_pointee(board.snapshot().clone()));
    let (events, queue) = mpsc::channel(QUEUE);
    let (secret_name, secret_names) = watch::channel(board.snapshot().config().storage_secret.clone());
    for source in &SOURCES {
        tokio::spawn(follow(
            client.clone(),
            source,
            namespace.to_owned(),
            secret_names.clone(),
            events.clone(),
            drain.clone(),
        ));
    }
    let writer = Writer {
        board,
        published: Arc::clone(&published),
        secret_name,
        health,
        metrics,
    };
    tokio::spawn(writer.run(queue));
    published
}

struct Writer {
    board: Board,
    published: Arc<ArcSwap<Snapshot>>,
    secret_name: watch::Sender<String>,
    health: Health,
    metrics: Metrics,
}

impl Writer {
    /// Ends when all sources have ended.
    async fn run(mut self, mut queue: mpsc::Receiver<Event>) {
        let mut batch = Vec::with_capacity(QUEUE);
        // Whatever waits is written together: a copy of a large part is made once, not for each object.
        while queue.recv_many(&mut batch, QUEUE).await > 0 {
            for event in batch.drain(..) {
                let source = event.source();
                self.metrics.heard(source.name);
                if let Err(err) = self.board.apply(event) {
                    self.metrics.skipped(source.name);
                    tracing::warn!(source = source.name, error = %err, "object left out; what was known stays");
                }
                self.metrics.source(source.name, self.board.is_fresh(source));
            }
            self.follow_secret_name();
            self.published.store(Arc::new(self.board.snapshot().clone()));
            self.health.report(PART, self.board.problem());
        }
    }

    /// Another name in the configuration: the Secrets that are known are not those that rules ask for.
    fn follow_secret_name(&mut self) {
        let name = &self.board.snapshot().config().storage_secret;
        if *self.secret_name.borrow() == *name {
            return;
        }
        self.secret_name.send_replace(name.clone());
        for source in SOURCES
            .iter()
            .filter(|source| source.which == Which::StorageSecrets)
        {
            self.board.expect_list(source);
            self.metrics.source(source.name, false);
        }
    }
}
