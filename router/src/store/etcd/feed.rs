//! Batches for a follower, and the watch over whether there are any.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tracing::warn;

use crate::store::Batch;

/// The follower was dropped.
#[derive(Debug)]
pub(super) struct Gone;

/// The way to a follower.
#[derive(Debug)]
pub(super) struct Feed {
    batches: mpsc::Sender<Batch>,
    stale_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Last sign of life.
    heard: Instant,
    /// The follower does not take what is there: that is no silence of etcd.
    blocked: bool,
    stale: bool,
    /// Why nothing is heard.
    error: Option<String>,
}

impl Feed {
    pub(super) fn new(batches: mpsc::Sender<Batch>, stale_after: Duration) -> Self {
        let state = State {
            heard: Instant::now(),
            blocked: false,
            stale: false,
            error: None,
        };
        Self {
            batches,
            stale_after,
            state: Mutex::new(state),
        }
    }

    /// What etcd said, which is a sign of life.
    pub(super) async fn send(&self, batch: Batch) -> Result<(), Gone> {
        self.state.lock().blocked = true;
        let sent = self.batches.send(batch).await;
        let mut state = self.state.lock();
        if state.stale {
            warn!("following etcd again");
        }
        *state = State {
            heard: Instant::now(),
            blocked: false,
            stale: false,
            error: None,
        };
        sent.map_err(|_| Gone)
    }

    /// Keeps the reason for the silence that may follow.
    pub(super) fn failed(&self, error: String) {
        self.state.lock().error = Some(error);
    }

    /// Tells the follower when nothing was heard for too long. Runs beside the work; ends when the follower is gone.
    pub(super) async fn watch(&self) -> Gone {
        loop {
            let due = self.state.lock().heard + self.stale_after;
            // While it is overdue and nothing can be done, look again now and then.
            let next = due.max(Instant::now() + self.stale_after / 10);
            time::sleep_until(next).await;
            if let Some(error) = self.silence(Instant::now()) {
                warn!(error, "what is mirrored of etcd may be old");
                if self.batches.send(Batch::Stale { error }).await.is_err() {
                    return Gone;
                }
            }
        }
    }

    /// Why it is silent, once for each silence.
    fn silence(&self, now: Instant) -> Option<String> {
        let mut state = self.state.lock();
        let silent = !state.blocked && !state.stale && now >= state.heard + self.stale_after;
        state.stale |= silent;
        let after = self.stale_after;
        let error = || {
            let reason = state.error.clone();
            reason.unwrap_or_else(|| format!("etcd said nothing for {after:?}"))
        };
        silent.then(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);
    const BEGIN: Batch = Batch::Begin { revision: 1 };

    #[tokio::test]
    async fn silence_is_told_once_until_something_is_heard() {
        let (sender, _batches) = mpsc::channel(8);
        let feed = Feed::new(sender, AFTER);
        assert_eq!(feed.silence(Instant::now()), None);
        let late = || Instant::now() + AFTER;
        assert_eq!(feed.silence(late()).unwrap(), "etcd said nothing for 10s");
        assert_eq!(feed.silence(late() + AFTER), None);
        feed.send(BEGIN).await.unwrap();
        assert_eq!(feed.silence(Instant::now()), None);
        feed.failed("refused".to_owned());
        assert_eq!(feed.silence(late()).unwrap(), "refused");
        feed.send(BEGIN).await.unwrap();
        assert_eq!(feed.silence(late()).unwrap(), "etcd said nothing for 10s");
    }

    #[tokio::test]
    async fn a_slow_follower_is_no_silence() {
        let (sender, mut batches) = mpsc::channel(1);
        let feed = Feed::new(sender, AFTER);
        feed.send(BEGIN).await.unwrap();
        let mut blocked = std::pin::pin!(feed.send(BEGIN));
        assert!(futures::poll!(&mut blocked).is_pending());
        assert_eq!(feed.silence(Instant::now() + AFTER), None);
        batches.recv().await.unwrap();
        blocked.await.unwrap();
        assert!(feed.silence(Instant::now() + AFTER).is_some());
    }

    #[tokio::test]
    async fn the_follower_hears_of_silence() {
        let (sender, mut batches) = mpsc::channel(1);
        let feed = Feed::new(sender, Duration::ZERO);
        tokio::select! {
            Gone = feed.watch() => panic!("it is there"),
            batch = batches.recv() => assert!(matches!(batch, Some(Batch::Stale { .. }))),
        }
        drop(batches);
        assert!(feed.send(BEGIN).await.is_err());
    }
}
