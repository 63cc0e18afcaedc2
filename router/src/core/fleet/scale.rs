//! How many copies a model has: each holder decides about its own copy, every [`super::rates::SLOT_MS`].
//!
//! Holders see the same record and about the same rate, so several may want to add or drop at once. What they decide is
//! done by compare-and-set on the record, and decided anew when that has changed; so copies never drop below the minimum,
//! and a second load that begins stops all others from beginning one.

use super::{Fleet, Ix, Model, rates::Usage};

/// A copy that was loaded within this time says nothing about too many copies yet.
const SETTLE_DOWN_MS: u64 = 30 * 60_000;
/// Copies go one at a time: the rates of the others have to show what that meant.
const BETWEEN_DROPS_MS: u64 = 80_000;
/// The time that a rate has to be low before a copy goes, and without need of its memory this many times as long.
const LOW_MS: u64 = 10 * 60_000;
const UNHURRIED: u64 = 30;
/// A second copy is not worth evicting what was used within this time.
const SECOND_COPY_LRU_MS: u64 = 6 * 3_600_000;
/// The longest a second copy stays unused, and the part of the age of what the fleet evicts after which it goes earlier.
const SECOND_COPY_IDLE_MS: u64 = 10 * 3_600_000;
const SECOND_COPY_IDLE_PART: u64 = 10;

/// What can be configured about the number of copies. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct ScaleSettings {
    /// Requests in a minute that are enough for one copy (`MM_SCALEUP_RPM_THRESHOLD`).
    pub rpm_threshold: u32,
    /// With a limit on concurrency: percentage of it that is enough for one copy
    /// (`MM_CONC_SCALEUP_BANDWIDTH_PCT`).
    pub busy_percent: u32,
    /// A model has a second copy when it is used now and was used this long ago, in minutes: from and to.
    pub second_copy_minutes: (u32, u32),
    /// The only copy of a model is unloaded when it was not used for so long; 0 = never.
    pub idle_unload_ms: u64,
    /// Percentage of the fleet's memory from which memory is short.
    pub full_percent: u64,
}

impl Default for ScaleSettings {
    /// Upstream's defaults.
    fn default() -> Self {
        Self {
            rpm_threshold: 2_000,
            busy_percent: 90,
            second_copy_minutes: (7, 40),
            idle_unload_ms: 0,
            full_percent: 95,
        }
    }
}

/// A copy that is loaded here.
#[derive(Debug)]
pub struct Local<'a> {
    /// Its model.
    pub model: &'a Model<'a>,
    /// How it is used.
    pub usage: &'a Usage,
    /// Requests that it serves at once at most; 0 = any number.
    pub max_concurrency: u32,
    /// When it was last used, in milliseconds since the epoch; now while it serves.
    pub last_used_ms: u64,
    /// When a copy of the model was last dropped; 0 = unknown.
    pub last_drop_ms: u64,
    /// Time that a load of it takes.
    pub assumed_load_ms: u64,
}

/// What is the same for all copies here.
#[derive(Debug)]
pub struct Around<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// This instance.
    pub this: Ix,
    /// Configuration.
    pub settings: &'a ScaleSettings,
    /// Now.
    pub now_ms: u64,
}

/// Why copies are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There are fewer than the minimum, or one is missing where it is pinned.
    Wanted,
    /// It is used steadily or again and again.
    Pattern,
    /// There are more requests than the copies are meant for.
    Rate,
    /// The copies are always busy.
    Busy,
}

/// Why a copy is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fewer {
    /// There are more than the maximum.
    AboveMaximum,
    /// The others do with what there is.
    Surplus,
    /// Nobody uses it.
    Idle,
}

/// A change in the number of copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// So many more, each placed by [`super::place()`] as a further one.
    Add {
        /// At least 1.
        copies: u32,
        /// Why.
        why: More,
    },
    /// The copy here goes, once another holder has said that its own is loaded. `keep` copies must be registered elsewhere.
    Drop {
        /// Copies that stay.
        keep: u32,
        /// Why.
        why: Fewer,
    },
}

/// Decides about one copy.
pub fn scale(copy: &Local<'_>, around: &Around<'_>) -> Option<Scaling> {
    let view = View::new(copy, around);
    view.down().or_else(|| view.up())
}

struct View<'a> {
    copy: &'a Local<'a>,
    around: &'a Around<'a>,
    /// Copies on live instances, this one included.
    copies: u32,
    /// Instances that could hold a copy, those that do included.
    suitable: u32,
    /// Instances with a copy that are leaving.
    leaving: u32,
    max: u32,
}

impl<'a> View<'a> {
    fn new(copy: &'a Local<'a>, around: &'a Around<'a>) -> Self {
        let fleet = around.fleet;
        let others = copy
            .model
            .copies
            .iter()
            .filter(|other| other.instance != around.this);
        let live: Vec<_> = others.filter_map(|other| fleet.get(other.instance)).collect();
        let suitable = count(fleet.candidates(copy.model.kind).count());
        Self {
            copies: count(live.len()) + 1,
            leaving: count(live.iter().filter(|one| one.shutting_down).count()),
            suitable,
            max: if copy.model.max == 0 {
                suitable
            } else {
                copy.model.max.min(suitable)
            },
            copy,
            around,
        }
    }

    fn min(&self) -> u32 {
        self.copy.model.min.max(1)
    }

    fn age(&self, ms: u64) -> u64 {
        self.around.now_ms.saturating_sub(ms)
    }

    fn up(&self) -> Option<Scaling> {
        let staying = self.copies - self.leaving;
        if self.load_under_way() {
            return None;
        }
        let wanted = self
            .min()
            .min(self.max)
            .saturating_sub(staying)
            .max(u32::from(self.pin_missing()));
        let add = |copies: u32, why| (copies > 0).then_some(Scaling::Add { copies, why });
        add(wanted, More::Wanted)
            .or_else(|| add(self.by_rate().min(self.room(staying)), More::Rate))
            .or_else(|| add(self.by_concurrency().min(self.room(staying)), More::Busy))
            .or_else(|| add(u32::from(self.second()).min(self.room(staying)), More::Pattern))
    }

    /// Copies that may be added; many at once only as far as a third of the fleet.
    fn room(&self, staying: u32) -> u32 {
        let some = (self.suitable / 3).max(2).max(staying + 1);
        self.max.min(some).saturating_sub(staying)
    }

    /// A copy that began to load lately elsewhere has to be waited for.
    fn load_under_way(&self) -> bool {
        let wait = 10_000 + self.copy.assumed_load_ms.saturating_mul(2);
        let others = self.copy.model.copies.iter();
        others
            .filter(|other| {
                other.instance != self.around.this && self.around.fleet.get(other.instance).is_some()
            })
            .any(|other| self.age(other.since_ms) < wait)
    }

    /// Whether an instance or label that the model is pinned to has no copy, but could have one.
    fn pin_missing(&self) -> bool {
        let model = self.copy.model;
        let fleet = self.around.fleet;
        model.pinned.iter().any(|pin| {
            let mut possible = false;
            for ix in fleet.candidates(model.kind) {
                if fleet.get(ix).is_some_and(|one| pin.matches(one)) {
                    if ix == self.around.this || model.is_on(ix) {
                        return false;
                    }
                    possible = true;
                }
            }
            possible
        })
    }

    /// Copies that are missing for the rate. Requests are spread over the copies, so all of them have about this rate.
    fn by_rate(&self) -> u32 {
        let threshold = self.around.settings.rpm_threshold.max(1);
        let rpm = self.copy.usage.recent_rpm();
        if rpm < threshold {
            return 0;
        }
        missing(self.copies, u64::from(rpm), u64::from(threshold))
    }

    /// Copies that are missing because those that are there are always busy.
    fn by_concurrency(&self) -> u32 {
        let limit = u64::from(self.copy.max_concurrency) * u64::from(self.around.settings.busy_percent) * 10;
        let busy = self.copy.usage.concurrency_millis();
        if limit == 0 || busy < limit {
            return 0;
        }
        missing(self.copies, busy, limit)
    }

    /// Whether a model with one copy has earned a second one.
    fn second(&self) -> bool {
        let (from, to) = self.around.settings.second_copy_minutes;
        let usage = self.copy.usage;
        if self.copies != 1 || !usage.used_between(0, 0) || !usage.used_between(from, to) {
            return false;
        }
        let kind = self.copy.model.kind;
        let fullness = self.around.fleet.used_percent(kind);
        fullness <= 90 || self.age(self.around.fleet.oldest_ms(kind)) >= SECOND_COPY_LRU_MS
    }

    fn down(&self) -> Option<Scaling> {
        let others = self.copies - 1;
        let staying = others - self.leaving;
        let max = if self.copy.model.max == 0 {
            u32::MAX
        } else {
            self.copy.model.max
        };
        // Another copy is loaded, not only registered.
        let loaded = self.copy.model.copies.iter().filter(|other| {
            other.instance != self.around.this
                && self
                    .around
                    .fleet
                    .get(other.instance)
                    .is_some_and(|one| !one.shutting_down)
                && self.age(other.since_ms) >= self.copy.assumed_load_ms
        });
        if self.copies > max && loaded.clone().count() > 0 && !self.this_pinned_most() {
            let why = Fewer::AboveMaximum;
            return Some(Scaling::Drop { keep: max, why });
        }
        if self.pinned_here() {
            return None;
        }
        if others == 0 {
            let idle = self.around.settings.idle_unload_ms;
            let why = Fewer::Idle;
            let unload = idle > 0 && self.copy.model.min == 0 && self.age(self.copy.last_used_ms) >= idle;
            return unload.then_some(Scaling::Drop { keep: 0, why });
        }
        if staying < self.min() || loaded.count() == 0 || self.age(self.copy.last_drop_ms) < BETWEEN_DROPS_MS
        {
            return None;
        }
        let why = Fewer::Surplus;
        let surplus = if self.copies == 2 {
            self.second_unused()
        } else {
            self.low_rate()
        };
        surplus.then_some(Scaling::Drop { keep: staying, why })
    }

    fn pinned_here(&self) -> bool {
        let this = self.around.fleet.get(self.around.this);
        this.is_some_and(|this| self.copy.model.pinned.iter().any(|pin| pin.matches(this)))
    }

    /// Above the maximum those that are pinned stay, as long as others can go.
    fn this_pinned_most(&self) -> bool {
        let pinned = |ix| {
            let one = self.around.fleet.get(ix);
            one.is_some_and(|one| self.copy.model.pinned.iter().any(|pin| pin.matches(one)))
        };
        pinned(self.around.this)
            && self.copy.model.copies.iter().any(|other| {
                other.instance != self.around.this
                    && self.around.fleet.get(other.instance).is_some()
                    && !pinned(other.instance)
            })
    }

    /// A second copy goes when its memory is needed and it was not used for long. Of two that are equally idle the one
    /// with the larger number waits a little, so that not both try at once.
    fn second_unused(&self) -> bool {
        let kind = self.copy.model.kind;
        let cache_age = self.age(self.around.fleet.oldest_ms(kind));
        let limit = (cache_age / SECOND_COPY_IDLE_PART).min(SECOND_COPY_IDLE_MS);
        let later = self
            .copy
            .model
            .copies
            .iter()
            .any(|other| other.instance > self.around.this);
        let limit = if later { limit } else { limit + limit / 4 };
        self.is_full() && self.age(self.copy.last_used_ms) > limit
    }

    /// One copy of more than two goes when the others would not come near what is enough for one.
    fn low_rate(&self) -> bool {
        let usage = self.copy.usage;
        let settings = self.around.settings;
        let patience = if self.is_full() {
            LOW_MS
        } else {
            LOW_MS * UNHURRIED
        };
        let settled = self
            .copy
            .model
            .copies
            .iter()
            .all(|other| self.age(other.since_ms) >= SETTLE_DOWN_MS);
        let after = u64::from(usage.rpm()) * u64::from(self.copies) / u64::from(self.copies - 1);
        let enough = u64::from(settings.rpm_threshold) * 3 / 4;
        let busy = usage.concurrency_millis() * u64::from(self.copies) / u64::from(self.copies - 1);
        let limit = u64::from(self.copy.max_concurrency) * u64::from(settings.busy_percent) * 10;
        let calm = limit == 0 || busy <= limit * 3 / 4;
        settled && calm && after <= enough && self.age(usage.high_ms()) >= patience
    }

    fn is_full(&self) -> bool {
        self.around.fleet.used_percent(self.copy.model.kind) >= self.around.settings.full_percent
    }
}

/// Copies beyond `copies` so that what each has now comes down to what is enough for one; at least one.
fn missing(copies: u32, each: u64, enough: u64) -> u32 {
    let wanted = (u64::from(copies) * each).div_ceil(enough.max(1));
    u32::try_from(wanted)
        .unwrap_or(u32::MAX)
        .saturating_sub(copies)
        .max(1)
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
