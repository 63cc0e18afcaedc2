use std::sync::{Arc, Weak};

use super::{
    Room, WeightedCache,
    gate::{Gate, Generation, Home},
};

struct Nobody;

impl Home for Nobody {
    fn left(&self, _generation: Generation) {}
}

fn gate(generation: Generation, last_used: u64) -> Arc<Gate> {
    Arc::new(Gate::new(
        "m".into(),
        generation,
        last_used,
        Weak::<Nobody>::new(),
    ))
}

/// A cache of 100 bytes with loaded entries of (generation, bytes, last use).
fn cache(entries: &[(Generation, u64, u64)]) -> (WeightedCache, Vec<Arc<Gate>>) {
    let mut cache = WeightedCache::new(100, 0);
    let mut gates = Vec::new();
    for (generation, bytes, last_used) in entries {
        let gate = gate(*generation, *last_used);
        cache.reserve(gate.clone(), *bytes);
        cache.loaded_now(*generation);
        gates.push(gate);
    }
    (cache, gates)
}

#[test]
fn the_least_recently_used_leave_first_and_no_more_than_needed() {
    let (mut cache, _gates) = cache(&[(1, 40, 30), (2, 40, 10), (3, 20, 20)]);
    assert_eq!(cache.plan(40, 0, None, 50), Room::Evict(vec![2]));
    assert_eq!(cache.plan(41, 0, None, 50), Room::Evict(vec![2, 3]));
    assert_eq!(cache.plan(100, 0, None, 50), Room::Evict(vec![2, 3, 1]));
    assert_eq!(cache.plan(101, 0, None, 50), Room::TooLarge(100));
}

#[test]
fn a_use_after_the_load_counts_when_the_oldest_is_looked_for() {
    let (mut cache, gates) = cache(&[(1, 50, 10), (2, 50, 20)]);
    gates[0].touch(30);
    assert_eq!(cache.plan(50, 0, None, 50), Room::Evict(vec![2]));
    assert!(gates[1].enter(20), "a request that has been running since 20");
    assert_eq!(
        cache.plan(50, 0, None, 50),
        Room::Evict(vec![1]),
        "what serves is in use"
    );
    assert_eq!(cache.oldest_use(50), Some(30));
}

#[test]
fn everything_in_use_still_yields_a_victim() {
    let (mut cache, gates) = cache(&[(1, 50, 10), (2, 50, 20)]);
    assert!(gates[0].enter(10) && gates[1].enter(20));
    assert_eq!(cache.plan(50, 0, None, 50), Room::Evict(vec![1]));
}

#[test]
fn what_leaves_counts_until_it_is_gone() {
    let (mut cache, _gates) = cache(&[(1, 60, 10), (2, 40, 20)]);
    cache.leave(1);
    assert!(!cache.fits(60));
    assert_eq!(
        cache.plan(60, 0, None, 50),
        Room::Evict(vec![]),
        "enough is on its way out"
    );
    assert_eq!(cache.plan(60, 30, None, 50), Room::Evict(vec![2]), "not for two");
    cache.release(1);
    assert!(cache.fits(60) && !cache.fits(61));
}

#[test]
fn lost_bytes_cannot_be_used() {
    let (mut cache, _gates) = cache(&[(1, 60, 10)]);
    cache.leave(1);
    cache.lose(1);
    assert_eq!((cache.usable(), cache.totals().lost), (40, 60));
    assert_eq!(cache.plan(41, 0, None, 50), Room::TooLarge(40));
}

#[test]
fn a_load_nobody_waits_for_pushes_out_only_what_is_older() {
    let (mut cache, _gates) = cache(&[(1, 50, 10), (2, 50, 30)]);
    assert_eq!(cache.plan(50, 0, Some(20), 50), Room::Evict(vec![1]));
    assert_eq!(cache.plan(60, 0, Some(20), 50), Room::Refused);
    assert_eq!(cache.plan(60, 0, Some(30), 50), Room::Evict(vec![1, 2]));
}

#[test]
fn a_background_load_waits_when_nothing_can_be_pushed_out_yet() {
    let mut cache = WeightedCache::new(100, 0);
    cache.reserve(gate(1, 40), 80);
    assert_eq!(
        cache.plan(30, 0, None, 50),
        Room::Evict(vec![]),
        "one who is waited for may wait"
    );
    assert_eq!(
        cache.plan(30, 0, Some(20), 50),
        Room::Refused,
        "what loads is newer by nature"
    );
}

#[test]
fn a_reserve_is_kept_free_by_loaded_models_but_may_be_loaded_into() {
    let mut cache = WeightedCache::new(100, 10);
    for generation in 1..=3 {
        cache.reserve(gate(generation, generation), 30);
        cache.loaded_now(generation);
    }
    assert_eq!(cache.plan(10, 0, None, 50), Room::Evict(vec![1]));
    cache.leave(1);
    assert!(cache.fits(10), "the load need not wait for the unload");
    assert_eq!(
        cache.plan(95, 0, None, 50),
        Room::Evict(vec![2, 3]),
        "a model may need the reserve itself"
    );
}

#[test]
fn a_model_that_measures_more_is_repaid_by_the_oldest() {
    let (mut cache, _gates) = cache(&[(1, 40, 10), (2, 40, 20)]);
    cache.resize(2, 75);
    assert_eq!(cache.totals().used(), 115);
    assert_eq!(cache.deficit(50), vec![1]);
    cache.leave(1);
    assert_eq!(cache.deficit(50), Vec::<u64>::new(), "repaid by what leaves");
    assert_eq!(cache.plan(25, 0, None, 50), Room::Evict(vec![]));
    assert!(!cache.fits(25));
    cache.release(1);
    assert!(cache.fits(25));
}

#[test]
fn sizes_beyond_reason_do_not_overflow() {
    let (mut cache, _gates) = cache(&[(1, 40, 10), (2, 40, 20)]);
    cache.resize(1, u64::MAX);
    cache.resize(2, u64::MAX);
    assert_eq!(cache.deficit(50), vec![1, 2]);
    assert_eq!(
        cache.plan(u64::MAX, u128::from(u64::MAX), None, 50),
        Room::TooLarge(100)
    );
}
