//! Follows one source: lists, watches, and begins again after every failure.

use std::{collections::HashSet, fmt, time::Duration};

use futures::StreamExt as _;
use kit::drain::Drain;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, PartialObjectMeta},
    core::DynamicResourceScope,
    runtime::watcher::{self, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{
    Backoff, GRACE, MISSING_INTERVAL, WATCH_TIMEOUT,
    board::{Event, Key},
    object::{KeysOnly, Observed},
    source::{Source, Take, Which},
};

/// How long the API server may take for a page of a list.
const PAGE: Duration = Duration::from_secs(30);

/// Why following ended.
enum End {
    /// Nobody listens any more.
    Closed,
    /// The resource is not installed.
    Missing,
    /// Anything else.
    Failed(String),
}

/// Sends events until `drain` has finished.
pub(super) async fn follow(
    client: Client,
    source: &'static Source,
    namespace: String,
    mut secret_names: watch::Receiver<String>,
    events: mpsc::Sender<Event>,
    drain: Drain,
) {
    let mut line = Line {
        client,
        source,
        namespace,
        events,
        backoff: Backoff::default(),
        failing: None,
        stale: false,
    };
    loop {
        let secret_name = secret_names.borrow_and_update().clone();
        let other_name = async {
            match source.which {
                // Without a writer there is nothing to follow either.
                Which::StorageSecrets => secret_names.changed().await.is_ok(),
                _ => std::future::pending().await,
            }
        };
        let pause = tokio::select! {
            _ = drain.finished() => return,
            changed = other_name => {
                if !changed {
                    return;
                }
                Duration::ZERO
            }
            end = line.once(&secret_name) => match line.ended(end).await {
                Some(pause) => pause,
                None => return,
            },
        };
        tokio::select! {
            _ = drain.finished() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Line {
    client: Client,
    source: &'static Source,
    namespace: String,
    events: mpsc::Sender<Event>,
    backoff: Backoff,
    /// Since when nothing worked.
    failing: Option<Instant>,
    /// Whether that was said.
    stale: bool,
}

impl Line {
    /// Lists and watches until something fails.
    async fn once(&mut self, secret_name: &str) -> End {
        match self.source.take {
            Take::Whole => self.stream::<DynamicObject>(secret_name).await,
            Take::Metadata => self.stream::<PartialObjectMeta<DynamicObject>>(secret_name).await,
            Take::Keys => self.stream::<KeysOnly>(secret_name).await,
        }
    }

    /// What to do after an end: how long to wait, or nothing any more.
    async fn ended(&mut self, end: End) -> Option<Duration> {
        match end {
            End::Closed => None,
            End::Missing => {
                self.worked();
                self.send(Event::Complete(self.source, HashSet::new())).await?;
                Some(MISSING_INTERVAL)
            }
            End::Failed(problem) => {
                let since = *self.failing.get_or_insert_with(Instant::now);
                tracing::warn!(source = self.source.name, error = problem, "watch failed");
                if !self.stale && since.elapsed() >= GRACE {
                    self.stale = true;
                }
                if self.stale {
                    self.send(Event::Stale(self.source, problem)).await?;
                }
                // The grace must not pass in a long pause.
                Some(self.backoff.pause().min(GRACE))
            }
        }
    }

    async fn stream<K>(&mut self, secret_name: &str) -> End
    where
        K: Observed + Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
        K: Clone + fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let resource = self.source.resource();
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT);
        let all = || Api::<K>::all_with(self.client.clone(), &resource);
        let (api, config) = match self.source.which {
            Which::All => (all(), config),
            Which::StorageSecrets => (all(), config.fields(&format!("metadata.name={secret_name}"))),
            Which::Configuration => {
                let own = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
                (own, config.fields("metadata.name=inferenceservice-config"))
            }
        };
        let mut stream = watcher(api, config).boxed();
        let mut listed = Some(HashSet::new());
        loop {
            let next = match listed {
                Some(_) => timeout(PAGE, stream.next()).await,
                None => Ok(stream.next().await),
            };
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(err))) => return failure(&err),
                Ok(None) => return End::Failed("the watch ended".to_owned()),
                Err(_) => return End::Failed("the API server did not answer in time".to_owned()),
            };
            let event = match event {
                watcher::Event::Init => {
                    listed = Some(HashSet::new());
                    continue;
                }
                watcher::Event::InitApply(object) => {
                    let key = key(&object);
                    if let Some(listed) = &mut listed {
                        listed.insert(key.clone());
                    }
                    Event::Seen(self.source, key, object.reduce(self.source))
                }
                watcher::Event::InitDone => {
                    self.worked();
                    Event::Complete(self.source, listed.take().unwrap_or_default())
                }
                watcher::Event::Apply(object) => {
                    Event::Seen(self.source, key(&object), object.reduce(self.source))
                }
                watcher::Event::Delete(object) => Event::Gone(self.source, key(&object)),
            };
            if self.send(event).await.is_none() {
                return End::Closed;
            }
        }
    }

    fn worked(&mut self) {
        self.backoff.reset();
        self.failing = None;
        self.stale = false;
    }

    async fn send(&self, event: Event) -> Option<()> {
        self.events.send(event).await.ok()
    }
}

fn key<K: Observed>(object: &K) -> Key {
    let metadata = object.metadata();
    Key {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

fn failure(err: &watcher::Error) -> End {
    use kube::Error::Api;
    use watcher::Error::{InitialListFailed, WatchStartFailed};

    match err {
        InitialListFailed(Api(status)) | WatchStartFailed(Api(status)) if status.code == 404 => End::Missing,
        InitialListFailed(Api(status)) | WatchStartFailed(Api(status)) => End::Failed(status.message.clone()),
        other => End::Failed(other.to_string()),
    }
}
