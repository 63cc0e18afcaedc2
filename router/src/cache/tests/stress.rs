//! Many tasks on several threads: what a single-threaded check of the state machine cannot see.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::mmesh::{LoadModelResponse, RuntimeStatusResponse, runtime_status_response};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Status;

use super::{PATIENCE, SPEC, soon};
use crate::{
    cache::{Cache, CacheError, CacheOptions},
    metrics::Metrics,
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};

const CAPACITY: u64 = 100;
const SIZE: u64 = 20;
const SLOTS: u32 = 3;

/// Counts what is loaded, and refuses to be overloaded or confused.
#[derive(Debug, Default)]
struct Strict {
    /// Requests inside, by loaded model.
    loaded: Mutex<HashMap<String, u32>>,
    loads: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Strict {
    fn wrong(&self, what: String) {
        self.wrong.lock().push(what);
    }

    /// A request inside a model.
    async fn serve(&self, id: &str) {
        match self.loaded.lock().get_mut(id) {
            Some(inside) if *inside < SLOTS => *inside += 1,
            other => self.wrong(format!("{id} serves with {other:?} inside")),
        }
        tokio::task::yield_now().await;
        if let Some(inside) = self.loaded.lock().get_mut(id) {
            *inside = inside.saturating_sub(1);
        }
    }
}

impl Runtime for Strict {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        let status = RuntimeStatusResponse {
            status: runtime_status_response::Status::Ready.into(),
            capacity_in_bytes: CAPACITY,
            max_loading_concurrency: 3,
            model_loading_timeout_ms: 60_000,
            default_model_size_in_bytes: SIZE / 2,
            limit_model_concurrency: true,
            ..RuntimeStatusResponse::default()
        };
        async move { Ok(status) }.boxed()
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        _spec: &'a ModelSpec,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        async move {
            {
                let mut loaded = self.loaded.lock();
                if loaded.insert(id.to_string(), 0).is_some() {
                    self.wrong(format!("{id} loaded twice"));
                }
                if loaded.len() as u64 * SIZE > CAPACITY {
                    self.wrong(format!("{} models loaded", loaded.len()));
                }
            }
            tokio::task::yield_now().await;
            if self.loads.fetch_add(1, Ordering::Relaxed) % 7 == 3 {
                return Err(Status::internal("every seventh"));
            }
            Ok(LoadModelResponse {
                size_in_bytes: SIZE,
                max_concurrency: SLOTS,
            })
        }
        .boxed()
    }

    fn unload<'a>(&'a self, id: &'a ModelId, _timeout: Duration) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            tokio::task::yield_now().await;
            match self.loaded.lock().remove(&**id) {
                // None: the load was canceled before it reached the runtime.
                Some(0) | None => {}
                other => self.wrong(format!("{id} unloaded with {other:?} inside")),
            }
            Ok(())
        }
        .boxed()
    }

    fn predict_size<'a>(&'a self, _: &'a ModelId, _: &'a ModelSpec) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(SIZE) }.boxed()
    }

    fn model_size<'a>(&'a self, _: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(SIZE) }.boxed()
    }
}

async fn client(cache: Arc<Cache>, runtime: Arc<Strict>, seed: u64) -> u64 {
    let (mut state, mut served) = (seed, 0);
    for _ in 0..400 {
        // A linear congruence is random enough to mix the order of events.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (dice, id) = (
            (state >> 33) % 100,
            ModelId::from(format!("m{}", (state >> 45) % 12).as_str()),
        );
        let lease = match dice {
            0..40 => cache.enter(&id),
            40..90 => match cache.acquire(&id, SPEC).await {
                Ok(lease) => Some(lease),
                Err(
                    CacheError::LoadFailed { .. }
                    | CacheError::Removed { .. }
                    | CacheError::Overloaded { .. },
                ) => None,
                Err(other) => panic!("{other}"),
            },
            90..95 => {
                // A client that goes away.
                drop(tokio::time::timeout(Duration::ZERO, cache.acquire(&id, SPEC)).await);
                None
            }
            95..97 => {
                cache.remove(&id);
                None
            }
            _ => {
                let _refused = cache.ensure(&id, SPEC, (dice == 97).then_some(0));
                None
            }
        };
        if let Some(lease) = lease {
            runtime.serve(lease.id()).await;
            served += 1;
            if state % 50 == 0 {
                cache.forget(lease);
            }
        }
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_order_of_threads_confuses_the_cache() {
    let runtime = Arc::new(Strict::default());
    let options = CacheOptions {
        load_backoff: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let cache = soon(Cache::start(runtime.clone(), options, Metrics::default())).await;
    let cache = cache.expect("the runtime is sound");
    let clients: Vec<_> = (0..32)
        .map(|seed| tokio::spawn(client(cache.clone(), runtime.clone(), seed)))
        .collect();
    let mut served = 0;
    for client in clients {
        served += soon(client).await.expect("no client fails");
    }
    soon(cache.shutdown(Instant::now() + PATIENCE)).await;
    assert_eq!(*runtime.wrong.lock(), Vec::<String>::new());
    assert!(
        served > 1_000 && runtime.loads.load(Ordering::Relaxed) > 20,
        "{served} served"
    );
    assert_eq!((cache.usage().used_bytes, runtime.loaded.lock().len()), (0, 0));
}
