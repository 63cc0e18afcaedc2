//! All live instances at one moment, arranged so that a decision is one pass over a small array.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Constraints, Instance, InstanceId, Ix, constraints::Rule};

/// How long the older replica sets are then avoided.
const AVOID_MS: u64 = 15 * 60_000;
/// Position of an instance that is not there.
const ABSENT: u32 = u32::MAX;

/// What placement looks at, together in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) ix: Ix,
    pub(super) zone: u32,
    pub(super) node: u32,
    pub(super) capacity: u64,
    pub(super) used: u64,
    pub(super) lru_ms: u64,
    /// Its replica set is believed to be on its way out until then.
    pub(super) avoid_until_ms: u64,
    pub(super) version: u64,
    pub(super) threads: u32,
    pub(super) loading: u32,
    pub(super) rpm: u32,
    /// It is staying.
    pub(super) open: bool,
    /// Others know where.
    pub(super) reachable: bool,
}

/// The instances that one type of models may use.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Positions of seats, with what the type thinks of them.
    pub(super) seats: Box<[(u32, Liking)]>,
    /// Percentage of the memory of those that are staying that is used.
    used_percent: u64,
    /// Last use of what would be evicted first anywhere among them; [`u64::MAX`] = nothing.
    oldest_ms: u64,
}

/// How welcome a type is on an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Liking {
    /// It has a label that the type prefers.
    pub(super) preferred: bool,
    /// For types without a preference: larger where fewer others could go, and where fewer others want to be.
    pub(super) spare: i32,
}

/// An immutable snapshot of the fleet.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    seats: Box<[Seat]>,
    instances: Box<[Arc<Instance>]>,
    positions: Box<[u32]>,
    by_id: HashMap<InstanceId, Ix>,
    scopes: HashMap<Box<str>, Scope>,
    default: Scope,
    constraints: Arc<Constraints>,
}

impl Fleet {
    /// The fleet of these instances under these constraints.
    pub fn new(
        instances: impl IntoIterator<Item = (Ix, Arc<Instance>)>,
        constraints: Arc<Constraints>,
    ) -> Self {
        let mut live: Vec<_> = instances.into_iter().collect();
        live.sort_by_key(|(ix, _)| *ix);
        live.dedup_by_key(|(ix, _)| *ix);
        let avoid = upgrades(&live);
        let (mut zones, mut nodes) = (HashMap::new(), HashMap::new());
        let mut positions = vec![ABSENT; live.last().map_or(0, |(ix, _)| *ix as usize + 1)];
        let mut seats = Vec::with_capacity(live.len());
        for (at, (ix, instance)) in live.iter().enumerate() {
            if let Some(position) = positions.get_mut(*ix as usize) {
                *position = u32::try_from(at).unwrap_or(ABSENT);
            }
            seats.push(Seat {
                ix: *ix,
                zone: number(&mut zones, &instance.zone),
                node: number(&mut nodes, &instance.location),
                capacity: instance.capacity,
                used: instance.used,
                lru_ms: instance.lru_ms,
                avoid_until_ms: avoid.get(at).copied().unwrap_or(0),
                version: instance.version,
                threads: instance.loading_threads.max(1),
                loading: instance.loading,
                rpm: instance.rpm,
                open: !instance.shutting_down,
                reachable: instance.peer.is_some(),
            });
        }
        let scope = |rule: &Rule| Scope::new(rule, &live, &constraints);
        let scopes = constraints
            .rules
            .iter()
            .map(|(kind, rule)| (kind.clone(), scope(rule)))
            .collect();
        let default = scope(&constraints.default);
        let by_id = live.iter().map(|(ix, one)| (one.id.clone(), *ix)).collect();
        Self {
            seats: seats.into(),
            positions: positions.into(),
            by_id,
            scopes,
            default,
            instances: live.into_iter().map(|(_, instance)| instance).collect(),
            constraints,
        }
    }

    /// A live instance.
    pub fn get(&self, ix: Ix) -> Option<&Arc<Instance>> {
        self.instances.get(self.position(ix)?)
    }

    /// The number of a live instance.
    pub fn of_id(&self, id: &str) -> Option<Ix> {
        self.by_id.get(id).copied()
    }

    /// All live instances, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Ix, &Arc<Instance>)> {
        self.seats.iter().map(|seat| seat.ix).zip(self.instances.iter())
    }

    /// Live instances.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// What the fleet was made with.
    pub fn constraints(&self) -> &Arc<Constraints> {
        &self.constraints
    }

    /// Instances that may load models of this type and are staying.
    pub fn candidates(&self, kind: &str) -> impl Iterator<Item = Ix> {
        self.scope(kind)
            .seats
            .iter()
            .filter_map(|(at, _)| self.seats.get(*at as usize))
            .filter(|seat| seat.open)
            .map(|seat| seat.ix)
    }

    /// Whether this instance may load models of this type, by its labels.
    pub fn allows(&self, kind: &str, ix: Ix) -> bool {
        let Some(position) = self.position(ix) else {
            return false;
        };
        let at = u32::try_from(position).unwrap_or(ABSENT);
        self.scope(kind)
            .seats
            .binary_search_by_key(&at, |(at, _)| *at)
            .is_ok()
    }

    /// Percentage of the memory that models of this type may use that is used; 100 when there is none.
    pub fn used_percent(&self, kind: &str) -> u64 {
        self.scope(kind).used_percent
    }

    /// Last use of what a model of this type could evict first; [`u64::MAX`] = nothing.
    pub fn oldest_ms(&self, kind: &str) -> u64 {
        self.scope(kind).oldest_ms
    }

    pub(super) fn scope(&self, kind: &str) -> &Scope {
        self.scopes.get(kind).unwrap_or(&self.default)
    }

    pub(super) fn seat(&self, ix: Ix) -> Option<&Seat> {
        self.seats.get(self.position(ix)?)
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) fn position(&self, ix: Ix) -> Option<usize> {
        let position = *self.positions.get(ix as usize)?;
        (position != ABSENT).then_some(position as usize)
    }
}

impl Scope {
    fn new(rule: &Rule, live: &[(Ix, Arc<Instance>)], constraints: &Constraints) -> Self {
        let seats = live
            .iter()
            .enumerate()
            .filter(|(_, (_, instance))| rule.allows(instance));
        let staying = || {
            let all = live.iter().map(|(_, instance)| instance);
            all.filter(|instance| rule.allows(instance) && !instance.shutting_down)
        };
        let capacity: u128 = staying().map(|one| u128::from(one.capacity)).sum();
        let used: u128 = staying().map(|one| u128::from(one.used)).sum();
        let percent = (used * 100).checked_div(capacity).unwrap_or(100);
        let liking = |instance: &Instance| {
            let preferred = rule.prefers(instance);
            let spare = if rule.preferred.is_empty() {
                spare(instance, constraints)
            } else {
                0
            };
            Liking { preferred, spare }
        };
        Self {
            seats: seats
                .map(|(at, (_, instance))| (u32::try_from(at).unwrap_or(ABSENT), liking(instance)))
                .collect(),
            used_percent: u64::try_from(percent).unwrap_or(100),
            oldest_ms: staying().map(|one| one.lru_ms).min().unwrap_or(u64::MAX),
        }
    }
}

fn number<'a>(names: &mut HashMap<&'a str, u32>, name: &'a str) -> u32 {
    let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
    *names.entry(name).or_insert(next)
}

/// Upstream's score: who has no preference leaves the instances to those that need or want them.
fn spare(instance: &Instance, constraints: &Constraints) -> i32 {
    constraints
        .rules
        .values()
        .map(|rule| match (rule.allows(instance), rule.prefers(instance)) {
            (false, _) => 4,
            (true, true) => -1,
            (true, false) => 0,
        })
        .sum()
}

/// Until when each instance is avoided because a newer replica set takes over from its own. Only instances with the
/// same labels replace each other.
fn upgrades(live: &[(Ix, Arc<Instance>)]) -> Vec<u64> {
    // First start of each replica set, by labels.
    let mut starts: BTreeMap<(&[Box<str>], &str), u64> = BTreeMap::new();
    for (_, instance) in live {
        if let Some(set) = instance.replica_set() {
            let start = starts.entry((&instance.labels, set)).or_insert(u64::MAX);
            *start = (*start).min(instance.start_ms);
        }
    }
    let mut newest: BTreeMap<&[Box<str>], u64> = BTreeMap::new();
    for ((labels, _), start) in &starts {
        let latest = newest.entry(labels).or_insert(0);
        *latest = (*latest).max(*start);
    }
    live.iter()
        .map(|(_, instance)| {
            let labels: &[Box<str>] = &instance.labels;
            let own = instance.replica_set().and_then(|set| starts.get(&(labels, set)));
            match (own, newest.get(labels)) {
                (Some(own), Some(newest)) if own < newest => newest.saturating_add(AVOID_MS),
                _ => 0,
            }
        })
        .collect()
}
