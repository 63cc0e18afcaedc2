//! The current connection to the cluster, and calls over it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};
use tonic::{Code, Status};
use tracing::{debug, info};

use super::{
    backoff::{self, Backoff},
    config::{Config, Endpoint, Settings},
    connection::{ConnectError, Connection, was_gone},
};
use crate::store::StoreError;

/// For connecting to any member, TLS and login included.
const CONNECT: Duration = Duration::from_secs(3);
/// The next member is tried beside the one before after this.
const STAGGER: Duration = Duration::from_millis(250);
/// Attempts of one call that certainly did nothing before.
const ATTEMPTS: usize = 5;

/// Whether a call changes something, so that it must not be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// The connection that is used now, made when it is needed.
pub(super) struct Link {
    config: Config,
    /// Held while connecting, so that all wait for one attempt.
    current: Mutex<Option<Arc<Connection>>>,
    /// The member to try first.
    first: AtomicUsize,
}

/// What a failed call says about its connection and about itself.
enum Verdict {
    /// It did nothing, and may succeed over another connection.
    Again,
    /// The connection or the member is in trouble, and the call was sent.
    Lost,
    /// No more to be said.
    Final(StoreError),
}

impl Link {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            current: Mutex::new(None),
            // Routers spread over the members.
            first: AtomicUsize::new(backoff::random_below(usize::MAX)),
        }
    }

    /// The connection, made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let config = self.config.clone();
        let settings = tokio::task::spawn_blocking(move || config.load())
            .await
            .map_err(|err| StoreError::Unavailable(err.to_string()))?
            .map_err(|err| StoreError::Unavailable(err.to_string()))?;
        let connection = Arc::new(self.open(&Arc::new(settings)).await?);
        debug!(endpoint = %connection.endpoint, "connected to etcd");
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// This connection is no good: the next call makes another one, to the next member first.
    pub(super) async fn give_up(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, connection)) {
            info!(endpoint = %connection.endpoint, "gave up a connection to etcd");
            self.first.fetch_add(1, Ordering::Relaxed);
            *current = None;
        }
    }

    /// Whichever member is connected first, each tried a little after the one before.
    async fn open(&self, settings: &Arc<Settings>) -> Result<Connection, StoreError> {
        let count = settings.endpoints.len();
        let first = self.first.load(Ordering::Relaxed) % count.max(1);
        let order = settings.endpoints.iter().cloned().cycle().skip(first).take(count);
        let mut attempts = FuturesUnordered::new();
        for (endpoint, place) in order.zip(0..) {
            attempts.push(attempt(endpoint, settings.clone(), STAGGER * place));
        }
        let (mut reasons, mut denied) = (Vec::new(), true);
        while let Some(opened) = attempts.next().await {
            match opened {
                Ok(connection) => return Ok(connection),
                Err((endpoint, err)) => {
                    denied &= err.denied;
                    reasons.push(format!("{endpoint}: {}", err.reason));
                }
            }
        }
        let reasons = reasons.join("; ");
        Err(if denied && count > 0 {
            StoreError::Denied(reasons)
        } else {
            StoreError::Unavailable(format!("no etcd: {reasons}"))
        })
    }

    /// Calls until there is an answer, a failure that repeating would not mend, or no time left.
    pub(super) async fn call<T, F, A>(&self, kind: Kind, limit: Duration, call: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Connection>) -> A,
        A: Future<Output = Result<T, Status>>,
    {
        let end = Instant::now() + limit;
        let mut pauses = Backoff::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let late = || StoreError::Unavailable(format!("no connection to etcd within {limit:?}"));
            let connection = time::timeout_at(end, self.connection());
            let connection = connection.await.map_err(|_| late())??;
            let (verdict, reason) = match time::timeout_at(end, call(connection.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => (judge(&status), status.message().to_owned()),
                Err(_) => {
                    self.give_up(&connection).await;
                    return Err(match kind {
                        Kind::Read => StoreError::Timeout(limit),
                        Kind::Write => StoreError::Ambiguous(format!("no answer within {limit:?}")),
                    });
                }
            };
            if let Verdict::Final(err) = verdict {
                return Err(err);
            }
            self.give_up(&connection).await;
            let harmless = matches!(verdict, Verdict::Again);
            if kind == Kind::Write && !harmless {
                return Err(StoreError::Ambiguous(reason));
            }
            // The first repetition is for free: a connection ends with its member, and the others are well.
            let pause = if attempt == 1 {
                Duration::ZERO
            } else {
                pauses.next()
            };
            if attempt == ATTEMPTS || Instant::now() + pause >= end {
                return Err(StoreError::Unavailable(reason));
            }
            time::sleep(pause).await;
        }
    }
}

/// Connects to one member after a pause.
async fn attempt(
    endpoint: Endpoint,
    settings: Arc<Settings>,
    pause: Duration,
) -> Result<Connection, (Endpoint, ConnectError)> {
    time::sleep(pause).await;
    let opened = time::timeout(CONNECT, Connection::open(&endpoint, &settings)).await;
    let opened = opened.unwrap_or_else(|_| Err(format!("no answer within {CONNECT:?}").into()));
    opened.map_err(|err| (endpoint, err))
}

/// Texts are etcd's, from api/v3rpc/rpctypes/error.go: its codes alone do not tell what was done.
fn judge(status: &Status) -> Verdict {
    let text = status.message();
    let says = |part: &str| text.contains(part);
    let reason = || text.to_owned();
    match status.code() {
        _ if was_gone(status) => Verdict::Again,
        Code::Unauthenticated => Verdict::Again,
        Code::InvalidArgument if says("revision of auth store is old") => Verdict::Again,
        Code::Unavailable if says("no leader") || says("not supported for learner") => Verdict::Again,
        Code::FailedPrecondition if says("not leader") || says("not supported for learner") => Verdict::Again,
        Code::PermissionDenied => Verdict::Final(StoreError::Denied(reason())),
        Code::InvalidArgument if says("user name is empty") => Verdict::Final(StoreError::Denied(
            "etcd wants a user: set `userid` and `password` in its JSON file".to_owned(),
        )),
        Code::InvalidArgument if says("request is too large") => {
            Verdict::Final(StoreError::TooLarge(reason()))
        }
        Code::ResourceExhausted if says("larger than max") => Verdict::Final(StoreError::TooLarge(reason())),
        // Refused before anything was done.
        Code::ResourceExhausted => Verdict::Final(StoreError::Unavailable(reason())),
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::NotFound
        | Code::Unimplemented => Verdict::Final(StoreError::Invalid(reason())),
        _ => Verdict::Lost,
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
