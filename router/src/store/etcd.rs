//! The store in etcd (3.4 or newer), shared by the routers of a cluster.
//!
//! | part | what |
//! |---|---|
//! | [`config`] | connection string and JSON file |
//! | `connection`, `link` | one connection; the current one of several members, and a call over it with deadline and retries |
//! | `keys`, `calls` | our keys and etcd's; reads and transactions |
//! | `lease`, `hold` | the session: renewed, made anew when lost; what is bound to it is put again |
//! | `follow`, `snapshot`, `assemble` | a prefix in pages, then its changes, for ever |
//!
//! Calls and watches have a connection each, so that no large page delays the renewal of the lease.

mod assemble;
mod backoff;
mod calls;
pub mod config;
mod connection;
mod feed;
mod follow;
mod hold;
mod keys;
mod lease;
mod link;
mod snapshot;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use self::{calls::Calls, config::Config, hold::Holds, keys::Root, lease::Lease, link::Link};
use super::{Follower, Outcome, Read, Store, StoreError, Txn, txn};

/// For [`Etcd::connect`] as a whole: whoever starts a router against a wrong address shall know soon.
const CONNECT: Duration = Duration::from_secs(4);
/// For the end of the session; the lease runs out by itself if that does not succeed.
const CLOSE: Duration = Duration::from_secs(3);

/// How etcd is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub config: Config,
    /// What all keys begin with, after the prefix of `config`: `/<prefix>/<service>/`.
    pub root: String,
    /// Nothing is ever written.
    pub read_only: bool,
    /// For how long the session outlives its last renewal. Renewed after a fifth of it.
    pub session: Duration,
    /// How often a watch is asked whether it is up to date.
    pub progress: Duration,
    /// A mirror that heard nothing for so long is stale.
    pub stale_after: Duration,
}

impl Options {
    /// The values of ModelMesh where it has any: a session of 25 seconds.
    pub fn new(config: Config, root: impl Into<String>) -> Self {
        Self {
            config,
            root: root.into(),
            read_only: false,
            session: Duration::from_secs(25),
            progress: Duration::from_secs(5),
            stale_after: Duration::from_secs(15),
        }
    }
}

/// A cluster's store in etcd, with a session. Ends its session when it is closed; when it is only dropped, the session runs
/// out.
pub struct Etcd {
    calls: Calls,
    /// For watches and their snapshots.
    streams: Arc<Link>,
    options: Arc<Options>,
    root: Root,
    lease: watch::Receiver<Lease>,
    ends: watch::Receiver<Option<Instant>>,
    holds: Holds,
    closed: watch::Sender<bool>,
}

impl Etcd {
    /// Connects, checks that keys can be read, and starts a session. Fails within seconds when etcd cannot be reached or does
    /// not let us in; later failures are waited out instead.
    pub async fn connect(options: Options) -> Result<Self, StoreError> {
        let config = options.config.clone();
        let settings = tokio::task::spawn_blocking(move || config.load())
            .await
            .map_err(|err| StoreError::Unavailable(err.to_string()))?
            .map_err(|err| StoreError::Invalid(err.to_string()))?;
        let root = Root::new(&settings.root_prefix, &options.root);
        let link = Arc::new(Link::new(options.config.clone()));
        let calls = Calls::new(link, root.clone());
        let first = async {
            calls.revision().await?;
            if options.read_only {
                Ok(Lease::none())
            } else {
                lease::grant(&calls, options.session).await
            }
        };
        let silent = || {
            let endpoints: Vec<_> = settings.endpoints.iter().map(ToString::to_string).collect();
            let endpoints = endpoints.join(", ");
            StoreError::Unavailable(format!("etcd at {endpoints} did not answer within {CONNECT:?}"))
        };
        let lease = match time::timeout(CONNECT, first).await {
            Err(_) | Ok(Err(StoreError::Timeout(_))) => return Err(silent()),
            Ok(lease) => lease?,
        };
        Ok(Self::start(options, root, calls, lease))
    }

    fn start(options: Options, root: Root, calls: Calls, lease: Lease) -> Self {
        let leases = watch::Sender::new(lease);
        let ends = watch::Sender::new((!options.read_only).then_some(lease.until));
        let (holds, commands) = mpsc::channel(hold::QUEUE);
        let store = Self {
            streams: Arc::new(Link::new(options.config.clone())),
            lease: leases.subscribe(),
            ends: ends.subscribe(),
            closed: watch::Sender::new(false),
            options: Arc::new(options),
            calls,
            root,
            holds: Holds::new(holds),
        };
        if !store.options.read_only {
            let keep = {
                let (calls, session) = (store.calls.clone(), store.options.session);
                let closed = store.is_closed();
                async move {
                    tokio::select! {
                        () = closed => {}
                        () = lease::keep(calls, leases, &ends, session) => {}
                    }
                    ends.send_replace(None);
                }
            };
            tokio::spawn(keep);
            let hold = hold::run(store.calls.clone(), commands, store.lease.clone());
            let closed = store.is_closed();
            tokio::spawn(async move {
                tokio::select! {
                    () = closed => {}
                    () = hold => {}
                }
            });
        }
        store
    }

    /// Returns when the store is closed or dropped.
    fn is_closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            // An error: it was dropped.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// Whether something may be written.
    fn check_writable(&self) -> Result<(), StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        if *self.closed.borrow() {
            return Err(StoreError::Closed);
        }
        Ok(())
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Result<Read, StoreError>> {
        async move {
            txn::check_keys(keys)?;
            self.calls.get(keys).await
        }
        .boxed()
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        async move {
            self.check_writable()?;
            txn.check()?;
            self.holds.check_free(&txn)?;
            self.calls.commit(txn).await
        }
        .boxed()
    }

    fn follow(&self, prefix: &str) -> Follower {
        let source = follow::Source {
            link: self.streams.clone(),
            root: self.root.clone(),
            prefix: prefix.to_owned(),
            lease: self.lease.clone(),
            options: self.options.clone(),
        };
        follow::start(source, self.is_closed())
    }

    fn hold<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            self.check_writable()?;
            txn::check_key(key)?;
            self.holds.hold(key, value).await
        }
        .boxed()
    }

    fn release<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.check_writable()?;
            self.holds.release(key).await
        }
        .boxed()
    }

    fn session(&self) -> watch::Receiver<Option<Instant>> {
        self.ends.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            if self.closed.send_replace(true) || self.options.read_only {
                return;
            }
            let end = async {
                // The keeper is gone then: no other lease follows.
                let _ = self.ends.clone().wait_for(Option::is_none).await;
                let id = self.lease.borrow().id;
                lease::revoke(&self.calls, id).await
            };
            // Nobody is left who could do more about a failure.
            let _ = time::timeout(CLOSE, end).await;
        }
        .boxed()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
