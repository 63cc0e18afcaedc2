//! When an instance writes its record anew.
//!
//! Every write goes to every router, so the writes of all together are bounded: with many instances each waits longer.

use super::Instance;

/// Period of the look at what changed.
pub const CHECK_MS: u64 = 40_000;
/// Shortest time between two writes, in a small fleet.
const MIN_GAP_MS: u64 = 2_000;
/// Instances up to which that holds; with more the gap grows in proportion, so that at most 50 records a second are
/// written by all.
const SMALL_FLEET: u64 = 100;
/// After this time any change is worth a write.
const ANY_CHANGE_MS: u64 = 160_000;

/// What was written last.
#[derive(Clone, Debug)]
pub struct Published {
    /// The record.
    pub record: Instance,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// Whether a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Now.
    Now,
    /// It is worth it, but not before this time.
    At(u64),
    /// Not worth it.
    No,
}

/// Decides whether `current` is written, in a fleet of so many instances.
pub fn publish(last: Option<&Published>, current: &Instance, instances: usize, now_ms: u64) -> Verdict {
    let Some(last) = last else { return Verdict::Now };
    // A clock that was set back must not silence an instance.
    let age = now_ms.checked_sub(last.at_ms).unwrap_or(u64::MAX);
    if current.shutting_down != last.record.shutting_down {
        return Verdict::Now;
    }
    let worth = significant(&last.record, current, now_ms) || age >= ANY_CHANGE_MS && *current != last.record;
    let fleet = u64::try_from(instances).unwrap_or(u64::MAX);
    let gap = MIN_GAP_MS.saturating_mul(fleet.max(SMALL_FLEET)) / SMALL_FLEET;
    match worth {
        false => Verdict::No,
        true if age >= gap => Verdict::Now,
        true => Verdict::At(last.at_ms.saturating_add(gap)),
    }
}

fn significant(last: &Instance, current: &Instance, now_ms: u64) -> bool {
    let identity = |one: &Instance| {
        (
            one.start_ms,
            one.version,
            one.peer,
            one.loading_threads,
            one.zone.clone(),
            one.location.clone(),
            one.labels.clone(),
        )
    };
    identity(last) != identity(current)
        || moved(last.capacity, current.capacity, 50, 1)
        || moved(last.used, current.used, 5, last.capacity.max(1) / 20)
        || moved(u64::from(last.models), u64::from(current.models), 7, 10)
        || moved(u64::from(last.rpm), u64::from(current.rpm), 10, 100)
        || is_full(last) != is_full(current)
        || lru_moved(last.lru_ms, current.lru_ms, now_ms)
        || loading_moved(last, current)
}

/// Whether a number changed by one part in `parts`, and by `step`.
fn moved(last: u64, current: u64, parts: u64, step: u64) -> bool {
    let by = last.abs_diff(current);
    by >= step.max(1) && by >= last / parts
}

fn is_full(one: &Instance) -> bool {
    one.free() < one.capacity / 20
}

/// The age of what is evicted first counts in proportion.
fn lru_moved(last: u64, current: u64, now_ms: u64) -> bool {
    if (last == u64::MAX) != (current == u64::MAX) {
        return true;
    }
    let age = now_ms.saturating_sub(last.min(current));
    let by = last.abs_diff(current);
    by >= 20_000 && by >= age / 16
}

/// From idle to loading and back, across the number of loading threads, or by three.
fn loading_moved(last: &Instance, current: &Instance) -> bool {
    let side = |one: &Instance| (one.loading == 0, one.loading >= one.loading_threads);
    side(last) != side(current) || last.loading.abs_diff(current.loading) >= 3
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Instance,
            world::{GIB, HOUR, MIB, NOW, SECOND, full, instance},
        },
        Published, Verdict, publish,
    };

    fn check(last: &Instance, change: impl FnOnce(&mut Instance), ago: u64, instances: usize) -> Verdict {
        let mut current = last.clone();
        change(&mut current);
        let last = Published {
            record: last.clone(),
            at_ms: NOW - ago,
        };
        publish(Some(&last), &current, instances, NOW)
    }

    type Change = fn(&mut Instance);

    #[test]
    fn what_others_decide_by_is_written() {
        let one = Instance {
            used: GIB / 2,
            models: 100,
            rpm: 1_000,
            lru_ms: NOW - HOUR,
            ..instance("a")
        };
        let worth: [(&str, Change, Verdict); 14] = [
            ("nothing", |_| {}, Verdict::No),
            ("a little memory", |one| one.used += MIB, Verdict::No),
            ("much memory", |one| one.used += GIB / 5, Verdict::Now),
            ("full now", |one| one.used = GIB, Verdict::Now),
            ("capacity", |one| one.capacity += GIB / 10, Verdict::Now),
            ("a few models", |one| one.models += 5, Verdict::No),
            ("many models", |one| one.models += 20, Verdict::Now),
            ("some more requests", |one| one.rpm += 90, Verdict::No),
            ("many more requests", |one| one.rpm += 200, Verdict::Now),
            (
                "a younger oldest model",
                |one| one.lru_ms += 60 * SECOND,
                Verdict::No,
            ),
            (
                "a much younger oldest model",
                |one| one.lru_ms += 600 * SECOND,
                Verdict::Now,
            ),
            ("a load", |one| one.loading = 1, Verdict::Now),
            ("no model any more", |one| one.lru_ms = u64::MAX, Verdict::Now),
            ("an address", |one| one.peer = None, Verdict::Now),
        ];
        for (what, change, expected) in worth {
            assert_eq!(check(&one, change, 60 * SECOND, 3), expected, "{what}");
        }
        let slightly: Change = |one| one.used += 1;
        assert_eq!(check(&one, slightly, 159 * SECOND, 3), Verdict::No);
        assert_eq!(
            check(&one, slightly, 160 * SECOND, 3),
            Verdict::Now,
            "any change in the end"
        );
        assert_eq!(publish(None, &one, 3, NOW), Verdict::Now, "never written");
    }

    #[test]
    fn writes_keep_a_distance_that_grows_with_the_fleet() {
        let one = full("a", HOUR);
        let much = |one: &mut Instance| one.used = 0;
        assert_eq!(check(&one, much, SECOND, 100), Verdict::At(NOW + SECOND));
        assert_eq!(check(&one, much, 2 * SECOND, 100), Verdict::Now);
        assert_eq!(
            check(&one, much, 2 * SECOND, 1_000),
            Verdict::At(NOW + 18 * SECOND)
        );
        assert_eq!(
            check(&one, |one| one.shutting_down = true, 0, 1_000),
            Verdict::Now,
            "leaving is said at once"
        );
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_an_instance() {
        let one = full("a", HOUR);
        let last = Published {
            record: one.clone(),
            at_ms: NOW + HOUR,
        };
        assert_eq!(publish(Some(&last), &instance("a"), 3, NOW), Verdict::Now);
    }
}
