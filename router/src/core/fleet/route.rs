//! Which instance serves a request.
//!
//! A request comes from a client, or from another router in one of two modes. `Hit` asks for a copy that is there and goes
//! nowhere else; `Load` asks for a copy here, which is made if need be, or for one further `Hit`. So a request crosses the
//! network twice at most, and cannot come round in a circle, whatever the routers believe about each other.

use super::{Copy, Fleet, Ix, Ledger, Model, NoPlace, PeerLoad, Place, Purpose, Rng, Settings, place::place};

/// A request goes to a peer although a copy is here when here are more than twice as many requests as there, and
/// this many more: a hop costs about as much as serving a small model.
const CLEARLY_BUSIER: u32 = 8;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    External {
        /// Clients spread their requests over all routers (`mm-balanced`).
        balanced: bool,
    },
    /// A router that believes that a copy is here.
    Hit,
    /// A router that wants a copy here.
    Load,
}

/// The copy on this instance, as it knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// None.
    Absent,
    /// Queued or loading.
    Loading {
        /// Since then.
        since_ms: u64,
    },
    /// Serves.
    Loaded,
}

/// A request that asks for a way.
pub struct Ask<'a> {
    /// The model.
    pub model: &'a Model<'a>,
    /// Its bytes if it has to be loaded.
    pub size: u64,
    /// Where the request comes from.
    pub origin: Origin,
    /// Instances that could not serve it.
    pub excluded: &'a [Ix],
    /// This instance.
    pub this: Ix,
    /// The copy here.
    pub own: Own,
    /// Requests that the copy here serves, and that wait for it.
    pub own_in_flight: u32,
    /// This instance is leaving: what it has still serves, nothing is loaded.
    pub draining: bool,
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Load of a peer.
    pub load_of: &'a dyn Fn(Ix) -> PeerLoad,
    /// Time after which a load of this type is probably over.
    pub assumed_load_ms: u64,
    /// Loads on their way.
    pub ledger: &'a Ledger,
    /// Configuration.
    pub settings: &'a Settings,
    /// Now.
    pub now_ms: u64,
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("model", self.model)
            .field("origin", &self.origin)
            .field("excluded", &self.excluded)
            .field("this", &self.this)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// The way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the copy here; if it is still loading, the request waits.
    Here,
    /// A copy is loaded here.
    LoadHere,
    /// To a peer that has a copy, or waits there for the load that is under way.
    Hit(Ix),
    /// To a peer that loads a copy.
    LoadAt(Ix),
    /// Nowhere.
    Refuse(Why),
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No copy is here, and the caller wanted no other.
    NotHere,
    /// This instance is leaving and loads nothing.
    Draining,
    /// The load failed on so many instances, most recently there.
    Failed {
        /// Instances.
        places: usize,
        /// The last of them.
        last: Ix,
    },
    /// So many instances hold a copy, and none could serve.
    Fruitless {
        /// Instances.
        places: usize,
    },
    /// There are as many copies as there may be, and none could serve.
    AtMaximum,
    /// There is no place for a copy.
    NoPlace(NoPlace),
}

/// Finds the way of a request.
pub fn route(ask: &Ask<'_>, rng: &mut Rng) -> Decision {
    match (ask.origin, ask.own) {
        (Origin::Hit | Origin::Load, Own::Loaded | Own::Loading { .. }) => Decision::Here,
        (Origin::Hit, Own::Absent) => Decision::Refuse(Why::NotHere),
        (Origin::Load, Own::Absent) => match ask.elsewhere(rng) {
            Some(peer) => Decision::Hit(peer),
            None => ask.load_here(),
        },
        (Origin::External { balanced }, own) => ask.external(balanced, own, rng),
    }
}

impl Ask<'_> {
    fn external(&self, balanced: bool, own: Own, rng: &mut Rng) -> Decision {
        let here = !self.excluded.contains(&self.this);
        if here && own == Own::Loaded {
            if balanced {
                return Decision::Here;
            }
            return match self.two_choices(rng) {
                Some(peer) if self.clearly_busier(peer) => Decision::Hit(peer),
                _ => Decision::Here,
            };
        }
        if let Some(peer) = self.two_choices(rng) {
            return Decision::Hit(peer);
        }
        let own_since = match own {
            Own::Loading { since_ms } if here => Some(since_ms),
            _ => None,
        };
        match (own_since, self.earliest_load()) {
            (Some(own), Some(peer)) if own <= peer.since_ms => Decision::Here,
            (Some(_), None) => Decision::Here,
            (_, Some(peer)) => Decision::Hit(peer.instance),
            (None, None) => self.miss(rng),
        }
    }

    /// For a request that was sent here to be served here: another copy, if there is one after all.
    fn elsewhere(&self, rng: &mut Rng) -> Option<Ix> {
        self.two_choices(rng)
            .or_else(|| self.earliest_load().map(|copy| copy.instance))
    }

    /// Copies on peers that can be asked.
    fn peers(&self) -> impl Iterator<Item = &Copy> {
        self.model.copies.iter().filter(|copy| {
            copy.instance != self.this
                && !self.excluded.contains(&copy.instance)
                && self
                    .fleet
                    .get(copy.instance)
                    .is_some_and(|instance| instance.peer.is_some())
        })
    }

    fn probably_loaded(&self, copy: &Copy) -> bool {
        copy.since_ms.saturating_add(self.assumed_load_ms) <= self.now_ms
    }

    /// The less busy of two peers that probably have a loaded copy; one whose last answers were failures only if there
    /// is no other.
    fn two_choices(&self, rng: &mut Rng) -> Option<Ix> {
        let load = |copy: &Copy| (self.load_of)(copy.instance);
        let healthy = |copy: &&Copy| self.probably_loaded(copy) && !load(copy).ejected;
        let count = self.peers().filter(healthy).count();
        if count == 0 {
            return self
                .peers()
                .find(|copy| self.probably_loaded(copy))
                .map(|copy| copy.instance);
        }
        // Two different ones: the second is drawn from what is left.
        let first_at = rng.index(count);
        let first = self.peers().filter(healthy).nth(first_at)?;
        if count == 1 {
            return Some(first.instance);
        }
        let second_at = (first_at + 1 + rng.index(count - 1)) % count;
        let second = self.peers().filter(healthy).nth(second_at)?;
        let busy = |copy: &Copy| load(copy).estimate(self.now_ms);
        Some(if busy(second) < busy(first) {
            second.instance
        } else {
            first.instance
        })
    }

    fn clearly_busier(&self, peer: Ix) -> bool {
        let load = (self.load_of)(peer);
        let there = load.estimate(self.now_ms);
        !load.ejected
            && self.own_in_flight > there.saturating_mul(2).max(there.saturating_add(CLEARLY_BUSIER))
    }

    /// Of the loads under way elsewhere, the one that began first.
    fn earliest_load(&self) -> Option<&Copy> {
        self.peers().min_by_key(|copy| {
            (
                (self.load_of)(copy.instance).ejected,
                copy.since_ms,
                copy.instance,
            )
        })
    }

    /// No copy can serve: one is loaded.
    fn miss(&self, rng: &mut Rng) -> Decision {
        if let Some(why) = self.hopeless() {
            return Decision::Refuse(why);
        }
        let want = Place {
            model: self.model,
            size: self.size,
            purpose: Purpose::Request,
            this: self.this,
            this_open: self.own == Own::Absent && !self.draining,
            prefer_this: self.origin == Origin::External { balanced: true },
            excluded: self.excluded,
            fleet: self.fleet,
            ledger: self.ledger,
            load_of: self.load_of,
            settings: self.settings,
            now_ms: self.now_ms,
        };
        match place(&want, rng) {
            Ok(ix) if ix == self.this => Decision::LoadHere,
            Ok(ix) => Decision::LoadAt(ix),
            Err(no_place) => Decision::Refuse(Why::NoPlace(no_place)),
        }
    }

    /// Why one load more would not help.
    fn hopeless(&self) -> Option<Why> {
        let failures = || {
            self.model
                .fresh_failures(self.settings.failure_expiry, self.now_ms)
        };
        if let (places, Some(last)) = (failures().count(), failures().max_by_key(|failure| failure.at_ms))
            && places >= self.settings.max_failures
        {
            let last = last.instance;
            return Some(Why::Failed { places, last });
        }
        // What the record says about this instance is old: it has no copy.
        let holders = self
            .model
            .copies
            .iter()
            .filter(|copy| copy.instance != self.this && self.fleet.get(copy.instance).is_some());
        let places = holders.clone().count();
        if places >= self.settings.max_fruitless {
            return Some(Why::Fruitless { places });
        }
        // A holder that could not serve may not have the copy any more, and corrects its record then.
        let standing = holders
            .filter(|copy| !self.excluded.contains(&copy.instance))
            .count();
        let max = usize::try_from(self.model.max).unwrap_or(usize::MAX);
        (max > 0 && standing >= max).then_some(Why::AtMaximum)
    }

    /// A router chose this instance for a copy.
    fn load_here(&self) -> Decision {
        if self.draining {
            return Decision::Refuse(Why::Draining);
        }
        let failed_here = self
            .model
            .fresh_failures(self.settings.failure_expiry, self.now_ms)
            .filter(|failure| failure.instance == self.this);
        if failed_here.count() > 0 {
            return Decision::Refuse(Why::Failed {
                places: 1,
                last: self.this,
            });
        }
        Decision::LoadHere
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
