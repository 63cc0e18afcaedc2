//! A prefix, for ever: snapshot, then changes, and again from where it stopped.

use std::sync::Arc;

use api::etcd::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{debug, info};

use super::{
    Options,
    assemble::{Assembler, End},
    backoff::Backoff,
    calls::{self, OTHER},
    connection::Connection,
    feed::{Feed, Gone},
    keys::{Root, signed},
    lease::Lease,
    link::Link,
    snapshot::{self, Failure},
};
use crate::store::{Follower, StoreError, follow::BUFFER};

/// Requests of a watch: its creation, and questions for progress.
const REQUESTS: usize = 4;

/// What is followed, and how.
pub(super) struct Source {
    pub(super) link: Arc<Link>,
    pub(super) root: Root,
    pub(super) prefix: String,
    pub(super) lease: watch::Receiver<Lease>,
    pub(super) options: Arc<Options>,
}

pub(super) fn start(source: Source, closed: impl Future<Output = ()> + Send + 'static) -> Follower {
    let (sender, batches) = mpsc::channel(BUFFER);
    let task = tokio::spawn(async move {
        let feed = Feed::new(sender, source.options.stale_after);
        tokio::select! {
            Gone = follow(source, &feed) => {}
            Gone = feed.watch() => {}
            () = closed => {}
        }
    });
    Follower::new(batches, task)
}

async fn follow(mut source: Source, feed: &Feed) -> Gone {
    let mut pauses = Backoff::new();
    // What the follower has; none before the first snapshot and when that is no good any more.
    let mut reached = None;
    loop {
        let before = reached;
        match attempt(&mut source, feed, &mut reached).await {
            Failed::Gone => return Gone,
            Failed::Because(End::Snapshot(reason)) => {
                info!(prefix = source.prefix, reason, "reading all of etcd's keys again");
                reached = None;
            }
            Failed::Because(End::Again(reason)) => {
                debug!(prefix = source.prefix, reason, "following etcd was interrupted");
                feed.failed(reason);
            }
        }
        if reached.is_some() && reached != before {
            pauses.reset();
        }
        pauses.pause().await;
    }
}

/// Why one attempt ended.
enum Failed {
    Gone,
    Because(End),
}

impl From<Gone> for Failed {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for Failed {
    fn from(err: StoreError) -> Self {
        Self::Because(End::Again(err.to_string()))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            Failure::Error(err) => err.into(),
        }
    }
}

async fn attempt(source: &mut Source, feed: &Feed, reached: &mut Option<u64>) -> Failed {
    match go_on(source, feed, reached).await {
        Ok(never) => match never {},
        Err(failed) => failed,
    }
}

async fn go_on(
    source: &mut Source,
    feed: &Feed,
    reached: &mut Option<u64>,
) -> Result<std::convert::Infallible, Failed> {
    let from = match *reached {
        None => {
            source.lease.mark_unchanged();
            *reached.insert(snapshot::send(source, feed).await?)
        }
        Some(from) => {
            let now = calls::revision(&source.link, &source.root).await?;
            if now < from {
                let reason = format!("etcd went back from revision {from} to {now}");
                return Err(Failed::Because(End::Snapshot(reason)));
            }
            from
        }
    };
    let connection = source.link.connection().await?;
    let mut watch = match time::timeout(OTHER, Watch::open(&connection, source, from)).await {
        Ok(Ok(watch)) => watch,
        failed => {
            source.link.give_up(&connection).await;
            let reason = match failed {
                Ok(Err(reason)) => reason,
                _ => format!("no watch within {OTHER:?}"),
            };
            return Err(Failed::Because(End::Again(reason)));
        }
    };
    let mut assembler = Assembler::new(source.root.clone(), from);
    let mut questions = time::interval(source.options.progress);
    questions.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let silence = time::sleep(source.options.stale_after);
        tokio::pin!(silence);
        let answer = loop {
            tokio::select! {
                answer = watch.answers.message() => break answer,
                // Full: etcd does not even take the questions, and the silence will tell.
                _ = questions.tick() => { let _ = watch.requests.try_send(progress()); }
                changed = source.lease.changed() => match changed {
                    // The lease is lost when etcd's data is, and revisions alone do not always show that.
                    Ok(()) => return Err(Failed::Because(End::Snapshot("the session was made anew".to_owned()))),
                    // The store ends, and this with it.
                    Err(_) => std::future::pending().await,
                },
                () = &mut silence => {
                    source.link.give_up(&connection).await;
                    let reason = format!("etcd said nothing for {:?}", source.options.stale_after);
                    return Err(Failed::Because(End::Again(reason)));
                }
            }
        };
        let answer = match answer {
            Ok(Some(answer)) => answer,
            ended => {
                source.link.give_up(&connection).await;
                let reason = ended.err().map(|status| status.message().to_owned());
                let reason = reason.unwrap_or_else(|| "etcd ended the stream".to_owned());
                return Err(Failed::Because(End::Again(reason)));
            }
        };
        let batches = match assembler.push(answer) {
            Ok(batches) => batches,
            Err(end) => {
                if matches!(end, End::Again(_)) {
                    // Another login, another member.
                    source.link.give_up(&connection).await;
                }
                return Err(Failed::Because(end));
            }
        };
        for batch in batches {
            feed.send(batch).await?;
        }
        *reached = Some(assembler.reached());
    }
}

struct Watch {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watch {
    async fn open(connection: &Connection, source: &Source, from: u64) -> Result<Self, String> {
        let range = source.root.range(&source.prefix);
        let create = WatchCreateRequest {
            key: range.key,
            range_end: range.range_end,
            start_revision: signed(from.saturating_add(1)),
            progress_notify: true,
            fragment: true,
        };
        let (requests, queue) = mpsc::channel(REQUESTS);
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        requests.try_send(create).map_err(|err| err.to_string())?;
        let answer = connection.watch().watch(ReceiverStream::new(queue)).await;
        let answers = answer.map_err(|status| status.message().to_owned())?.into_inner();
        Ok(Self { requests, answers })
    }
}

/// Asks how far the watch is.
fn progress() -> WatchRequest {
    WatchRequest {
        request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
    }
}
