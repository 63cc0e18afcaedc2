//! The session: a lease that is renewed in time, and granted anew when it was lost.

use std::{sync::Arc, time::Duration};

use api::etcd::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{info, warn};

use super::{
    backoff::Backoff,
    calls::{Calls, OPERATION, OTHER},
    connection::Connection,
    keys::number,
    link::Kind,
};
use crate::store::StoreError;

/// A renewal is due after this part of the session.
const RENEW: u32 = 5;

/// A lease, or none: then its id is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// It certainly lives so long.
    pub(super) until: Instant,
}

impl Lease {
    pub(super) fn none() -> Self {
        let until = Instant::now();
        Self { id: 0, until }
    }
}

/// A stream of renewals over one connection.
struct Renewals {
    connection: Arc<Connection>,
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

/// Asks for a lease.
pub(super) async fn grant(calls: &Calls, session: Duration) -> Result<Lease, StoreError> {
    let request = LeaseGrantRequest {
        ttl: i64::try_from(session.as_secs().max(1)).unwrap_or(i64::MAX),
        id: 0,
    };
    // A grant that is repeated leaves a lease that runs out unused. Its life is counted from before any of them.
    let start = Instant::now();
    let call = calls.link.call(Kind::Read, OTHER, |connection| async move {
        connection.lease().lease_grant(request).await
    });
    let answer = call.await?.into_inner();
    if answer.id == 0 || answer.ttl <= 0 {
        return Err(StoreError::Unavailable(format!("no lease: {}", answer.error)));
    }
    Ok(Lease {
        id: answer.id,
        until: start + Duration::from_secs(number(answer.ttl)),
    })
}

/// Ends a lease, and with it what is bound to it.
pub(super) async fn revoke(calls: &Calls, id: i64) -> Result<(), StoreError> {
    let request = LeaseRevokeRequest { id };
    let call = calls.link.call(Kind::Read, OPERATION, |connection| async move {
        connection.lease().lease_revoke(request).await
    });
    call.await.map(drop)
}

/// Keeps a session for ever: `leases` has the lease, `ends` until when it lives.
pub(super) async fn keep(
    calls: Calls,
    leases: watch::Sender<Lease>,
    ends: &watch::Sender<Option<Instant>>,
    session: Duration,
) {
    loop {
        let id = leases.borrow().id;
        renew(&calls, id, ends, session).await;
        ends.send_replace(None);
        warn!("the session in etcd was lost and is made anew");
        let lease = grant_at_last(&calls, session).await;
        info!("a new session in etcd");
        // Who sees the session shall see the lease too.
        leases.send_replace(lease);
        ends.send_replace(Some(lease.until));
    }
}

async fn grant_at_last(calls: &Calls, session: Duration) -> Lease {
    let mut pauses = Backoff::new();
    loop {
        match grant(calls, session).await {
            Ok(lease) => return lease,
            Err(err) => warn!(error = %err, "no session in etcd"),
        }
        pauses.pause().await;
    }
}

/// Renews a lease until etcd says that there is none.
async fn renew(calls: &Calls, id: i64, ends: &watch::Sender<Option<Instant>>, session: Duration) {
    let every = session / RENEW;
    let mut pauses = Backoff::new();
    let mut stream: Option<Renewals> = None;
    loop {
        let pause = match once(calls, id, &mut stream, every.min(OPERATION)).await {
            Ok(None) => return,
            Ok(Some(until)) => {
                pauses.reset();
                ends.send_replace(Some(until));
                every
            }
            Err(reason) => {
                warn!(error = %reason, "the session in etcd was not renewed");
                if let Some(stream) = stream.take() {
                    calls.link.give_up(&stream.connection).await;
                }
                pauses.next().min(every)
            }
        };
        let now = *ends.borrow();
        tokio::select! {
            () = time::sleep(pause) => {}
            // Etcd may still know the lease, but nobody here may count on it.
            () = run_out(now) => { ends.send_replace(None); }
        }
    }
}

/// Returns at the end of the session; never when there is none.
async fn run_out(ends: Option<Instant>) {
    match ends {
        Some(end) => time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Renews once; none when there is no such lease. An error leaves the stream as it is, for its connection.
async fn once(
    calls: &Calls,
    id: i64,
    stream: &mut Option<Renewals>,
    limit: Duration,
) -> Result<Option<Instant>, String> {
    let sent = Instant::now();
    let exchange = async {
        let stream = match stream {
            Some(stream) => stream,
            None => stream.insert(Renewals::open(calls, id).await?),
        };
        let request = LeaseKeepAliveRequest { id };
        stream
            .requests
            .send(request)
            .await
            .map_err(|_| "the stream ended")?;
        let answer = stream
            .answers
            .message()
            .await
            .map_err(|status| status.message().to_owned())?;
        answer
            .map(|answer| answer.ttl)
            .ok_or_else(|| "the stream ended".to_owned())
    };
    let ttl = time::timeout(limit, exchange).await;
    let ttl = ttl.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))?;
    Ok((ttl > 0).then(|| sent + Duration::from_secs(number(ttl))))
}

impl Renewals {
    async fn open(calls: &Calls, id: i64) -> Result<Self, String> {
        let connection = calls.link.connection().await.map_err(|err| err.to_string())?;
        let (requests, queue) = mpsc::channel(1);
        // Etcd answers with headers after the first request.
        requests
            .try_send(LeaseKeepAliveRequest { id })
            .map_err(|err| err.to_string())?;
        let opened = connection
            .lease()
            .lease_keep_alive(ReceiverStream::new(queue))
            .await;
        let mut answers = match opened {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                calls.link.give_up(&connection).await;
                return Err(status.message().to_owned());
            }
        };
        // Its answer is of no use: every renewal is one exchange.
        if let Err(status) = answers.message().await {
            calls.link.give_up(&connection).await;
            return Err(status.message().to_owned());
        }
        Ok(Self {
            connection,
            requests,
            answers,
        })
    }
}
