//! Many models, few of them hot: the whole machine over a simulated day, with every check of [`super::world`].

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    Limits,
    world::{Call, World, limits},
};

const MODELS: usize = 400;
const LOAD_MS: u64 = 800;
const UNLOAD_MS: u64 = 200;
const SERVE_MS: u64 = 20;

/// A generator that is random enough for a mix and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Ranks by Zipf's law: the n-th model is asked for in proportion to 1/n.
fn zipf(dice: &mut Dice, cumulated: &[u64]) -> usize {
    let total = cumulated.last().copied().unwrap_or(1);
    let roll = dice.roll(total);
    cumulated.partition_point(|upto| *upto <= roll)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Answered(Call),
    Served(u64),
}

struct Simulation {
    world: World,
    agenda: BinaryHeap<Reverse<(u64, Event)>>,
    planned: std::collections::BTreeSet<Call>,
    leases: usize,
    hits: u64,
    requests: u64,
    longest_wait: u64,
    waiting: std::collections::BTreeMap<u64, u64>,
}

impl Simulation {
    fn at(&mut self, after: u64, event: Event) {
        self.agenda.push(Reverse((self.world.now + after, event)));
    }

    /// Puts the ends of new calls and new requests inside on the agenda.
    fn follow_up(&mut self) {
        for call in self.world.calls.clone() {
            if self.planned.insert(call) {
                let after = match call {
                    Call::Predict(_) | Call::Size(_) => 1,
                    Call::Load(generation) => LOAD_MS + generation % 400,
                    Call::Unload(_) => UNLOAD_MS,
                };
                self.at(after, Event::Answered(call));
            }
        }
        for lease in self.leases..self.world.leases.len() {
            let generation = self.world.leases[lease].generation();
            self.at(SERVE_MS, Event::Served(generation));
        }
        self.leases = self.world.leases.len();
        let now = self.world.now;
        let answered: Vec<_> = self
            .waiting
            .keys()
            .copied()
            .filter(|ticket| self.world.answers.contains_key(ticket))
            .collect();
        for ticket in answered {
            assert!(
                matches!(self.world.answers.get(&ticket), Some(Ok(Some(_)))),
                "nothing fails here"
            );
            let since = self.waiting.remove(&ticket).unwrap_or(now);
            self.longest_wait = self.longest_wait.max(now - since);
        }
    }

    fn step(&mut self, event: Event, model: impl FnOnce() -> usize) {
        match event {
            Event::Request => {
                let id = format!("m{}", model());
                self.requests += 1;
                if self.world.enter(&id) {
                    self.hits += 1;
                } else {
                    let ticket = self.world.acquire(&id).expect("nothing is refused here");
                    self.waiting.insert(ticket, self.world.now);
                }
            }
            Event::Served(generation) => {
                let position = self
                    .world
                    .leases
                    .iter()
                    .position(|lease| lease.generation() == generation);
                self.world
                    .leave(position.expect("a request that is served is inside"));
                self.leases -= 1;
            }
            Event::Answered(call) => {
                self.planned.remove(&call);
                let bytes = |generation: u64| 5 + generation % 7;
                if self.world.calls.contains(&call) {
                    match call {
                        Call::Unload(generation) => self.world.unloaded(generation, Ok(())),
                        Call::Predict(generation) => {
                            self.world.calls.remove(&call);
                            self.world
                                .event(|copies, now| copies.predicted(generation, Some(8), now));
                        }
                        Call::Load(generation) => {
                            self.world.calls.remove(&call);
                            self.world
                                .sizing(|copies, now| copies.loaded(generation, bytes(generation), 0, now));
                        }
                        Call::Size(_) => panic!("every load tells its size here"),
                    }
                }
            }
        }
    }
}

fn simulate(requests: u64, gap: u64) -> Simulation {
    let limits = Limits {
        capacity: 500,
        loading_concurrency: 4,
        load_timeout: 10_000,
        limit_concurrency: false,
        max_tickets: 100_000,
        max_queued: 100_000,
        ..limits()
    };
    let mut simulation = Simulation {
        world: World::new(limits),
        agenda: BinaryHeap::new(),
        planned: std::collections::BTreeSet::new(),
        leases: 0,
        hits: 0,
        requests: 0,
        longest_wait: 0,
        waiting: std::collections::BTreeMap::new(),
    };
    let mut dice = Dice(7);
    let mut cumulated = Vec::new();
    for rank in 1..=MODELS as u64 {
        cumulated.push(cumulated.last().copied().unwrap_or(0) + 1_000_000 / rank);
    }
    let mut when = 0;
    for _ in 0..requests {
        when += dice.roll(2 * gap + 1);
        simulation.at(when, Event::Request);
    }
    while let Some(Reverse((at, event))) = simulation.agenda.pop() {
        simulation.world.now = at;
        if simulation
            .world
            .copies
            .next_deadline()
            .is_some_and(|due| due <= at)
        {
            simulation.world.pass(0);
        }
        simulation.step(event, || zipf(&mut dice, &cumulated));
        simulation.follow_up();
    }
    simulation
}

#[test]
fn a_zipf_mix_is_served_from_memory_for_the_most_part_and_nobody_waits_for_ever() {
    // About a sixth of the models fit; at this rate loads are needed a third as often as they can be done.
    let simulation = simulate(6_000, 400);
    assert!(simulation.waiting.is_empty() && simulation.world.pending.is_empty());
    assert!(
        simulation.hits * 2 > simulation.requests,
        "{} of {}",
        simulation.hits,
        simulation.requests
    );
    assert!(simulation.longest_wait < 20_000, "{} ms", simulation.longest_wait);
    let totals = simulation.world.copies.totals();
    assert_eq!((totals.reserved, totals.leaving, totals.lost), (0, 0, 0));
}

#[test]
fn overload_is_worked_off_in_order() {
    // Twenty times as many requests: loads cannot keep up, so the line grows, but whoever stands in it moves on.
    let simulation = simulate(3_000, 20);
    assert!(simulation.waiting.is_empty() && simulation.world.pending.is_empty());
    // All loads that there could be, one after the other on four turns, is the bound for a first come, first served line.
    let bound = simulation.requests * (LOAD_MS + 400 + UNLOAD_MS) / 4;
    assert!(
        simulation.longest_wait < bound,
        "{} ms of {bound}",
        simulation.longest_wait
    );
    assert!(simulation.longest_wait > LOAD_MS, "it was no overload");
}
