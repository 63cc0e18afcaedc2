//! The shell against a scripted runtime.

mod fake;
mod stress;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};
use tonic::Code;

use self::fake::{Fake, Plan};
use super::{Cache, CacheError, CacheOptions, CopyState, Lease, StartError};
use crate::{
    metrics::Metrics,
    model::{ModelId, ModelSpec},
};

/// Longer than any wait here takes, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it happens before patience ends")
}

async fn cache(fake: &Arc<Fake>, options: CacheOptions) -> Arc<Cache> {
    soon(Cache::start(fake.clone(), options, Metrics::default()))
        .await
        .expect("the fake is sound")
}

async fn acquire(cache: &Cache, id: &str) -> Result<Lease, CacheError> {
    soon(cache.acquire(&id.into(), &ModelSpec::default())).await
}

fn spawn_acquire(cache: &Arc<Cache>, id: &str) -> JoinHandle<Result<Lease, CacheError>> {
    let (cache, id) = (cache.clone(), ModelId::from(id));
    tokio::spawn(async move { cache.acquire(&id, &ModelSpec::default()).await })
}

fn state(cache: &Cache, id: &str) -> CopyState {
    cache.copy(id).map_or(CopyState::NotLoaded, |copy| copy.state)
}

#[tokio::test]
async fn an_unload_on_request_keeps_what_is_known_and_a_removal_does_not() {
    let fake = Fake::new(100);
    let cache = cache(&fake, CacheOptions::default()).await;
    drop(acquire(&cache, "a").await.unwrap());
    let used = cache.copy("a").unwrap().last_used_ms;
    assert!(used > 0);
    cache.unload("a");
    soon(fake.until("unload a", 1)).await;
    let copy = cache.copy("a").unwrap();
    assert_eq!((copy.loads, copy.last_used_ms), (1, used));
    drop(acquire(&cache, "a").await.unwrap());
    assert_eq!(cache.copy("a").unwrap().loads, 2);
    cache.remove("a");
    let forgotten = async {
        while cache.copy("a").is_some() {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
}

#[test]
fn errors_speak_of_the_name_that_they_are_told() {
    let err = CacheError::TooLarge {
        id: "m@0123456789abcdef".into(),
        size_bytes: 2,
        capacity_bytes: 1,
    };
    let wanted = "model m needs 2 bytes, more than the 1 bytes this runtime can use";
    assert_eq!(err.named("m").to_string(), wanted);
    let said = CacheError::LoadFailed {
        message: "no luck".into(),
        at_ms: 1,
        retry_at_ms: 2,
    };
    assert_eq!(said.clone().named("m"), said);
}

#[tokio::test]
async fn concurrent_misses_of_one_model_cause_one_load() {
    let fake = Fake::new(100);
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let waiting: Vec<_> = (0..50).map(|_| spawn_acquire(&cache, "a")).collect();
    soon(fake.until("load a", 1)).await;
    assert!(cache.enter("a").is_none(), "not loaded yet");
    assert_eq!(state(&cache, "a"), CopyState::Loading);
    fake.release("load a");
    let mut leases = Vec::new();
    for task in waiting {
        leases.push(soon(task).await.unwrap().unwrap());
    }
    assert!(
        leases
            .iter()
            .all(|lease| lease.generation() == leases[0].generation())
    );
    assert_eq!(cache.copy("a").unwrap().in_flight, 50);
    assert!(cache.enter("a").is_some_and(|lease| **lease.id() == *"a"));
    assert_eq!(fake.count("load a"), 1);
}

#[tokio::test]
async fn an_eviction_frees_before_the_load_takes() {
    let fake = Fake::new(100);
    fake.plan("a", Plan::of(60));
    fake.plan("b", Plan::of(60));
    fake.hold("unload a");
    let cache = cache(&fake, CacheOptions::default()).await;
    drop(acquire(&cache, "a").await.unwrap());
    let loading = spawn_acquire(&cache, "b");
    soon(fake.until("unload a", 1)).await;
    assert!(cache.enter("a").is_none(), "it is on its way out");
    assert_eq!(
        (fake.count("load b"), state(&cache, "b")),
        (0, CopyState::Waiting)
    );
    assert_eq!(cache.usage().used_bytes, 60);
    fake.release("unload a");
    drop(soon(loading).await.unwrap().unwrap());
    assert_eq!(fake.log(), ["load a", "unload a", "load b"]);
    assert_eq!(cache.copy("a").unwrap().evictions, 1);
    assert_eq!((cache.usage().used_bytes, cache.usage().models), (60, 1));
}

#[tokio::test]
async fn an_eviction_waits_for_the_requests_inside() {
    let fake = Fake::new(100);
    fake.plan("a", Plan::of(60));
    fake.plan("b", Plan::of(60));
    let cache = cache(&fake, CacheOptions::default()).await;
    let lease = acquire(&cache, "a").await.unwrap();
    let loading = spawn_acquire(&cache, "b");
    while state(&cache, "a") != CopyState::Unloading {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.log(), ["load a"], "a request is inside");
    drop(lease);
    drop(soon(loading).await.unwrap().unwrap());
    assert_eq!(fake.log(), ["load a", "unload a", "load b"]);
}

#[tokio::test]
async fn a_failed_load_is_not_tried_again_before_its_backoff() {
    let fake = Fake::new(100);
    fake.plan(
        "a",
        Plan {
            fails: 1,
            ..Plan::of(10)
        },
    );
    let options = CacheOptions {
        load_backoff: Duration::from_hours(1),
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    let first = acquire(&cache, "a").await.unwrap_err();
    assert_eq!(first.status().code(), Code::Internal);
    assert_eq!(first.status().message(), "cannot load a");
    assert_eq!(acquire(&cache, "a").await.unwrap_err(), first);
    assert_eq!(
        cache
            .ensure(&"a".into(), &ModelSpec::default(), None)
            .unwrap_err(),
        first
    );
    assert_eq!(soon(cache.wait_loaded(&"a".into())).await.unwrap_err(), first);
    soon(fake.until("unload a", 1)).await;
    assert_eq!(fake.count("load a"), 1);
    let copy = cache.copy("a").unwrap();
    assert_eq!(
        (copy.state, copy.failure.unwrap().message),
        (CopyState::Failed, "cannot load a".into())
    );

    let other = ModelSpec {
        path: "fixed".into(),
        ..ModelSpec::default()
    };
    soon(cache.acquire(&"a".into(), &other))
        .await
        .expect("another spec is another chance");
}

#[tokio::test]
async fn a_failed_load_is_tried_again_after_its_backoff() {
    let fake = Fake::new(100);
    fake.plan(
        "a",
        Plan {
            fails: 3,
            ..Plan::of(10)
        },
    );
    let options = CacheOptions {
        load_backoff: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    let lease = soon(async {
        loop {
            match cache.acquire(&"a".into(), &ModelSpec::default()).await {
                Ok(lease) => return lease,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!((fake.count("load a"), fake.count("unload a")), (4, 3));
    assert_eq!(cache.copy("a").unwrap().failure, None);
    drop(lease);
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_canceled_then_unloaded() {
    let fake = Fake::new(100);
    fake.status.lock().model_loading_timeout_ms = 100;
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let err = acquire(&cache, "a").await.unwrap_err();
    assert_eq!(
        err,
        CacheError::LoadTimeout {
            id: "a".into(),
            timeout_ms: 100
        }
    );
    assert_eq!(err.status().code(), Code::DeadlineExceeded);
    soon(fake.until("unload a", 1)).await;
    assert_eq!(fake.log(), ["load a", "canceled a", "unload a"]);
}

#[tokio::test]
async fn a_queued_load_is_dropped_with_its_last_waiter() {
    let fake = Fake::new(100);
    fake.status.lock().max_loading_concurrency = 1;
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let (first, second) = (spawn_acquire(&cache, "a"), spawn_acquire(&cache, "b"));
    soon(fake.until("load a", 1)).await;
    while state(&cache, "b") != CopyState::Queued {
        tokio::task::yield_now().await;
    }
    second.abort();
    assert!(soon(second).await.unwrap_err().is_cancelled());
    assert_eq!(state(&cache, "b"), CopyState::NotLoaded);
    fake.release("load a");
    drop(soon(first).await.unwrap().unwrap());
    assert_eq!(fake.log(), ["load a"]);
}

#[tokio::test]
async fn a_load_under_way_goes_on_without_its_waiter() {
    let fake = Fake::new(100);
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let waiter = spawn_acquire(&cache, "a");
    soon(fake.until("load a", 1)).await;
    waiter.abort();
    assert!(soon(waiter).await.unwrap_err().is_cancelled());
    fake.release("load a");
    soon(cache.wait_loaded(&"a".into())).await.unwrap();
    assert_eq!(cache.copy("a").unwrap().in_flight, 0);
    assert!(cache.enter("a").is_some());
}

#[tokio::test]
async fn a_lost_model_is_healed_and_late_news_of_it_do_no_harm() {
    let fake = Fake::new(100);
    let cache = cache(&fake, CacheOptions::default()).await;
    let (lost, late) = (
        acquire(&cache, "a").await.unwrap(),
        acquire(&cache, "a").await.unwrap(),
    );
    let generation = lost.generation();
    cache.forget(lost);
    assert!(cache.enter("a").is_none());
    let healing = spawn_acquire(&cache, "a");
    drop(late);
    let healed = soon(healing).await.unwrap().unwrap();
    assert!(healed.generation() > generation);
    assert_eq!(fake.log(), ["load a", "unload a", "load a"]);
}

#[tokio::test]
async fn forgetting_an_old_copy_leaves_the_new_one_alone() {
    let fake = Fake::new(100);
    let options = CacheOptions {
        drain_timeout: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    let (lost, late) = (
        acquire(&cache, "a").await.unwrap(),
        acquire(&cache, "a").await.unwrap(),
    );
    cache.forget(lost);
    let healed = acquire(&cache, "a").await.unwrap();
    cache.forget(late);
    assert_eq!(cache.enter("a").unwrap().generation(), healed.generation());
    assert_eq!(fake.count("load a"), 2);
}

#[tokio::test]
async fn a_model_takes_as_many_requests_as_it_can_and_queues_a_few() {
    let fake = Fake::new(100);
    fake.status.lock().limit_model_concurrency = true;
    fake.plan(
        "a",
        Plan {
            concurrency: 1,
            ..Plan::of(10)
        },
    );
    let options = CacheOptions {
        max_inflight_per_copy: 1,
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    let inside = acquire(&cache, "a").await.unwrap();
    assert!(cache.enter("a").is_none(), "the slot is taken");
    let id = ModelId::from("a");
    let mut second = Box::pin(cache.acquire(&id, SPEC));
    assert!(futures::poll!(&mut second).is_pending());
    let err = acquire(&cache, "a").await.unwrap_err();
    assert_eq!(
        (err.status().code(), err.status().message()),
        (Code::ResourceExhausted, "Model queue overload")
    );
    drop(inside);
    let second = soon(second).await.unwrap();
    assert_eq!(cache.copy("a").unwrap().in_flight, 1);
    drop(second);
    assert!(cache.enter("a").is_some(), "free again, and nobody waits");
}

static SPEC: &ModelSpec = &ModelSpec {
    kind: String::new(),
    path: String::new(),
    key: String::new(),
};

#[tokio::test]
async fn waiting_requests_are_bounded() {
    let fake = Fake::new(100);
    fake.hold("load a");
    let options = CacheOptions {
        max_waiting_requests: 1,
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    let id = ModelId::from("a");
    let mut first = Box::pin(cache.acquire(&id, SPEC));
    assert!(futures::poll!(&mut first).is_pending());
    let err = acquire(&cache, "b").await.unwrap_err();
    assert_eq!(err, CacheError::TooManyWaiting { limit: 1 });
    assert_eq!(err.status().code(), Code::ResourceExhausted);
    drop(first);
    drop(acquire(&cache, "b").await.unwrap());
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_and_unloads() {
    let fake = Fake::new(100);
    let cache = cache(&fake, CacheOptions::default()).await;
    let lease = acquire(&cache, "a").await.unwrap();
    let mut ending = Box::pin(cache.shutdown(Instant::now() + PATIENCE));
    assert!(futures::poll!(&mut ending).is_pending());
    assert!(cache.enter("a").is_none());
    assert_eq!(acquire(&cache, "b").await.unwrap_err(), CacheError::ShuttingDown);
    assert_eq!(fake.log(), ["load a"], "a request is inside");
    drop(lease);
    soon(ending).await;
    assert_eq!(fake.log(), ["load a", "unload a"]);
    assert_eq!(cache.usage().used_bytes, 0);
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline() {
    let fake = Fake::new(100);
    let cache = cache(&fake, CacheOptions::default()).await;
    let _inside = acquire(&cache, "a").await.unwrap();
    soon(cache.shutdown(Instant::now())).await;
    assert_eq!(fake.log(), ["load a"]);
}

#[tokio::test]
async fn a_model_larger_than_everything_is_refused_without_a_load() {
    let fake = Fake::new(100);
    fake.plan("a", Plan::of(101));
    let cache = cache(&fake, CacheOptions::default()).await;
    let err = acquire(&cache, "a").await.unwrap_err();
    assert_eq!(
        err,
        CacheError::TooLarge {
            id: "a".into(),
            size_bytes: 101,
            capacity_bytes: 100
        }
    );
    assert_eq!(
        (err.status().code(), err.precise_status().code()),
        (Code::Internal, Code::FailedPrecondition)
    );
    assert!(fake.log().is_empty());
}

#[tokio::test]
async fn a_prediction_that_was_too_small_is_repaid_by_others() {
    let fake = Fake::new(100);
    fake.plan("a", Plan::of(60));
    fake.plan(
        "b",
        Plan {
            predicted: Ok(10),
            ..Plan::of(80)
        },
    );
    fake.plan(
        "c",
        Plan {
            predicted: Ok(10),
            ..Plan::of(120)
        },
    );
    let cache = cache(&fake, CacheOptions::default()).await;
    drop(acquire(&cache, "a").await.unwrap());
    drop(acquire(&cache, "b").await.unwrap());
    soon(fake.until("unload a", 1)).await;
    let err = acquire(&cache, "c").await.unwrap_err();
    assert_eq!(
        err,
        CacheError::TooLarge {
            id: "c".into(),
            size_bytes: 120,
            capacity_bytes: 100
        }
    );
    soon(fake.until("unload c", 1)).await;
    assert_eq!(fake.count("unload b"), 0, "its own unload repays it");
}

#[tokio::test]
async fn sizes_are_measured_when_the_load_does_not_tell_and_predictions_stop_when_unimplemented() {
    let fake = Fake::new(100);
    for id in ["a", "b"] {
        fake.plan(
            id,
            Plan {
                predicted: Err(Code::Unimplemented),
                answered: 0,
                ..Plan::of(40)
            },
        );
    }
    let cache = cache(&fake, CacheOptions::default()).await;
    drop(acquire(&cache, "a").await.unwrap());
    drop(acquire(&cache, "b").await.unwrap());
    assert_eq!(fake.predictions(), 1);
    assert_eq!(
        (cache.copy("a").unwrap().size_bytes, cache.usage().used_bytes),
        (40, 80)
    );
}

#[tokio::test]
async fn a_prediction_that_fails_counts_as_the_default_size() {
    let fake = Fake::new(300);
    fake.status.lock().default_model_size_in_bytes = 30;
    fake.plan(
        "a",
        Plan {
            predicted: Err(Code::Internal),
            ..Plan::of(40)
        },
    );
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let loading = spawn_acquire(&cache, "a");
    soon(fake.until("load a", 1)).await;
    assert_eq!(cache.usage().used_bytes, 30);
    fake.release("load a");
    drop(soon(loading).await.unwrap().unwrap());
    assert_eq!(cache.usage().used_bytes, 40);
}

#[tokio::test]
async fn management_loads_without_waiting_and_removes() {
    let fake = Fake::new(100);
    let cache = cache(&fake, CacheOptions::default()).await;
    let id = ModelId::from("a");
    assert_eq!(
        soon(cache.wait_loaded(&id)).await,
        Err(CacheError::NotLoading { id: "a".into() })
    );
    cache.ensure(&id, SPEC, Some(7)).unwrap();
    soon(cache.wait_loaded(&id)).await.unwrap();
    assert_eq!(cache.copy("a").unwrap().last_used_ms, 7);
    let lease = cache.enter("a").unwrap();
    cache.remove("a");
    assert!(cache.enter("a").is_none());
    assert_eq!(fake.log(), ["load a"], "a request is inside");
    drop(lease);
    soon(fake.until("unload a", 1)).await;
    while cache.copy("a").is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_removed_model_is_not_waited_for() {
    let fake = Fake::new(100);
    fake.hold("load a");
    let cache = cache(&fake, CacheOptions::default()).await;
    let waiting = spawn_acquire(&cache, "a");
    soon(fake.until("load a", 1)).await;
    cache.remove("a");
    assert_eq!(
        soon(waiting).await.unwrap().unwrap_err(),
        CacheError::Removed { id: "a".into() }
    );
    soon(fake.until("unload a", 1)).await;
    assert_eq!(fake.log(), ["load a", "canceled a", "unload a"]);
}

#[tokio::test]
async fn an_unload_is_tried_again_then_its_memory_is_lost_until_the_model_is_asked_for() {
    let fake = Fake::new(100);
    fake.plan(
        "a",
        Plan {
            unload_fails: 2,
            ..Plan::of(60)
        },
    );
    let options = CacheOptions {
        unload_attempts: 2,
        unload_backoff: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let cache = cache(&fake, options).await;
    drop(acquire(&cache, "a").await.unwrap());
    cache.remove("a");
    soon(fake.until("unload a", 2)).await;
    while cache.usage().lost_bytes == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((cache.usage().lost_bytes, cache.usage().used_bytes), (60, 60));
    drop(acquire(&cache, "a").await.unwrap());
    assert_eq!((cache.usage().lost_bytes, fake.count("unload a")), (0, 3));
}

#[tokio::test]
async fn a_runtime_that_panics_has_failed() {
    let fake = Fake::new(100);
    fake.plan(
        "a",
        Plan {
            panics: true,
            ..Plan::of(10)
        },
    );
    let cache = cache(&fake, CacheOptions::default()).await;
    let err = acquire(&cache, "a").await.unwrap_err();
    assert_eq!(err.status().message(), "runtime panicked: as planned");
    drop(acquire(&cache, "b").await.unwrap());
}

#[tokio::test]
async fn a_runtime_is_asked_until_it_is_ready() {
    let fake = Fake::new(100);
    fake.starting(1);
    drop(cache(&fake, CacheOptions::default()).await);
    fake.status.lock().status = 2;
    let start = |options| Cache::start(fake.clone(), options, Metrics::default());
    assert!(matches!(
        soon(start(CacheOptions::default())).await,
        Err(StartError::Failing)
    ));
    fake.status.lock().status = 9;
    assert!(matches!(
        soon(start(CacheOptions::default())).await,
        Err(StartError::UnknownState { got: 9 })
    ));
    fake.status.lock().status = 0;
    let hasty = CacheOptions {
        start_timeout: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    assert!(matches!(soon(start(hasty)).await, Err(StartError::NotReady { last, .. }) if last == "STARTING"));
}
