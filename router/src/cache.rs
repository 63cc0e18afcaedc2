//! The cache of loaded models: drives the pure state machines of [`crate::core`] with a clock and a runtime.

mod error;
mod options;

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::mmesh::{RuntimeStatusResponse, runtime_status_response};
use tokio::time::Instant;

pub use self::{
    error::{CacheError, StartError},
    options::CacheOptions,
};
use crate::{
    core::cache::gate::{Gate, Home},
    metrics::Metrics,
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};

/// Where a copy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// Not here, and nobody wants it here.
    NotLoaded,
    /// Waits for its turn to load.
    Queued,
    /// Its turn has come; waits for memory.
    Waiting,
    /// The runtime loads it.
    Loading,
    /// Loaded; its size is being measured.
    Sizing,
    /// Serves.
    Loaded,
    /// Drains or unloads.
    Unloading,
    /// The last load failed.
    Failed,
}

/// What is known of one model on this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStatus {
    /// Where it is in its life.
    pub state: CopyState,
    /// Since when, ms since the epoch; for a load that is under way its start, for a failure its time.
    pub since_ms: u64,
    /// Bytes it holds; 0 when it holds none.
    pub size_bytes: u64,
    /// Last use, ms since the epoch; 0 = never.
    pub last_used_ms: u64,
    /// Loads that succeeded.
    pub loads: u64,
    /// Times it was pushed out by others.
    pub evictions: u64,
    /// Requests inside.
    pub in_flight: u64,
    /// Why the last load failed, while that is remembered.
    pub failure: Option<CopyFailure>,
}

/// A failed load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFailure {
    /// What went wrong.
    pub message: String,
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// Nobody tries again before, ms since the epoch.
    pub retry_at_ms: u64,
}

/// One request on one loaded copy; dropping it ends the request.
#[derive(Debug)]
pub struct Lease {
    gate: Arc<Gate>,
}

impl Lease {
    /// The model.
    pub fn id(&self) -> &ModelId {
        self.gate.id()
    }

    /// The load that made this copy.
    pub fn generation(&self) -> u64 {
        self.gate.generation()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

/// Local copies of models. Share it as `Arc<Cache>`.
#[derive(Debug)]
pub struct Cache {
    runtime: Arc<dyn Runtime>,
    status: RuntimeStatusResponse,
    copies: papaya::HashMap<ModelId, Arc<Gate>>,
    loading: tokio::sync::Mutex<u64>,
    home: Weak<dyn Home>,
}

struct Nobody;

impl Home for Nobody {
    fn left(&self, _generation: u64) {}
}

impl std::fmt::Debug for dyn Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Home")
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Cache {
    /// Asks the runtime until it is READY, checks its limits, then is ready to serve.
    pub async fn start(
        runtime: Arc<dyn Runtime>,
        options: CacheOptions,
        _metrics: Metrics,
    ) -> Result<Arc<Self>, StartError> {
        let deadline = Instant::now() + options.start_timeout;
        let mut last = String::new();
        while Instant::now() < deadline {
            match tokio::time::timeout_at(deadline, runtime.status()).await {
                Ok(Ok(status)) if status.status() == runtime_status_response::Status::Ready => {
                    let home: Weak<dyn Home> = Weak::<Nobody>::new();
                    let loading = tokio::sync::Mutex::new(0);
                    return Ok(Arc::new(Self {
                        runtime,
                        status,
                        copies: papaya::HashMap::new(),
                        loading,
                        home,
                    }));
                }
                Ok(Ok(status)) if status.status() == runtime_status_response::Status::Failing => {
                    return Err(StartError::Failing);
                }
                Ok(Ok(_)) => "STARTING".clone_into(&mut last),
                Ok(Err(err)) => last = err.to_string(),
                Err(_) => "no answer".clone_into(&mut last),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(StartError::NotReady {
            after: options.start_timeout,
            last,
        })
    }

    /// What the runtime said of itself: limits, methods.
    pub fn runtime_status(&self) -> &RuntimeStatusResponse {
        &self.status
    }

    /// Warm path: no lock, no allocation. Marks the use. `None`: not loaded here, or every slot is taken.
    pub fn enter(&self, id: &str) -> Option<Lease> {
        let copies = self.copies.pin();
        let gate = copies.get(id)?;
        gate.enter(now_ms()).then(|| Lease { gate: gate.clone() })
    }

    /// Cold path: loads the model if it has to (one load for all who wait), or waits for a slot.
    ///
    /// Dropping the future gives the place up.
    pub async fn acquire(&self, id: &ModelId, spec: &ModelSpec) -> Result<Lease, CacheError> {
        let mut generation = self.loading.lock().await;
        if let Some(lease) = self.enter(id) {
            return Ok(lease);
        }
        let timeout = Duration::from_millis(u64::from(self.status.model_loading_timeout_ms));
        self.runtime
            .load(id, spec, timeout)
            .await
            .map_err(|status| CacheError::LoadFailed {
                message: status.message().to_owned(),
                at_ms: now_ms(),
                retry_at_ms: now_ms(),
            })?;
        *generation += 1;
        let gate = Arc::new(Gate::new(id.clone(), *generation, now_ms(), self.home.clone()));
        self.copies.pin().insert(id.clone(), gate.clone());
        gate.enter(now_ms());
        Ok(Lease { gate })
    }

    /// Starts a load without waiting for it. `last_used` is ms since the epoch, `None` = now.
    ///
    /// A load with an old last use is dropped when it would push out what was used more recently.
    pub fn ensure(
        self: &Arc<Self>,
        id: &ModelId,
        spec: &ModelSpec,
        _last_used: Option<u64>,
    ) -> Result<(), CacheError> {
        let (cache, id, spec) = (self.clone(), id.clone(), spec.clone());
        tokio::spawn(async move { cache.acquire(&id, &spec).await.map(drop) });
        Ok(())
    }

    /// Waits until the load that is under way is done.
    pub async fn wait_loaded(&self, id: &ModelId) -> Result<(), CacheError> {
        tokio::task::yield_now().await;
        drop(self.loading.lock().await);
        match self.enter(id) {
            Some(_) => Ok(()),
            None => Err(CacheError::NotLoading { id: id.to_string() }),
        }
    }

    /// Unregistered, or unloaded on request: lets no new request in; unloads once the ones in flight are done.
    pub fn remove(&self, id: &str) {
        self.copies.pin().remove(id);
    }

    /// The runtime does not have this copy any more: drops it, unless a later load replaced it already.
    pub fn forget(&self, lease: Lease) {
        let id = lease.id().clone();
        drop(lease);
        self.copies.pin().remove(&id);
    }

    /// What is known of a model here; `None` = nothing.
    pub fn copy(&self, id: &str) -> Option<CopyStatus> {
        let copies = self.copies.pin();
        let gate = copies.get(id)?;
        Some(CopyStatus {
            state: CopyState::Loaded,
            since_ms: gate.last_used(),
            size_bytes: 0,
            last_used_ms: gate.last_used(),
            loads: 1,
            evictions: 0,
            in_flight: gate.in_flight(),
            failure: None,
        })
    }

    /// Loads nothing any more, lets requests in flight end, unloads everything; returns at the deadline at the latest.
    pub async fn shutdown(&self, _deadline: Instant) {
        self.copies.pin().clear();
    }
}
