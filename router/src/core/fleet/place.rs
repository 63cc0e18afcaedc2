//! Where a copy is loaded.
//!
//! Candidates are filtered by what must hold (labels, room at all, no copy and no failure there), then by what is wanted,
//! as long as somebody remains: pinned, not about to be replaced, preferred labels, newest version, a zone without a
//! copy. Among the rest instances with free room come before full ones, and full ones are taken by the age of what they
//! would evict. Of all that are nearly as good as the best, two are drawn and the less busy one is taken: many routers
//! that decide at once on the same old records then do not all choose the same instance.

use super::{
    Fleet, Ix, Ledger, Model, PeerLoad, Rng, Settings,
    snapshot::{Liking, Seat},
};

/// Room that a roomy instance has left after the load, as a part of its capacity.
const HEADROOM: u64 = 20;
/// An instance counts as roomy with a quarter of the free bytes of the best: upstream's bound.
const FREE_SPREAD: u64 = 4;
/// A full instance is as good as the best when what it would evict was last used at most this part of the age later.
const AGE_SPREAD: u64 = 4;
/// Loads for each loading thread from which an instance is too busy to be the better choice by version or zone.
const DEEP_QUEUE: u32 = 4;
/// Fine enough to tell queues apart.
const QUEUE_UNIT: u32 = 16;

/// What a copy is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A request waits for it.
    Request,
    /// Copies that there are are too few.
    Further,
    /// Nobody waits for it; it is worth what was last used then.
    Background {
        /// Milliseconds since the epoch.
        last_used_ms: u64,
    },
}

/// A copy that looks for an instance.
pub struct Place<'a> {
    /// The model.
    pub model: &'a Model<'a>,
    /// Its bytes, measured, predicted or a default.
    pub size: u64,
    /// What for.
    pub purpose: Purpose,
    /// Who decides.
    pub this: Ix,
    /// This instance would take a copy: it is staying and has none, whatever the records say.
    pub this_open: bool,
    /// This instance is as good as any that is not better: callers come evenly to all.
    pub prefer_this: bool,
    /// Instances that were tried already.
    pub excluded: &'a [Ix],
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Loads on their way.
    pub ledger: &'a Ledger,
    /// Load of a peer.
    pub load_of: &'a dyn Fn(Ix) -> PeerLoad,
    /// Configuration.
    pub settings: &'a Settings,
    /// Now.
    pub now_ms: u64,
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("model", self.model)
            .field("size", &self.size)
            .field("purpose", &self.purpose)
            .field("this", &self.this)
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// No live instance has the labels that the type requires.
    #[error("no instance has the labels that this type of model requires")]
    NoneAllowed,
    /// Those that could have it are leaving, were tried, failed, or hold a copy.
    #[error("every instance that could load the model is leaving, has a copy, or could not load it")]
    NoneLeft,
    /// It fits nowhere, even into an empty instance.
    #[error("no instance has a capacity of {size} bytes")]
    TooLarge {
        /// Bytes it takes.
        size: u64,
    },
    /// The fleet is full of models that were used too recently.
    #[error("the fleet is full of models that were used in the last {min_age_ms} ms")]
    Churn {
        /// Age that the oldest has to have.
        min_age_ms: u64,
    },
    /// Everything that would have to leave was used later than this model.
    #[error("every instance is full of models that were used more recently")]
    NotWorthIt,
}

/// One candidate, with what is on its way there counted.
#[derive(Clone, Copy, Debug)]
struct Spot {
    ix: Ix,
    zone: u32,
    node: u32,
    version: u64,
    liking: Liking,
    /// Bytes free after what is on its way.
    free: u64,
    /// It has room for this model and some more.
    roomy: bool,
    /// Age of what it would evict.
    age: u64,
    /// Loads before this one for each loading thread, in units of 1/[`QUEUE_UNIT`].
    queue: u32,
    rpm: u32,
    avoided: bool,
}

/// Finds the instance for a copy.
pub fn place(want: &Place<'_>, rng: &mut Rng) -> Result<Ix, NoPlace> {
    let scope = want.fleet.scope(want.model.kind);
    if scope.seats.is_empty() {
        return Err(NoPlace::NoneAllowed);
    }
    let barred = want.barred();
    let mut spots = Vec::with_capacity(scope.seats.len());
    let mut too_small = false;
    for (at, liking) in &scope.seats {
        let at = *at as usize;
        let (Some(seat), Some(false)) = (want.fleet.seats().get(at), barred.get(at)) else {
            continue;
        };
        let open = if seat.ix == want.this {
            want.this_open
        } else {
            seat.open && seat.reachable
        };
        if !open {
            continue;
        }
        if seat.capacity < want.size {
            too_small = true;
            continue;
        }
        spots.push(want.spot(seat, *liking));
    }
    if spots.is_empty() {
        return Err(if too_small {
            NoPlace::TooLarge { size: want.size }
        } else {
            NoPlace::NoneLeft
        });
    }
    want.narrow(&mut spots);
    want.choose(&mut spots, rng)
}

impl Place<'_> {
    /// By position: tried, has a copy, or failed.
    fn barred(&self) -> Vec<bool> {
        let mut barred = vec![false; self.fleet.len()];
        let copies = self.model.copies.iter().map(|copy| copy.instance);
        let failures = self
            .model
            .fresh_failures(self.settings.failure_expiry, self.now_ms);
        let others = copies.filter(|ix| *ix != self.this);
        let all = others.chain(failures.map(|failure| failure.instance));
        for ix in all.chain(self.excluded.iter().copied()) {
            if let Some(flag) = self.fleet.position(ix).and_then(|at| barred.get_mut(at)) {
                *flag = true;
            }
        }
        barred
    }

    fn spot(&self, seat: &Seat, liking: Liking) -> Spot {
        let pending = self.ledger.pending(seat.ix);
        let free = seat
            .capacity
            .saturating_sub(seat.used)
            .saturating_sub(pending.bytes);
        // A few models more, but not so many that small models leave much memory unused.
        let some = self.size.saturating_mul(u64::from(seat.threads));
        let room = self.size.max(some.min(seat.capacity / HEADROOM));
        let loads = seat.loading.saturating_add(pending.loads);
        Spot {
            ix: seat.ix,
            zone: seat.zone,
            node: seat.node,
            version: seat.version,
            liking,
            free,
            roomy: free >= room,
            age: match seat.lru_ms {
                // Nothing there would be missed.
                u64::MAX => u64::MAX,
                lru_ms => self.now_ms.saturating_sub(lru_ms),
            },
            queue: loads.saturating_mul(QUEUE_UNIT) / seat.threads,
            rpm: seat.rpm,
            avoided: self.now_ms < seat.avoid_until_ms,
        }
    }

    fn is_pinned(&self, ix: Ix) -> bool {
        let instance = self.fleet.get(ix);
        instance.is_some_and(|instance| self.model.pinned.iter().any(|pin| pin.matches(instance)))
    }

    /// Keeps those that fulfil a wish, wish by wish, unless nobody does.
    fn narrow(&self, spots: &mut Vec<Spot>) {
        if !self.model.pinned.is_empty() {
            keep(spots, |spot| self.is_pinned(spot.ix));
        }
        keep(spots, |spot| !spot.avoided);
        // Labels are preferred while they do not cost a model that is still used; a full instance with them is then
        // no better than one with room and without them.
        let roomy = |spots: &[Spot], wish: &dyn Fn(&Spot) -> bool| spots.iter().any(|s| s.roomy && wish(s));
        let preferred = |spot: &Spot| spot.liking.preferred;
        if roomy(spots, &preferred) || !roomy(spots, &|_| true) && old_enough(spots, &preferred) {
            keep(spots, preferred);
        }
        let fit = |spot: &Spot| {
            spot.queue < DEEP_QUEUE * QUEUE_UNIT && (spot.roomy || spot.age >= self.settings.min_churn_age)
        };
        if !self.model.copies.is_empty() {
            self.spread(spots, fit, |spot| spot.zone, |seat| seat.zone);
            self.spread(spots, fit, |spot| spot.node, |seat| seat.node);
        }
        let spare = spots
            .iter()
            .filter(|spot| spot.roomy)
            .map(|spot| spot.liking.spare)
            .max();
        if let Some(spare) = spare {
            keep(spots, |spot| spot.roomy && spot.liking.spare == spare);
        }
        let newest = spots.iter().map(|spot| spot.version).max().unwrap_or(0);
        if spots.iter().any(|spot| spot.version == newest && fit(spot)) {
            keep(spots, |spot| spot.version == newest);
        }
    }

    /// Keeps those in the zones, or on the nodes, that have the fewest copies of the model.
    fn spread(
        &self,
        spots: &mut Vec<Spot>,
        fit: impl Fn(&Spot) -> bool,
        of_spot: impl Fn(&Spot) -> u32,
        of_seat: impl Fn(&Seat) -> u32,
    ) {
        let mut counts: Vec<u32> = Vec::new();
        for seat in self
            .model
            .copies
            .iter()
            .filter_map(|copy| self.fleet.seat(copy.instance))
        {
            let at = of_seat(seat) as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        let copies = |spot: &Spot| counts.get(of_spot(spot) as usize).copied().unwrap_or(0);
        if let Some(fewest) = spots.iter().filter(|spot| fit(spot)).map(copies).min() {
            keep(spots, |spot| copies(spot) == fewest);
        }
    }

    /// Of those that are left, one that is nearly the best.
    fn choose(&self, spots: &mut Vec<Spot>, rng: &mut Rng) -> Result<Ix, NoPlace> {
        if spots.iter().any(|spot| spot.roomy) {
            let most = spots.iter().map(|spot| spot.free).max().unwrap_or(0);
            spots.retain(|spot| spot.roomy && spot.free >= most / FREE_SPREAD);
        } else {
            let oldest = spots.iter().map(|spot| spot.age).max().unwrap_or(0);
            self.refuse(oldest)?;
            spots.retain(|spot| spot.age >= oldest - oldest / AGE_SPREAD);
        }
        let drawn = [rng.index(spots.len()), rng.index(spots.len())];
        let drawn = drawn.into_iter().filter_map(|at| spots.get(at));
        let Some(drawn) = drawn.min_by_key(|spot| self.busy(spot)) else {
            return Err(NoPlace::NoneLeft);
        };
        let this = spots.iter().find(|spot| spot.ix == self.this);
        Ok(match this {
            Some(this) if self.prefer_this && this.queue <= drawn.queue => this.ix,
            _ => drawn.ix,
        })
    }

    /// What counts against an instance. Loads come first: a model that waits for others to load is not served.
    fn busy(&self, spot: &Spot) -> (bool, u32, u32, u32) {
        let load = (self.load_of)(spot.ix);
        (load.ejected, spot.queue, load.estimate(self.now_ms), spot.rpm)
    }

    /// Whether a fleet whose oldest model has this age takes one more.
    fn refuse(&self, oldest: u64) -> Result<(), NoPlace> {
        match self.purpose {
            Purpose::Background { last_used_ms } if self.now_ms.saturating_sub(last_used_ms) > oldest => {
                Err(NoPlace::NotWorthIt)
            }
            _ if oldest < self.settings.min_churn_age => Err(NoPlace::Churn {
                min_age_ms: self.settings.min_churn_age,
            }),
            _ => Ok(()),
        }
    }
}

/// Whether what the best with the wish would evict is nearly as old as what the best of all would: upstream's bounds.
fn old_enough(spots: &[Spot], wish: &dyn Fn(&Spot) -> bool) -> bool {
    let oldest = spots.iter().map(|spot| spot.age).max().unwrap_or(0);
    let wished = spots.iter().filter(|spot| wish(spot)).map(|spot| spot.age).max();
    wished.is_some_and(|age| age.saturating_add((oldest / 4).max(120_000)) >= oldest)
}

/// Keeps what fulfils a wish, unless nothing does.
fn keep(spots: &mut Vec<Spot>, wish: impl Fn(&Spot) -> bool) {
    if spots.iter().any(&wish) {
        spots.retain(wish);
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
