//! The cache of loaded models: drives the pure state machine of [`crate::core::copies`] with a clock and a runtime.
//!
//! Requests for a loaded model go through [`Cache::enter`]: one map look-up and two atomics. Everything else takes the
//! lock around the state machine, for microseconds and never over an await.

mod clock;
mod drive;
mod error;
mod options;
mod start;

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use api::mmesh::RuntimeStatusResponse;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use self::{clock::Clock, drive::Core};
pub use self::{
    error::{CacheError, StartError},
    options::CacheOptions,
};
pub use crate::core::copies::CopyState;
use crate::{
    core::{
        cache::gate::{Gate, Generation, Home},
        copies::{Refusal, Ticket},
    },
    map::Map,
    metrics::Metrics,
    model::{ModelId, ModelSpec},
    request::IdHeaders,
    runtime::Runtime,
};

/// A request waits this many load time-outs for a copy at most, as upstream's do.
const WAIT_LOADS: u32 = 5;

/// What is known of one model on this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStatus {
    /// Where it is in its life.
    pub state: CopyState,
    /// Since when, ms since the epoch; for a failure its time.
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

/// Memory of this instance at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// What the runtime has.
    pub capacity_bytes: u64,
    /// What of it loaded models may fill, the rest being set aside for loads that come before unloads are done.
    pub usable_bytes: u64,
    /// Held by loads, loaded models, models on their way out, and lost bytes.
    pub used_bytes: u64,
    /// Held by models that could not be unloaded.
    pub lost_bytes: u64,
    /// Loaded models.
    pub models: usize,
    /// Models whose last load failed not long ago.
    pub failed: usize,
    /// Loads that wait for their turn.
    pub queued_loads: usize,
    /// Loads that have their turn.
    pub running_loads: usize,
    /// Requests that wait for a load or a slot.
    pub waiting_requests: usize,
    /// The moment, ms since the epoch.
    pub at_ms: u64,
    /// Last use of the model that would be evicted first, ms since the epoch; `None` = nothing is loaded.
    pub oldest_use_ms: Option<u64>,
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

    /// The model's id as headers for the runtime.
    pub fn id_headers(&self) -> &IdHeaders {
        self.gate.id_headers()
    }

    /// The load that made this copy.
    pub fn generation(&self) -> u64 {
        self.gate.generation()
    }

    /// Requests in this copy, with this one.
    pub fn in_flight(&self) -> u64 {
        self.gate.in_flight()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

/// Local copies of models. Share it as `Arc<Cache>`.
pub struct Cache {
    /// For the tasks that this cache starts: they keep it alive only while they report.
    this: Weak<Cache>,
    runtime: Arc<dyn Runtime>,
    status: RuntimeStatusResponse,
    options: CacheOptions,
    load_timeout: Duration,
    metrics: Metrics,
    clock: Clock,
    /// Warm path: what serves. Changed only under the lock around `core`, so it follows its order.
    serving: Map<ModelId, Arc<Gate>>,
    core: Mutex<Core>,
    /// The next deadline changed.
    timer: Arc<Notify>,
    /// Nothing is left to unload.
    idle: Notify,
    /// Hears of copies that come and go.
    observer: OnceLock<Arc<dyn CopyObserver>>,
}

/// Hears that the copy of a model came, went, or failed to load; what it is now, [`Cache::copy`] says.
pub trait CopyObserver: fmt::Debug + Send + Sync {
    /// Must be quick: it is called by whoever caused the change.
    fn changed(&self, id: &ModelId);

    /// A load took so long.
    fn loaded(&self, id: &ModelId, took_ms: u64);
}

impl Cache {
    /// Asks the runtime until it is READY, checks its limits, then is ready to serve.
    pub async fn start(
        runtime: Arc<dyn Runtime>,
        options: CacheOptions,
        metrics: Metrics,
    ) -> Result<Arc<Self>, StartError> {
        let status = start::ready(&*runtime, options.start_timeout).await?;
        start::check(&status)?;
        for method in status.method_infos.keys() {
            metrics.admit_method(&format!("/{method}"));
        }
        let load_timeout = Duration::from_millis(u64::from(status.model_loading_timeout_ms));
        let limits = options.limits(&status);
        let cache = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            runtime,
            status,
            options,
            load_timeout,
            metrics,
            clock: Clock::start(),
            serving: Map::default(),
            core: Mutex::new(Core::new(limits, this.clone())),
            timer: Arc::new(Notify::new()),
            idle: Notify::new(),
            observer: OnceLock::new(),
        });
        tokio::spawn(drive::watch_deadlines(cache.this.clone(), cache.timer.clone()));
        let watched = cache.this.clone();
        cache
            .metrics
            .watch_instance(move || watched.upgrade().map(|cache| cache.usage()));
        Ok(cache)
    }

    /// Has someone hear of copies that come and go; the first one who asks.
    pub fn observe(&self, observer: Arc<dyn CopyObserver>) {
        if self.observer.set(observer).is_err() {
            tracing::warn!("copies are observed by someone else already");
        }
    }

    /// What the runtime said of itself: limits, methods.
    pub fn runtime_status(&self) -> &RuntimeStatusResponse {
        &self.status
    }

    /// Warm path: no lock, no allocation. Marks the use. `None`: not loaded here, or every slot is taken.
    pub fn enter(&self, id: &str) -> Option<Lease> {
        let serving = self.serving.pin();
        let gate = serving.get(id)?;
        gate.enter(self.clock.now_ms())
            .then(|| Lease { gate: gate.clone() })
    }

    /// Cold path: loads the model if it has to (one load for all who wait), or waits for a slot.
    ///
    /// Dropping the future gives the place up.
    pub async fn acquire(&self, id: &ModelId, spec: &ModelSpec) -> Result<Lease, CacheError> {
        if let Some(lease) = self.enter(id) {
            return Ok(lease);
        }
        let begun = Instant::now();
        let (place, was_loaded) = self.with_core(|core, now| {
            let was_loaded = core.copies.serves(id);
            let ticket = core.copies.acquire(id, spec, now);
            (self.take_place(core, id, ticket), was_loaded)
        });
        let lease = self
            .wait(id, &mut place?)
            .await?
            .ok_or(CacheError::ShuttingDown)?;
        self.metrics.waited(was_loaded, begun.elapsed());
        Ok(lease)
    }

    /// Starts a load without waiting for it. `last_used` is ms since the epoch, `None` = now.
    ///
    /// A load with an old last use is dropped when it would push out what was used more recently.
    pub fn ensure(&self, id: &ModelId, spec: &ModelSpec, last_used: Option<u64>) -> Result<(), CacheError> {
        self.with_core(|core, now| core.copies.ensure(id, spec, last_used, now))
            .map_err(|refusal| self.refuse(id, refusal))
    }

    /// Waits until the load that is under way is done; does not speed it up.
    pub async fn wait_loaded(&self, id: &ModelId) -> Result<(), CacheError> {
        let mut place = self.with_core(|core, now| {
            let ticket = core.copies.watch(id, now);
            self.take_place(core, id, ticket)
        })?;
        self.wait(id, &mut place).await.map(drop)
    }

    /// Unloaded on request: lets no new request in; unloads once the ones in flight are done. Forgets a failure.
    pub fn unload(&self, id: &str) {
        self.with_core(|core, now| core.copies.discard(id, now));
    }

    /// Unregistered: as [`Cache::unload`], and forgets what is known of the model.
    pub fn remove(&self, id: &str) {
        self.with_core(|core, now| core.copies.remove(id, now));
        self.metrics.remove_model(id);
    }

    /// The runtime does not have this copy any more: drops it, unless a later load replaced it already.
    pub fn forget(&self, lease: Lease) {
        let generation = lease.generation();
        tracing::info!(model = %lease.id(), generation, "runtime lost a model");
        drop(lease);
        self.with_core(|core, now| core.copies.forget(generation, now));
    }

    /// Looks at every copy that serves. Takes no lock; copies that come or go meanwhile may be missed.
    pub fn each_loaded(&self, mut look: impl FnMut(&Gate)) {
        for gate in self.serving.pin().values() {
            look(gate);
        }
    }

    /// What is known of a model here; `None` = nobody ever asked for it.
    pub fn copy(&self, id: &str) -> Option<CopyStatus> {
        let view = self.core.lock().copies.view(id, self.clock.now_ms())?;
        Some(CopyStatus {
            state: view.state,
            since_ms: view.since,
            size_bytes: view.bytes,
            last_used_ms: view.last_used,
            loads: view.loads,
            evictions: view.evictions,
            in_flight: view.in_flight,
            failure: view.failure.map(|failure| CopyFailure {
                message: error::message(&failure.cause),
                at_ms: failure.at,
                retry_at_ms: failure.retry_at,
            }),
        })
    }

    /// Memory of this instance.
    pub fn usage(&self) -> CacheUsage {
        let mut core = self.core.lock();
        let (totals, at_ms) = (core.copies.totals(), self.clock.now_ms());
        CacheUsage {
            capacity_bytes: self.status.capacity_in_bytes,
            usable_bytes: core.copies.usable(),
            used_bytes: u64::try_from(totals.used()).unwrap_or(u64::MAX),
            lost_bytes: u64::try_from(totals.lost).unwrap_or(u64::MAX),
            models: core.copies.loaded_count(),
            failed: core.copies.failed_count(at_ms),
            queued_loads: core.copies.queued_count(),
            running_loads: core.copies.running_count(),
            waiting_requests: core.copies.waiting_count(),
            at_ms,
            oldest_use_ms: core.copies.oldest_use(at_ms),
        }
    }

    /// Loads nothing any more, lets requests in flight end, unloads everything; returns at the deadline at the latest.
    pub async fn shutdown(&self, deadline: Instant) {
        self.with_core(|core, now| core.copies.shutdown(now));
        let drained = async {
            loop {
                let idle = self.idle.notified();
                if self.core.lock().copies.is_idle() {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("models are still loaded at the shutdown deadline");
        }
    }

    fn refuse(&self, id: &str, refusal: Refusal) -> CacheError {
        self.metrics.refused(&refusal);
        CacheError::new(id, refusal, &self.options)
    }

    fn take_place(
        &self,
        core: &mut Core,
        id: &ModelId,
        ticket: Result<Ticket, Refusal>,
    ) -> Result<Place<'_>, CacheError> {
        let ticket = ticket.map_err(|refusal| self.refuse(id, refusal))?;
        let (sender, answer) = oneshot::channel();
        core.tickets.insert(ticket, sender);
        Ok(Place {
            cache: self,
            ticket,
            waiting: true,
            answer,
        })
    }

    async fn wait(&self, id: &ModelId, place: &mut Place<'_>) -> Result<Option<Lease>, CacheError> {
        let longest = self.load_timeout * WAIT_LOADS;
        match tokio::time::timeout(longest, &mut place.answer).await {
            Ok(answer) => {
                place.waiting = false;
                let answer = answer.unwrap_or(Err(Refusal::ShuttingDown));
                answer.map_err(|refusal| self.refuse(id, refusal))
            }
            Err(_) => Err(CacheError::WaitTimeout {
                id: id.to_string(),
                waited_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }
}

/// A place in a queue, given up when it is dropped before the answer.
struct Place<'a> {
    cache: &'a Cache,
    ticket: Ticket,
    waiting: bool,
    answer: oneshot::Receiver<Result<Option<Lease>, Refusal>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waiting {
            self.cache.with_core(|core, now| {
                core.tickets.remove(&self.ticket);
                core.copies.give_up(self.ticket, now);
            });
        }
    }
}

impl Home for Cache {
    fn left(&self, generation: Generation) {
        self.with_core(|core, now| core.copies.left(generation, now));
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Wakes the timer task, which ends when it finds nothing to watch.
        self.timer.notify_one();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
