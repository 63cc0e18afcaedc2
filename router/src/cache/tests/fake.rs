//! A runtime that does what it is told, when it is told.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use api::mmesh::{LoadModelResponse, RuntimeStatusResponse, runtime_status_response};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::{Code, Status};

use crate::{
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};

/// What the runtime does with one model.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) predicted: Result<u64, Code>,
    /// What the load answers.
    pub(super) answered: u64,
    /// What a measurement gives.
    pub(super) measured: u64,
    pub(super) concurrency: u32,
    /// Loads that fail first.
    pub(super) fails: u32,
    /// Unloads that fail first.
    pub(super) unload_fails: u32,
    pub(super) panics: bool,
}

impl Plan {
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            predicted: Ok(bytes),
            answered: bytes,
            measured: bytes,
            concurrency: 0,
            fails: 0,
            unload_fails: 0,
            panics: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Fake {
    pub(super) status: Mutex<RuntimeStatusResponse>,
    starting: Mutex<u32>,
    plans: Mutex<HashMap<String, Plan>>,
    log: Mutex<Vec<String>>,
    held: Mutex<HashSet<String>>,
    predictions: Mutex<usize>,
    changed: Notify,
}

impl Fake {
    /// Capacity in bytes; the smallest limits otherwise, in units so small that tests can count.
    pub(super) fn new(capacity: u64) -> Arc<Self> {
        let status = RuntimeStatusResponse {
            status: runtime_status_response::Status::Ready.into(),
            capacity_in_bytes: capacity,
            max_loading_concurrency: 4,
            model_loading_timeout_ms: 60_000,
            default_model_size_in_bytes: 10,
            ..RuntimeStatusResponse::default()
        };
        Arc::new(Self {
            status: Mutex::new(status),
            starting: Mutex::new(0),
            plans: Mutex::new(HashMap::new()),
            log: Mutex::new(Vec::new()),
            held: Mutex::new(HashSet::new()),
            predictions: Mutex::new(0),
            changed: Notify::new(),
        })
    }

    pub(super) fn plan(&self, id: &str, plan: Plan) {
        self.plans.lock().insert(id.to_owned(), plan);
    }

    /// Answers STARTING so many times first.
    pub(super) fn starting(&self, times: u32) {
        *self.starting.lock() = times;
    }

    /// Calls like "load a" wait until they are released.
    pub(super) fn hold(&self, call: &str) {
        self.held.lock().insert(call.to_owned());
    }

    pub(super) fn release(&self, call: &str) {
        self.held.lock().remove(call);
        self.changed.notify_waiters();
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    pub(super) fn count(&self, entry: &str) -> usize {
        self.log.lock().iter().filter(|logged| *logged == entry).count()
    }

    pub(super) fn predictions(&self) -> usize {
        *self.predictions.lock()
    }

    /// Waits until the log has so many of this entry.
    pub(super) async fn until(&self, entry: &str, times: usize) {
        loop {
            let changed = self.changed.notified();
            if self.count(entry) >= times {
                return;
            }
            changed.await;
        }
    }

    fn write(&self, entry: String) {
        self.log.lock().push(entry);
        self.changed.notify_waiters();
    }

    async fn step(&self, call: String) {
        self.write(call.clone());
        loop {
            let changed = self.changed.notified();
            if !self.held.lock().contains(&call) {
                return;
            }
            changed.await;
        }
    }

    fn planned<T>(&self, id: &str, read: impl FnOnce(&mut Plan) -> T) -> T {
        read(
            self.plans
                .lock()
                .entry(id.to_owned())
                .or_insert_with(|| Plan::of(10)),
        )
    }
}

/// Writes down that a load was dropped before its end.
struct Canceled<'a>(&'a Fake, &'a str, bool);

impl Drop for Canceled<'_> {
    fn drop(&mut self) {
        if !self.2 {
            self.0.write(format!("canceled {}", self.1));
        }
    }
}

fn count_down(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

impl Runtime for Fake {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        let mut status = self.status.lock().clone();
        if count_down(&mut self.starting.lock()) {
            status.status = runtime_status_response::Status::Starting.into();
        }
        async move { Ok(status) }.boxed()
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        _spec: &'a ModelSpec,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        async move {
            let mut canceled = Canceled(self, id, false);
            self.step(format!("load {id}")).await;
            canceled.2 = true;
            assert!(!self.planned(id, |plan| plan.panics), "as planned");
            if self.planned(id, |plan| count_down(&mut plan.fails)) {
                return Err(Status::invalid_argument(format!("cannot load {id}")));
            }
            Ok(self.planned(id, |plan| LoadModelResponse {
                size_in_bytes: plan.answered,
                max_concurrency: plan.concurrency,
            }))
        }
        .boxed()
    }

    fn unload<'a>(&'a self, id: &'a ModelId, _timeout: Duration) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            self.step(format!("unload {id}")).await;
            if self.planned(id, |plan| count_down(&mut plan.unload_fails)) {
                return Err(Status::unavailable("not now"));
            }
            Ok(())
        }
        .boxed()
    }

    fn predict_size<'a>(
        &'a self,
        id: &'a ModelId,
        _spec: &'a ModelSpec,
    ) -> BoxFuture<'a, Result<u64, Status>> {
        *self.predictions.lock() += 1;
        let predicted = self.planned(id, |plan| plan.predicted);
        async move { predicted.map_err(|code| Status::new(code, "no")) }.boxed()
    }

    fn model_size<'a>(&'a self, id: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        let measured = self.planned(id, |plan| plan.measured);
        async move { Ok(measured) }.boxed()
    }
}
