use super::{
    Cause, CopyState, Limits, MAX_UNAVAILABLE_BACKOFF_MS, Refusal,
    world::{Call, World, limits},
};

fn world() -> World {
    World::new(limits())
}

fn state(world: &World, id: &str) -> CopyState {
    world
        .copies
        .view(id, world.now)
        .map_or(CopyState::NotLoaded, |view| view.state)
}

fn failure(refusal: Option<&Result<Option<u64>, Refusal>>) -> Cause {
    match refusal {
        Some(Err(Refusal::Failed(failure))) => failure.cause.clone(),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn a_copy_goes_through_its_states() {
    let mut world = world();
    let ticket = world.acquire("a").unwrap();
    assert_eq!(state(&world, "a"), CopyState::Waiting);
    world.predicted("a", Some(30));
    assert_eq!(
        (state(&world, "a"), world.copies.totals().reserved),
        (CopyState::Loading, 30)
    );
    world.loaded("a", 0, 0);
    assert_eq!(state(&world, "a"), CopyState::Sizing);
    let generation = world.generation("a");
    world.calls.remove(&Call::Size(generation));
    world.sizing(|copies, now| copies.sized(generation, Some(25), now));
    assert_eq!(
        (state(&world, "a"), world.copies.totals().loaded),
        (CopyState::Loaded, 25)
    );
    assert_eq!(world.answers.get(&ticket), Some(&Ok(Some(generation))));
    world.event(|copies, now| copies.remove("a", now));
    assert_eq!(state(&world, "a"), CopyState::Unloading);
    world.leave_all();
    world.unloaded(generation, Ok(()));
    assert_eq!(
        world.copies.view("a", world.now),
        None,
        "nothing is kept of a removed model"
    );
}

#[test]
fn a_measured_size_is_the_next_prediction() {
    let mut world = world();
    world.load("a", 30);
    let generation = world.generation("a");
    world.event(|copies, now| copies.forget(generation, now));
    world.acquire("a").unwrap();
    assert_eq!(state(&world, "a"), CopyState::Queued, "behind its own unload");
    world.unloaded(generation, Ok(()));
    assert_eq!(
        (state(&world, "a"), world.copies.totals().reserved),
        (CopyState::Loading, 30)
    );
}

#[test]
fn backoff_doubles_up_to_the_expiry_and_then_all_is_forgotten() {
    let mut world = World::new(Limits {
        failure_backoff: 100,
        failure_expiry: 1_000,
        ..limits()
    });
    let mut waits = Vec::new();
    for _ in 0..6 {
        world.acquire("a").unwrap();
        world.predicted("a", None);
        world.load_failed("a", Cause::Runtime("no".into()));
        world.unloaded(world.generation("a"), Ok(()));
        let Err(Refusal::Failed(failure)) = world.acquire("a") else {
            panic!("tried again at once")
        };
        assert_eq!(failure.cause, Cause::Runtime("no".into()));
        waits.push(failure.retry_at - failure.at);
        world.pass(failure.retry_at - failure.at);
    }
    // The fifth wait is as long as the memory, so the sixth failure is the first again.
    assert_eq!(waits, [100, 200, 400, 800, 1_000, 100]);
    world.pass(900);
    assert_eq!(state(&world, "a"), CopyState::NotLoaded);
}

#[test]
fn a_runtime_that_is_away_is_asked_again_soon() {
    let mut world = world();
    for _ in 0..12 {
        world.acquire("a").unwrap();
        world.predicted("a", None);
        world.load_failed("a", Cause::Unavailable("away".into()));
        world.unloaded(world.generation("a"), Ok(()));
        let Err(Refusal::Failed(failure)) = world.acquire("a") else {
            panic!("tried again at once")
        };
        assert!(failure.retry_at - failure.at <= MAX_UNAVAILABLE_BACKOFF_MS);
        world.pass(failure.retry_at - failure.at);
    }
}

#[test]
fn a_failed_model_shows_it_until_the_next_load_and_others_do_not_suffer() {
    let mut world = world();
    let tickets = [world.acquire("a").unwrap(), world.acquire("a").unwrap()];
    world.predicted("a", Some(90));
    world.load_failed("a", Cause::Runtime("broken".into()));
    for ticket in tickets {
        assert_eq!(
            failure(world.answers.get(&ticket)),
            Cause::Runtime("broken".into())
        );
    }
    assert_eq!(state(&world, "a"), CopyState::Failed);
    world.acquire("b").unwrap();
    world.predicted("b", Some(20));
    assert_eq!(
        state(&world, "b"),
        CopyState::Waiting,
        "what failed counts until it is unloaded"
    );
    world.unloaded(world.generation("a"), Ok(()));
    assert_eq!(
        (state(&world, "b"), state(&world, "a")),
        (CopyState::Loading, CopyState::Failed)
    );
}

#[test]
fn a_load_without_an_answer_is_canceled_and_unloaded_before_its_space_is_free() {
    let mut world = world();
    let ticket = world.acquire("a").unwrap();
    world.predicted("a", Some(90));
    world.pass(999);
    assert_eq!(state(&world, "a"), CopyState::Loading);
    world.pass(1);
    assert_eq!(
        failure(world.answers.get(&ticket)),
        Cause::TimedOut { timeout: 1_000 }
    );
    let generation = world.generation("a");
    assert_eq!(world.canceled, [Call::Load(generation)]);
    assert_eq!(world.copies.totals().leaving, 90);
    world.sizing(|copies, now| copies.loaded(generation, 90, 0, now));
    assert_eq!(state(&world, "a"), CopyState::Failed, "too late");
    world.unloaded(generation, Ok(()));
    assert_eq!(world.copies.totals().used(), 0);
}

#[test]
fn requests_overtake_what_nobody_waits_for_and_the_oldest_goes_first() {
    let mut world = World::new(Limits {
        loading_concurrency: 1,
        ..limits()
    });
    world.ensure("running", None).unwrap();
    for id in ["old", "new"] {
        world.ensure(id, Some(if id == "old" { 1 } else { 900 })).unwrap();
    }
    for id in ["first", "second", "old"] {
        world.now += 1;
        world.acquire(id).unwrap();
    }
    let mut order = Vec::new();
    while let Some(Call::Predict(generation)) = world.calls.first().copied() {
        let id = world.copies.held[&generation].gate.id().to_string();
        world.predicted(&id, Some(1));
        world.loaded(&id, 1, 0);
        order.push(id);
    }
    assert_eq!(order, ["running", "first", "second", "old", "new"]);
}

#[test]
fn a_load_that_nobody_wants_any_more_is_dropped_but_an_ordered_one_stays() {
    let mut world = World::new(Limits {
        loading_concurrency: 1,
        ..limits()
    });
    world.ensure("running", None).unwrap();
    world.ensure("ordered", None).unwrap();
    let (left, stays) = (world.acquire("left").unwrap(), world.acquire("ordered").unwrap());
    let watching = world.watch("left").unwrap();
    world.give_up(left);
    world.give_up(stays);
    assert_eq!(
        (state(&world, "left"), state(&world, "ordered")),
        (CopyState::NotLoaded, CopyState::Queued)
    );
    assert_eq!(world.answers.get(&watching), Some(&Err(Refusal::NotLoading)));
}

#[test]
fn those_who_wait_for_a_slot_get_it_in_order_and_newcomers_queue_behind() {
    let mut world = world();
    world.acquire("a").unwrap();
    world.predicted("a", Some(10));
    world.loaded("a", 10, 2);
    assert!(world.enter("a"), "two at once");
    let tickets = [world.acquire("a").unwrap(), world.acquire("a").unwrap()];
    assert!(world.answers.len() == 1 && !world.enter("a"));
    world.leave(0);
    assert!(world.answers.contains_key(&tickets[0]) && !world.answers.contains_key(&tickets[1]));
    assert!(!world.enter("a"));
    world.leave(0);
    assert!(world.answers.contains_key(&tickets[1]));
    world.leave_all();
    assert!(world.enter("a"), "nobody waits any more");
}

#[test]
fn the_slot_queue_is_bounded_from_the_first_load_on() {
    for (limit, concurrency, room) in [(0, 1, 16), (0, 3, 24), (5, 1, 5), (-1, 1, 100)] {
        let mut world = World::new(Limits {
            max_waiting_per_copy: limit,
            ..limits()
        });
        let early: Vec<_> = (0..50).map(|_| world.acquire("a").unwrap()).collect();
        world.predicted("a", Some(10));
        world.loaded("a", 10, concurrency);
        let late: Vec<_> = (0..50).map(|_| world.acquire("a")).collect();
        let refused = early
            .iter()
            .filter(|ticket| world.answers.get(ticket) == Some(&Err(Refusal::Overloaded)));
        let refused = refused.count()
            + late
                .iter()
                .filter(|late| **late == Err(Refusal::Overloaded))
                .count();
        let inside = concurrency as usize;
        assert_eq!(
            refused,
            100_usize.saturating_sub(inside + room),
            "limit {limit} x {concurrency}"
        );
    }
}

#[test]
fn those_who_wait_for_a_slot_of_a_lost_copy_get_the_next_one() {
    let mut world = world();
    world.acquire("a").unwrap();
    world.predicted("a", Some(10));
    world.loaded("a", 10, 1);
    let (lost, waiting) = (world.generation("a"), world.acquire("a").unwrap());
    world.event(|copies, now| copies.forget(lost, now));
    world.leave_all();
    world.unloaded(lost, Ok(()));
    world.loaded("a", 10, 1);
    assert_eq!(
        world.answers.get(&waiting),
        Some(&Ok(Some(world.generation("a"))))
    );
    assert!(world.generation("a") > lost);
}

#[test]
fn a_drain_is_bounded() {
    let mut world = world();
    world.acquire("a").unwrap();
    world.predicted("a", Some(10));
    world.loaded("a", 10, 0);
    let generation = world.generation("a");
    world.event(|copies, now| copies.remove("a", now));
    world.pass(4_999);
    assert!(world.calls.is_empty(), "a request is inside");
    world.pass(1);
    assert!(world.calls.contains(&Call::Unload(generation)));
}

#[test]
fn unloads_are_tried_again_later_and_later_then_the_space_is_lost_until_asked_for() {
    let mut world = world();
    world.load("a", 60);
    let generation = world.generation("a");
    world.event(|copies, now| copies.remove("a", now));
    for wait in [100, 200] {
        world.unloaded(generation, Err("no"));
        assert_eq!(world.copies.next_deadline(), Some(world.now + wait));
        world.pass(wait);
    }
    world.unloaded(generation, Err("no"));
    assert_eq!(
        (world.copies.totals().lost, world.copies.next_deadline()),
        (60, None)
    );
    let large = world.acquire("b").unwrap();
    world.predicted("b", Some(41));
    assert_eq!(
        failure(world.answers.get(&large)),
        Cause::TooLarge {
            bytes: 41,
            usable: 40
        }
    );
    let again = world.acquire("a").unwrap();
    world.unloaded(generation, Err("still no"));
    assert_eq!(
        failure(world.answers.get(&again)),
        Cause::Stuck("still no".into())
    );
    world.pass(100);
    world.acquire("a").unwrap();
    world.unloaded(generation, Ok(()));
    assert_eq!(
        (world.copies.totals().lost, state(&world, "a")),
        (0, CopyState::Loading)
    );
}

#[test]
fn a_background_load_does_not_push_out_what_was_used_more_recently() {
    let mut world = world();
    world.load("a", 60);
    world.ensure("b", Some(world.now - 1)).unwrap();
    let watching = world.watch("b").unwrap();
    world.predicted("b", Some(60));
    assert_eq!(world.answers.get(&watching), Some(&Err(Refusal::NotWorthIt)));
    assert_eq!(
        (state(&world, "a"), state(&world, "b")),
        (CopyState::Loaded, CopyState::NotLoaded)
    );
    world.ensure("b", Some(world.now - 1)).unwrap();
    world.acquire("b").unwrap();
    world.predicted("b", Some(60));
    assert_eq!(state(&world, "a"), CopyState::Unloading, "a request may");
}

#[test]
fn a_burst_of_loads_evicts_exactly_what_it_needs() {
    let mut world = World::new(Limits {
        loading_concurrency: 4,
        ..limits()
    });
    for id in 0..10 {
        world.now += 1;
        world.load(&format!("old{id}"), 10);
    }
    for id in 0..4 {
        world.acquire(&format!("new{id}")).unwrap();
        world.predicted(&format!("new{id}"), Some(10));
    }
    let leaving: Vec<_> = (0..10)
        .filter(|id| state(&world, &format!("old{id}")) != CopyState::Loaded)
        .collect();
    assert_eq!(
        leaving,
        [0, 1, 2, 3],
        "unloads run side by side, no more than there are loads"
    );
}

#[test]
fn a_small_load_does_not_take_the_memory_that_a_large_one_waits_for() {
    let mut world = World::new(Limits {
        loading_concurrency: 3,
        ..limits()
    });
    world.acquire("busy").unwrap();
    world.predicted("busy", Some(60));
    world.loaded("busy", 60, 0);
    world.acquire("large").unwrap();
    world.predicted("large", Some(90));
    for id in ["small", "smaller"] {
        world.acquire(id).unwrap();
        world.predicted(id, Some(10));
        assert_eq!(
            state(&world, id),
            CopyState::Waiting,
            "there is room, but not for those behind"
        );
    }
    let busy = world.generation("busy");
    world.leave_all();
    world.unloaded(busy, Ok(()));
    assert_eq!(
        (state(&world, "large"), state(&world, "small")),
        (CopyState::Loading, CopyState::Loading)
    );
    assert_eq!(
        state(&world, "smaller"),
        CopyState::Waiting,
        "until the large one is loaded and can be evicted"
    );
}

#[test]
fn a_model_that_measures_more_than_everything_is_unloaded_and_failed() {
    let mut world = world();
    world.load("small", 40);
    let ticket = world.acquire("a").unwrap();
    world.predicted("a", Some(10));
    world.loaded("a", 101, 0);
    assert_eq!(
        failure(world.answers.get(&ticket)),
        Cause::TooLarge {
            bytes: 101,
            usable: 100
        }
    );
    assert!(world.calls.contains(&Call::Unload(world.generation("a"))));
    assert_eq!(
        state(&world, "small"),
        CopyState::Loaded,
        "its own unload repays it"
    );
}

#[test]
fn a_full_queue_refuses_and_displaces() {
    let mut world = World::new(Limits {
        loading_concurrency: 1,
        max_queued: 1,
        ..limits()
    });
    world.ensure("running", None).unwrap();
    world.ensure("queued", None).unwrap();
    let watching = world.watch("queued").unwrap();
    assert_eq!(world.ensure("refused", None), Err(Refusal::QueueFull));
    world.acquire("urgent").unwrap();
    assert_eq!(world.answers.get(&watching), Some(&Err(Refusal::QueueFull)));
    assert_eq!(world.acquire("refused"), Err(Refusal::QueueFull));
    assert_eq!(
        (state(&world, "queued"), state(&world, "urgent")),
        (CopyState::NotLoaded, CopyState::Queued)
    );
}
