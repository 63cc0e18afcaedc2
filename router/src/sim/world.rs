//! Virtual time: what happens when, and to whom.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use super::{
    check::Violation,
    log::{Log, Record},
    network::Network,
    node::{LOAD_TIMEOUT_MS, Node},
    requests::{Answer, Visit},
    scenario::{Fault, Scenario},
    tasks::{QUIET_TICK_MS, TICK_MS},
    writes::{StoreAnswer, StoreCall},
};
use crate::core::{
    cache::gate::Generation,
    fleet::{Ix, PeerLoad, Rng, Settings},
};

/// The time at which a simulation begins, by clocks that are right.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Period of signs of life.
pub(super) const BEAT_MS: u64 = 5_000;
/// A model that cannot be loaded anywhere.
const BROKEN_EVERY: u32 = 11;
/// Faults are over for so long before the fleet has to be in order: failures expire in between.
pub(super) const SETTLE_MS: u64 = 30 * 60_000;
/// Times at which the load of each router is noted.
pub const SAMPLE_MS: u64 = 5_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Request {
        left: u32,
    },
    Check {
        model: u32,
        watch: u64,
    },
    Visit {
        visit: u64,
        to: Ix,
    },
    Answer {
        visit: u64,
        peer: Ix,
        answer: Answer,
        load: Option<PeerLoad>,
    },
    Message {
        from: Ix,
        to: Ix,
        message: Message,
    },
    Called {
        ix: Ix,
        epoch: u32,
        call: Call,
    },
    Served {
        ix: Ix,
        epoch: u32,
        visit: u64,
    },
    Wake {
        ix: Ix,
        epoch: u32,
    },
    Tick {
        ix: Ix,
        epoch: u32,
    },
    Beat {
        ix: Ix,
        epoch: u32,
    },
    Store {
        ix: Ix,
        epoch: u32,
        call: StoreCall,
    },
    StoreAnswer {
        ix: Ix,
        epoch: u32,
        answer: StoreAnswer,
    },
    WriteTimeout {
        ix: Ix,
        epoch: u32,
        write: u64,
    },
    Watch {
        ix: Ix,
        epoch: u32,
    },
    SessionEnd {
        ix: Ix,
    },
    Stop {
        ix: Ix,
    },
    Leave {
        ix: Ix,
    },
    Start {
        ix: Ix,
    },
    Sample,
}

/// What routers tell each other, requests aside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Load {
        model: u32,
        last_used_ms: u64,
    },
    Loaded {
        model: u32,
        loaded: bool,
    },
    /// Whether the copy there is loaded.
    Ask {
        model: u32,
        keep: u32,
    },
    Has {
        model: u32,
        loaded: bool,
        keep: u32,
    },
}

/// What a runtime was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Predict(Generation, u32),
    Load(Generation, u32),
    Unload(Generation),
}

struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// What came of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Requests that were served.
    pub served: u64,
    /// Requests that were served by a copy at the router they came to, at once.
    pub hits: u64,
    /// Loads that requests caused.
    pub misses: u64,
    /// Requests that were refused with a reason.
    pub refused: u64,
    /// Requests that were inside a router when it died, or came to a dead one.
    pub unanswered: u64,
    /// Times that requests crossed the network.
    pub hops: u64,
    /// Loads that succeeded.
    pub loads: u64,
    /// Copies that were added by scaling and handing over.
    pub added: u64,
    /// Copies that were dropped by scaling.
    pub dropped: u64,
    /// Edits that the store took.
    pub writes: u64,
    /// Edits that came too late and were done anew.
    pub conflicts: u64,
    /// Decisions about the way of a request.
    pub decisions: u64,
    /// Time that they took by a real clock.
    pub deciding: Duration,
    /// Requests that each router served in each stretch of time.
    pub load: Vec<Vec<u32>>,
}

/// Everything.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) scenario: Scenario,
    pub(super) settings: Settings,
    pub(super) network: Network,
    pub(super) log: Log,
    pub(super) nodes: Vec<Node>,
    /// Which start of a router its session belongs to.
    pub(super) sessions_of: Vec<u32>,
    pub(super) visits: HashMap<u64, Visit>,
    /// Requests that have to be served, and whether they were.
    pub(super) watched: HashMap<u64, bool>,
    pub(super) report: Report,
    pub(super) violation: Option<String>,
    agenda: BinaryHeap<Due>,
    numbers: u64,
    pub(super) rng: Rng,
    weights: Vec<f64>,
    quiet: bool,
}

/// Bytes that a model takes.
pub(super) fn size(model: u32) -> u64 {
    5 + u64::from(model % 8)
}

/// Whether a model can be loaded nowhere.
pub(super) fn is_broken(model: u32) -> bool {
    model % BROKEN_EVERY == BROKEN_EVERY - 1
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario) -> Result<Report, Violation> {
    let mut world = World::new(scenario);
    world.go(scenario.duration)?;
    world.go(scenario.duration + SETTLE_MS)?;
    world.check_order()?;
    world.check_service()?;
    Ok(world.report)
}

/// Runs a scenario until its faults are over, without waiting for what comes of them.
pub fn run_until_faults_end(scenario: &Scenario) -> Result<Report, Violation> {
    let mut world = World::new(scenario);
    world.go(scenario.duration)?;
    Ok(world.report)
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let records = (0..scenario.models).map(|model| Record {
            last_used_ms: EPOCH_MS - 3_600_000 - u64::from(model),
            min: if model % 5 == 3 && model % 7 != 6 { 2 } else { 0 },
            max: u32::from(model % 7 == 6),
            ..Record::default()
        });
        let mut total = 0.0;
        let weights = (1..=scenario.models)
            .map(|rank| {
                total += 1.0 / f64::from(rank);
                total
            })
            .collect();
        let nodes = (0..scenario.routers).map(|ix| {
            Node::new(
                ix,
                0,
                scenario.routers,
                scenario.capacity,
                scenario.seed,
                EPOCH_MS,
            )
        });
        let mut world = Self {
            now: 0,
            settings: Settings {
                min_churn_age: 0,
                ..Settings::of_load_timeout(LOAD_TIMEOUT_MS)
            },
            network: Network::new(scenario),
            log: Log::new(scenario.routers, records.collect()),
            nodes: nodes.collect(),
            sessions_of: vec![0; scenario.routers as usize],
            visits: HashMap::new(),
            watched: HashMap::new(),
            report: Report::default(),
            violation: None,
            agenda: BinaryHeap::new(),
            numbers: 0,
            rng: Rng::new(scenario.seed),
            weights,
            quiet: false,
            scenario: scenario.clone(),
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for ix in 0..self.scenario.routers {
            let delay = self.rng.below(2_000);
            self.at(delay, Event::Start { ix });
        }
        for fault in self.scenario.faults.clone() {
            match fault {
                Fault::Crash { router: ix, at, back } => {
                    self.at(at, Event::Stop { ix });
                    self.at(back, Event::Start { ix });
                }
                Fault::Leave { router: ix, at, back } => {
                    self.at(at, Event::Leave { ix });
                    self.at(back, Event::Start { ix });
                }
                _ => {}
            }
        }
        let left = self.scenario.requests;
        self.at(3_000, Event::Request { left });
        self.at(SAMPLE_MS, Event::Sample);
    }

    pub(super) fn go(&mut self, until: u64) -> Result<(), Violation> {
        self.quiet = until > self.scenario.duration;
        while self.agenda.peek().is_some_and(|due| due.at <= until) {
            let Some(due) = self.agenda.pop() else { break };
            self.now = due.at;
            self.report.events += 1;
            self.happen(due.event);
            if let Some(what) = self.violation.take() {
                return Err(self.violation_of(what));
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { left } => self.next_request(left),
            Event::Check { model, watch } => {
                let ix = self.any_router();
                self.arrive(ix, model, watch.is_multiple_of(2), Some(watch));
            }
            Event::Visit { visit, to } => self.visited(visit, to),
            Event::Answer {
                visit,
                peer,
                answer,
                load,
            } => self.answered(visit, peer, answer, load),
            Event::Message { from, to, message } => {
                if self.node(to).up {
                    self.told(from, to, message);
                }
            }
            Event::Store { ix, epoch, call } => self.store(ix, epoch, call),
            Event::SessionEnd { ix } => self.end_session(ix),
            Event::Stop { ix } => self.stop(ix),
            Event::Leave { ix } => self.leave(ix),
            Event::Start { ix } => self.start(ix),
            Event::Sample => self.sample(),
            Event::Called { ix, epoch, .. }
            | Event::Served { ix, epoch, .. }
            | Event::Wake { ix, epoch }
            | Event::Tick { ix, epoch }
            | Event::Beat { ix, epoch }
            | Event::StoreAnswer { ix, epoch, .. }
            | Event::WriteTimeout { ix, epoch, .. }
            | Event::Watch { ix, epoch } => {
                if self.node(ix).up && self.node(ix).epoch == epoch {
                    self.happen_at(ix, epoch, event);
                }
            }
        }
    }

    fn happen_at(&mut self, ix: Ix, epoch: u32, event: Event) {
        match event {
            Event::Called { call, .. } => self.called(ix, call),
            Event::Served { visit, .. } => self.served(ix, visit),
            Event::Wake { .. } => {
                let now = self.clock(ix);
                self.node_mut(ix).timer = None;
                self.node_mut(ix).copies.expire(now);
                self.perform(ix);
            }
            Event::Tick { .. } => {
                self.tick(ix);
                let period = if self.quiet { QUIET_TICK_MS } else { TICK_MS };
                self.at(period, Event::Tick { ix, epoch });
            }
            Event::Beat { .. } => {
                let sent = self.steady_clock(ix);
                if self.node(ix).latch == 0 {
                    self.open_session(ix);
                } else {
                    self.ask_store(ix, StoreCall::Beat { sent });
                }
                self.at(BEAT_MS, Event::Beat { ix, epoch });
            }
            Event::StoreAnswer { answer, .. } => self.store_answered(ix, answer),
            Event::WriteTimeout { write, .. } => self.write_timed_out(ix, write),
            Event::Watch { .. } => self.watch(ix),
            _ => {}
        }
    }

    fn next_request(&mut self, left: u32) {
        if left == 0 {
            return;
        }
        let most = self.weights.last().copied().unwrap_or(0.0);
        let drawn = self.rng.unit() * most;
        let model = self.weights.partition_point(|upto| *upto <= drawn);
        let ix = self.any_router();
        let balanced = self.rng.chance(500_000);
        self.arrive(ix, u32::try_from(model).unwrap_or(0), balanced, None);
        let mean = self.scenario.duration.saturating_sub(3_000) / u64::from(self.scenario.requests.max(1));
        let wait = self.rng.below(2 * mean + 1);
        self.at(wait, Event::Request { left: left - 1 });
    }

    fn any_router(&mut self) -> Ix {
        Ix::try_from(self.rng.below(u64::from(self.scenario.routers))).unwrap_or(0)
    }

    fn sample(&mut self) {
        let served = self.nodes.iter_mut().map(|node| std::mem::take(&mut node.served));
        let row = served.collect();
        if !self.quiet {
            self.report.load.push(row);
            self.at(SAMPLE_MS, Event::Sample);
        }
    }

    pub(super) fn at(&mut self, after: u64, event: Event) {
        self.numbers += 1;
        self.agenda.push(Due {
            at: self.now + after,
            number: self.numbers,
            event,
        });
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn node(&self, ix: Ix) -> &Node {
        &self.nodes[ix as usize]
    }

    pub(super) fn node_mut(&mut self, ix: Ix) -> &mut Node {
        &mut self.nodes[ix as usize]
    }

    /// The time of day by a router's clock.
    pub(super) fn clock(&self, ix: Ix) -> u64 {
        let (offset, drift) = self.network.clock(ix, self.now);
        (EPOCH_MS + self.now).saturating_add_signed(offset + drift)
    }

    /// A clock that nobody sets, though it may run fast or slow.
    pub(super) fn steady_clock(&self, ix: Ix) -> u64 {
        let (_, drift) = self.network.clock(ix, self.now);
        self.now.saturating_add_signed(drift)
    }
}
