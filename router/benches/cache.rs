//! The warm path: `enter` and leave, beside a plain look-up in the same kind of map.

use std::{sync::Arc, time::Duration};

use api::mmesh::{LoadModelResponse, RuntimeStatusResponse, runtime_status_response};
use divan::{Bencher, black_box};
use futures::{FutureExt, future::BoxFuture};
use router::{
    cache::{Cache, CacheOptions},
    metrics::Metrics,
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};
use tonic::Status;

/// The allocator of the programs: where it puts things decides which of them share a cache line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODELS: [usize; 2] = [1, 20_000];
const THREADS: [usize; 2] = [1, 2];

fn main() {
    divan::main();
}

/// Loads everything at once.
#[derive(Debug)]
struct Instant;

impl Runtime for Instant {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        let status = RuntimeStatusResponse {
            status: runtime_status_response::Status::Ready.into(),
            capacity_in_bytes: 1 << 30,
            max_loading_concurrency: 64,
            model_loading_timeout_ms: 90_000,
            default_model_size_in_bytes: 1 << 10,
            ..RuntimeStatusResponse::default()
        };
        async move { Ok(status) }.boxed()
    }

    fn load<'a>(
        &'a self,
        _: &'a ModelId,
        _: &'a ModelSpec,
        _: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        async {
            Ok(LoadModelResponse {
                size_in_bytes: 1 << 10,
                max_concurrency: 0,
            })
        }
        .boxed()
    }

    fn unload<'a>(&'a self, _: &'a ModelId, _: Duration) -> BoxFuture<'a, Result<(), Status>> {
        async { Ok(()) }.boxed()
    }

    fn predict_size<'a>(&'a self, _: &'a ModelId, _: &'a ModelSpec) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(1 << 10) }.boxed()
    }

    fn model_size<'a>(&'a self, _: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        async { Ok(1 << 10) }.boxed()
    }
}

fn ids(models: usize) -> Vec<ModelId> {
    (0..models)
        .map(|n| ModelId::from(format!("example-isvc-{n}__ksp-7bb5cf").as_str()))
        .collect()
}

/// Walks through the ids so that neighbors are far apart.
fn steps(ids: &[ModelId]) -> impl Fn() -> usize + Sync {
    let (len, at) = (ids.len(), std::sync::atomic::AtomicUsize::new(0));
    move || at.fetch_add(7_919, std::sync::atomic::Ordering::Relaxed) % len
}

fn loaded(ids: &[ModelId]) -> (tokio::runtime::Runtime, Arc<Cache>) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let tokio = tokio.expect("threads can be started");
    let cache = tokio.block_on(async {
        let options = CacheOptions {
            max_waiting_requests: ids.len(),
            ..CacheOptions::default()
        };
        let cache = Cache::start(Arc::new(Instant), options, Metrics::default())
            .await
            .expect("limits are sound");
        for id in ids {
            cache
                .acquire(id, &ModelSpec::default())
                .await
                .expect("every load succeeds");
        }
        cache
    });
    (tokio, cache)
}

#[divan::bench(args = MODELS, threads = THREADS)]
fn enter_and_leave(bencher: Bencher<'_, '_>, models: usize) {
    let ids = ids(models);
    let (_tokio, cache) = loaded(&ids);
    let next = steps(&ids);
    bencher.bench(|| cache.enter(black_box(&ids[next()])).is_some());
}

#[divan::bench(args = MODELS, threads = THREADS)]
fn plain_get(bencher: Bencher<'_, '_>, models: usize) {
    let ids = ids(models);
    let map = papaya::HashMap::new();
    for id in &ids {
        map.pin().insert(id.clone(), Arc::new(0_u64));
    }
    let next = steps(&ids);
    bencher.bench(|| map.pin().get(&**black_box(&ids[next()])).is_some());
}

#[divan::bench(args = MODELS, threads = THREADS)]
fn plain_get_and_clone(bencher: Bencher<'_, '_>, models: usize) {
    let ids = ids(models);
    let map = papaya::HashMap::new();
    for id in &ids {
        map.pin().insert(id.clone(), Arc::new(0_u64));
    }
    let next = steps(&ids);
    bencher.bench(|| map.pin().get(&**black_box(&ids[next()])).cloned());
}

#[divan::bench(args = MODELS)]
fn miss(bencher: Bencher<'_, '_>, models: usize) {
    let ids = ids(models);
    let (_tokio, cache) = loaded(&ids);
    bencher.bench(|| cache.enter(black_box("not-here")).is_none());
}

#[divan::bench]
fn record_request() {
    static METRICS: std::sync::LazyLock<Metrics> = std::sync::LazyLock::new(Metrics::default);
    let method = METRICS.method(black_box("/inference.GRPCInferenceService/ModelInfer"));
    method.api_request(tonic::Code::Ok, Duration::from_micros(black_box(80)), 50, 50);
}
