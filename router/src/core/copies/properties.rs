//! Any order of events, with failures, late answers and duplicates: [`super::world`] checks every step.

use proptest::{collection::vec, prelude::*};

use super::{
    Cause, Copies, Limits,
    world::{Call, World, limits},
};

#[derive(Clone, Debug)]
enum Step {
    Acquire(u8),
    Ensure(u8, Option<u64>),
    Watch(u8),
    GiveUp(usize),
    Enter(u8),
    Leave(usize),
    /// Answers one of the open calls.
    Answer(usize, Outcome),
    /// An answer to a call that was canceled.
    Late(usize, Outcome),
    /// An answer that nobody asked for.
    Stray(u64, Outcome),
    Remove(u8),
    Forget(u8),
    ForgetStray(u64),
    Pass(u64),
}

#[derive(Clone, Debug)]
struct Outcome {
    fails: bool,
    bytes: u64,
    concurrency: u32,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let bytes = prop_oneof![6 => 1_u64..60, 1 => Just(0), 1 => 60_u64..140, 1 => Just(u64::MAX)];
    (
        prop::bool::weighted(0.2),
        bytes,
        prop_oneof![Just(0_u32), 1_u32..3],
    )
        .prop_map(|(fails, bytes, concurrency)| Outcome {
            fails,
            bytes,
            concurrency,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0_u8..6;
    prop_oneof![
        6 => id().prop_map(Step::Acquire),
        2 => (id(), prop::option::of(0_u64..5_000)).prop_map(|(id, used)| Step::Ensure(id, used)),
        1 => id().prop_map(Step::Watch),
        2 => any::<usize>().prop_map(Step::GiveUp),
        3 => id().prop_map(Step::Enter),
        6 => any::<usize>().prop_map(Step::Leave),
        14 => (any::<usize>(), outcome()).prop_map(|(call, outcome)| Step::Answer(call, outcome)),
        1 => (any::<usize>(), outcome()).prop_map(|(call, outcome)| Step::Late(call, outcome)),
        1 => (0_u64..40, outcome()).prop_map(|(generation, outcome)| Step::Stray(generation, outcome)),
        1 => id().prop_map(Step::Remove),
        1 => id().prop_map(Step::Forget),
        1 => (0_u64..40).prop_map(Step::ForgetStray),
        4 => prop_oneof![1_u64..200, 200_u64..70_000].prop_map(Step::Pass),
    ]
}

fn pick(index: usize, len: usize) -> Option<usize> {
    index.checked_rem(len)
}

fn report(copies: &mut Copies, call: Call, outcome: &Outcome, now: u64) {
    let bytes = (!outcome.fails).then_some(outcome.bytes);
    let failed = || "no".to_owned();
    match call {
        Call::Predict(generation) => copies.predicted(generation, bytes, now),
        Call::Load(generation) if outcome.fails => {
            copies.load_failed(generation, Cause::Runtime(failed()), now);
        }
        Call::Load(generation) => copies.loaded(generation, outcome.bytes, outcome.concurrency, now),
        Call::Size(generation) => copies.sized(generation, bytes, now),
        Call::Unload(generation) => copies.unloaded(generation, bytes.map(drop).ok_or_else(failed), now),
    }
}

fn answer(world: &mut World, call: Call, outcome: &Outcome) {
    if let Call::Unload(generation) = call {
        world.unloaded(generation, if outcome.fails { Err("no") } else { Ok(()) });
    } else {
        world.calls.remove(&call);
        world.sizing(|copies, now| report(copies, call, outcome, now));
    }
}

/// Answers that find no call: none of them may change anything but the clock.
fn stray(world: &mut World, call: Call, outcome: &Outcome) {
    if !world.calls.contains(&call) {
        let before = world.copies.totals();
        world.event(|copies, now| report(copies, call, outcome, now));
        assert_eq!(before, world.copies.totals(), "a stray answer moved memory");
    }
}

fn take(world: &mut World, step: Step) {
    let name = |id: u8| format!("m{id}");
    match step {
        Step::Acquire(id) => drop(world.acquire(&name(id))),
        Step::Ensure(id, used) => drop(world.ensure(&name(id), used)),
        Step::Watch(id) => drop(world.watch(&name(id))),
        Step::GiveUp(index) => {
            if let Some(index) = pick(index, world.pending.len()) {
                let ticket = *world.pending.iter().nth(index).unwrap();
                world.give_up(ticket);
                world.give_up(ticket);
            }
        }
        Step::Enter(id) => drop(world.enter(&name(id))),
        Step::Leave(index) => {
            if let Some(index) = pick(index, world.leases.len()) {
                world.leave(index);
            }
        }
        Step::Answer(index, outcome) => {
            if let Some(index) = pick(index, world.calls.len()) {
                let call = *world.calls.iter().nth(index).unwrap();
                answer(world, call, &outcome);
                stray(world, call, &outcome);
            }
        }
        Step::Late(index, outcome) => {
            if let Some(index) = pick(index, world.canceled.len()) {
                let call = world.canceled[index];
                stray(world, call, &outcome);
            }
        }
        Step::Stray(generation, outcome) => {
            for call in [Call::Predict, Call::Load, Call::Size, Call::Unload] {
                stray(world, call(generation), &outcome);
            }
        }
        Step::Remove(id) => world.event(|copies, now| copies.remove(&name(id), now)),
        Step::Forget(id) => {
            if let Some(gate) = world.serving.get(name(id).as_str()).cloned() {
                world.event(|copies, now| copies.forget(gate.generation(), now));
            }
        }
        Step::ForgetStray(generation) => {
            if !world.serving.values().any(|gate| gate.generation() == generation) {
                let before = world.copies.totals();
                world.event(|copies, now| copies.forget(generation, now));
                assert_eq!(before, world.copies.totals());
            }
        }
        Step::Pass(ms) => world.pass(ms),
    }
}

/// Lets everything end well: every call is answered, every request leaves, time goes on.
fn settle(world: &mut World) {
    let good = Outcome {
        fails: false,
        bytes: 10,
        concurrency: 1,
    };
    for _ in 0..1_000 {
        if let Some(call) = world.calls.first().copied() {
            answer(world, call, &good);
        } else if !world.leases.is_empty() {
            world.leave(0);
        } else if let Some(at) = world.copies.next_deadline() {
            let ms = at.saturating_sub(world.now);
            world.pass(ms);
        } else {
            return;
        }
    }
    panic!("does not come to rest");
}

fn run(limits: Limits, steps: Vec<Step>) {
    let mut world = World::new(limits);
    for step in steps {
        take(&mut world, step);
    }
    settle(&mut world);
    assert!(world.pending.is_empty(), "lost waiters: {:?}", world.pending);
    let totals = world.copies.totals();
    assert_eq!(
        (totals.reserved, totals.leaving),
        (0, 0),
        "memory that nothing will give back"
    );
    world.event(Copies::shutdown);
    settle(&mut world);
    assert!(world.copies.is_idle() && world.pending.is_empty() && world.serving.is_empty());
    assert_eq!(world.copies.totals().used(), world.copies.totals().lost);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_keeps_the_books(steps in vec(step(), 1..250)) {
        run(limits(), steps);
    }

    #[test]
    fn tight_bounds_and_a_reserve_keep_the_books_too(steps in vec(step(), 1..250)) {
        let tight = Limits {
            reserve: 15,
            loading_concurrency: 1,
            max_waiting_per_copy: 1,
            max_tickets: 6,
            max_queued: 2,
            unload_attempts: 1,
            ..limits()
        };
        run(tight, steps);
    }
}
