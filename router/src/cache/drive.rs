//! Does what the state machine decides: calls the runtime, publishes what serves, wakes who waits, keeps time.

use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tonic::{Code, Status};

use super::{Cache, CacheOptions, Lease, error};
use crate::{
    core::{
        cache::gate::{Gate, Generation, Home},
        copies::{Action, Cause, Copies, Limits, Note, Refusal, Ticket},
    },
    model::{ModelId, ModelSpec},
};

type Answer = Result<Option<Lease>, Refusal>;

/// What is done once the lock is released.
#[derive(Default)]
struct Out {
    notes: Vec<(ModelId, Note)>,
    answers: Vec<(Option<oneshot::Sender<Answer>>, Answer)>,
}

/// What the lock guards.
pub(super) struct Core {
    pub(super) copies: Copies,
    pub(super) tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// Load or measurement that runs for a generation; the unload of a canceled one waits for its end.
    running: HashMap<Generation, JoinHandle<()>>,
    /// The runtime cannot predict sizes and is not asked any more.
    unpredictable: bool,
}

impl Core {
    pub(super) fn new(limits: Limits, home: Weak<dyn Home>) -> Self {
        Self {
            copies: Copies::new(limits, home),
            tickets: HashMap::new(),
            running: HashMap::new(),
            unpredictable: false,
        }
    }
}

impl Cache {
    /// Tells the state machine something, and does what it decides.
    ///
    /// Answers and notes go out after the lock is released: an answer that nobody takes is a lease that ends, which locks
    /// again, and whoever reads the log may be slow.
    pub(super) fn with_core<R>(&self, event: impl FnOnce(&mut Core, u64) -> R) -> R {
        let mut out = Out::default();
        let result = {
            let mut core = self.core.lock();
            let before = core.copies.next_deadline();
            let result = event(&mut core, self.clock.now_ms());
            while let Some(action) = core.copies.next_action() {
                self.perform(&mut core, action, &mut out);
            }
            if core.copies.next_deadline() != before {
                self.timer.notify_one();
            }
            if core.copies.is_closing() && core.copies.is_idle() {
                self.idle.notify_waiters();
            }
            result
        };
        for (id, note) in &out.notes {
            self.note(id, note);
            if let Some(observer) = self.observer.get() {
                match note {
                    Note::Loaded { took } => observer.loaded(id, *took),
                    _ => observer.changed(id),
                }
            }
        }
        for (sender, answer) in out.answers {
            if let Some(sender) = sender {
                // Whoever waited may have gone at this very moment; the lease inside ends here then.
                let _gone = sender.send(answer);
            }
        }
        result
    }

    fn perform(&self, core: &mut Core, action: Action, out: &mut Out) {
        match action {
            Action::Predict(gate, spec) => self.predict(core, gate, spec),
            Action::Load(gate, spec) => self.load(core, gate, spec),
            Action::Size(gate) => self.measure(core, gate),
            Action::Cancel(generation) => {
                if let Some(task) = core.running.get(&generation) {
                    task.abort();
                }
            }
            Action::Unload(gate) => self.end(core, gate),
            Action::Serve(gate) => {
                self.serving.pin().insert(gate.id().clone(), gate);
            }
            Action::Withdraw(gate) => {
                self.serving.pin().remove(gate.id());
            }
            Action::Wake(ticket, result) => {
                let answer = result.map(|gate| gate.map(|gate| Lease { gate }));
                out.answers.push((core.tickets.remove(&ticket), answer));
            }
            Action::Note(id, note) => out.notes.push((id, note)),
        }
    }

    /// Runs `work`, then reports with `report` if the cache still lives.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        report: impl FnOnce(&Cache, T) + Send + 'static,
    ) -> JoinHandle<()> {
        let cache = self.this.clone();
        tokio::spawn(async move {
            let result = work.await;
            if let Some(cache) = cache.upgrade() {
                report(&cache, result);
            }
        })
    }

    fn predict(&self, core: &mut Core, gate: Arc<Gate>, spec: Arc<ModelSpec>) {
        let generation = gate.generation();
        if core.unpredictable {
            // Answers at once, in a later action of the same round.
            core.copies.predicted(generation, None, self.clock.now_ms());
            return;
        }
        let runtime = self.runtime.clone();
        let timeout = self.options.predict_timeout;
        let work = async move { call(timeout, runtime.predict_size(gate.id(), &spec)).await };
        self.run(work, move |cache, result| {
            cache.with_core(|core, now| {
                if matches!(&result, Err(status) if status.code() == Code::Unimplemented) {
                    core.unpredictable = true;
                }
                core.copies.predicted(generation, result.ok(), now);
            });
        });
    }

    fn load(&self, core: &mut Core, gate: Arc<Gate>, spec: Arc<ModelSpec>) {
        let generation = gate.generation();
        let (runtime, timeout) = (self.runtime.clone(), self.load_timeout);
        tracing::debug!(model = %gate.id(), generation, "load starts");
        let work = async move { guarded(runtime.load(gate.id(), &spec, timeout)).await };
        let task = self.run(work, move |cache, result| {
            cache.with_core(|core, now| match result {
                Ok(answer) => {
                    core.copies
                        .loaded(generation, answer.size_in_bytes, answer.max_concurrency, now);
                }
                Err(status) => core.copies.load_failed(generation, cause(&status), now),
            });
        });
        core.running.insert(generation, task);
    }

    fn measure(&self, core: &mut Core, gate: Arc<Gate>) {
        let generation = gate.generation();
        let (runtime, timeout) = (self.runtime.clone(), self.options.size_timeout);
        let work = async move {
            let result = call(timeout, runtime.model_size(gate.id())).await;
            if let Err(status) = &result {
                tracing::warn!(model = %gate.id(), error = %text(status), "size could not be measured");
            }
            result.ok()
        };
        let task = self.run(work, move |cache, bytes| {
            cache.with_core(|core, now| {
                core.running.remove(&generation);
                core.copies.sized(generation, bytes, now);
            });
        });
        core.running.insert(generation, task);
    }

    fn end(&self, core: &mut Core, gate: Arc<Gate>) {
        let generation = gate.generation();
        let (runtime, timeout) = (self.runtime.clone(), self.options.unload_timeout);
        let load = core.running.remove(&generation);
        let work = async move {
            call(timeout, async {
                if let Some(load) = load {
                    // A load that is still being torn down must not outlive the unload. Canceled is as good as done.
                    let _ended = load.await;
                }
                runtime.unload(gate.id(), timeout).await
            })
            .await
        };
        self.run(work, move |cache, result| {
            let result = match result {
                Err(status) if status.code() != Code::NotFound => Err(text(&status)),
                _ => Ok(()),
            };
            cache.with_core(|core, now| core.copies.unloaded(generation, result, now));
        });
    }

    fn note(&self, id: &ModelId, note: &Note) {
        match note {
            Note::Turn { .. } | Note::Measured { .. } => {}
            Note::Loaded { took } => tracing::debug!(model = %id, took_ms = took, "runtime loaded a model"),
            Note::Serves { bytes } => tracing::info!(model = %id, bytes, "model loaded"),
            Note::LoadFailed { cause } => {
                tracing::warn!(model = %id, error = %error::message(cause), "model load failed");
            }
            Note::Evicted { age } => tracing::info!(model = %id, age_ms = age, "model evicted"),
            Note::Unloaded { took } => tracing::debug!(model = %id, took_ms = took, "model unloaded"),
            Note::UnloadTryFailed { message } => {
                tracing::warn!(model = %id, error = %message, "unload failed, will be tried again");
            }
            Note::UnloadFailed { bytes } => {
                tracing::error!(model = %id, bytes, "unload failed for good, its memory is lost");
            }
        }
        self.metrics.note(note);
    }
}

/// Wakes the state machine when something is due. Ends with the cache.
pub(super) async fn watch_deadlines(cache: Weak<Cache>, changed: Arc<Notify>) {
    loop {
        let wait = {
            let Some(cache) = cache.upgrade() else { return };
            let now = cache.clock.now_ms();
            let deadline = cache.core.lock().copies.next_deadline();
            if deadline.is_some_and(|at| at <= now) {
                cache.with_core(|core, now| core.copies.expire(now));
                continue;
            }
            deadline.map(|at| Duration::from_millis(at - now))
        };
        match wait {
            Some(wait) => {
                // Either way the next round looks at the clock.
                let _either = tokio::time::timeout(wait, changed.notified()).await;
            }
            None => changed.notified().await,
        }
    }
}

/// One call with a deadline.
async fn call<T>(timeout: Duration, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(timeout, guarded(work)).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} ms",
            timeout.as_millis()
        ))),
    }
}

/// A runtime that panics has failed; whoever waits for it must hear of it.
async fn guarded<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic: Box<dyn Any + Send>| {
            let reason = panic.downcast_ref::<&str>().copied().unwrap_or("no reason given");
            Err(Status::internal(format!("runtime panicked: {reason}")))
        })
}

/// Whether it is the model's fault.
fn cause(status: &Status) -> Cause {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => Cause::Unavailable(text(status)),
        _ => Cause::Runtime(text(status)),
    }
}

/// What a person reads of a status.
fn text(status: &Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    }
}

impl CacheOptions {
    /// What bounds the state machine, together with what the runtime says.
    pub(super) fn limits(&self, status: &api::mmesh::RuntimeStatusResponse) -> Limits {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Limits {
            capacity: status.capacity_in_bytes,
            reserve: self.unload_reserve_bytes,
            default_size: status.default_model_size_in_bytes,
            loading_concurrency: usize::try_from(status.max_loading_concurrency).unwrap_or(usize::MAX),
            load_timeout: u64::from(status.model_loading_timeout_ms),
            limit_concurrency: status.limit_model_concurrency,
            max_waiting_per_copy: self.max_inflight_per_copy,
            max_tickets: self.max_waiting_requests,
            max_queued: self.max_queued_loads,
            failure_expiry: ms(self.load_failure_expiry),
            failure_backoff: ms(self.load_backoff),
            drain: ms(self.drain_timeout),
            forget_drain: ms(self.drain_timeout.min(FORGET_DRAIN)),
            unload_attempts: self.unload_attempts,
            unload_backoff: ms(self.unload_backoff),
        }
    }
}

/// Requests on a copy that the runtime lost end by themselves, with the same answer; one that goes on may be the
/// proof that only one version or part of the model is missing, and gets this long to end.
const FORGET_DRAIN: Duration = Duration::from_secs(10);
