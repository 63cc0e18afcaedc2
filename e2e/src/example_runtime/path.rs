//! What a model's path says of it: words between semicolons.
//!
//! | word | meaning |
//! |---|---|
//! | `SIZE_<bytes>_<loadMs>_<unloadMs>` | size and times |
//! | `FAIL_<text>` | the first load fails, with INTERNAL and this text |
//! | `FAILALWAYS_<text>` | every load does |
//! | `HANG` | loads never end |
//! | `BUSY_<ms>` | so long takes each inference call |
//! | `SLOTS_<n>` | so many calls at once, where the runtime limits them |

use std::{hash::Hasher as _, time::Duration};

/// How a model behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) size: u64,
    pub(super) load: Duration,
    pub(super) unload: Duration,
    pub(super) busy: Duration,
    pub(super) slots: u32,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Loads,
    Hangs,
    Fails { text: String, always: bool },
}

const MIB: u64 = 1 << 20;

impl Plan {
    /// Without a word for it a model takes 64 to 128 MiB, and a moment to load and unload: always the same for an id.
    pub(super) fn of(path: &str, id: &str, fast: bool) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(id.as_bytes());
        let hash = hasher.finish();
        let moment = |most: u64| Duration::from_millis(if fast { 0 } else { 1 + hash % most });
        let mut plan = Self {
            size: 64 * MIB + hash % (64 * MIB),
            load: moment(30),
            unload: moment(15),
            busy: Duration::ZERO,
            slots: 0,
            outcome: Outcome::Loads,
        };
        for word in path.split(';') {
            plan.word(word);
        }
        plan
    }

    fn word(&mut self, word: &str) {
        let fails = |text: &str, always| Outcome::Fails {
            text: text.to_owned(),
            always,
        };
        if let Some(rest) = word.strip_prefix("SIZE_") {
            let mut numbers = rest.split('_').map(|number| number.parse().unwrap_or_default());
            self.size = numbers.next().unwrap_or_default();
            let mut time = || numbers.next().map(Duration::from_millis);
            self.load = time().unwrap_or_default();
            self.unload = time().unwrap_or_default();
        } else if let Some(text) = word.strip_prefix("FAIL_") {
            self.outcome = fails(text, false);
        } else if let Some(text) = word.strip_prefix("FAILALWAYS_") {
            self.outcome = fails(text, true);
        } else if word == "HANG" {
            self.outcome = Outcome::Hangs;
        } else if let Some(ms) = word.strip_prefix("BUSY_") {
            self.busy = Duration::from_millis(ms.parse().unwrap_or_default());
        } else if let Some(slots) = word.strip_prefix("SLOTS_") {
            self.slots = slots.parse().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let plan = Plan::of("SIZE_1000_20_30;FAIL_bad luck;BUSY_5;SLOTS_2", "m", false);
        let ms = Duration::from_millis;
        assert_eq!(
            (plan.size, plan.load, plan.unload, plan.busy, plan.slots),
            (1000, ms(20), ms(30), ms(5), 2)
        );
        assert_eq!(
            plan.outcome,
            Outcome::Fails {
                text: "bad luck".to_owned(),
                always: false
            }
        );
        assert_eq!(Plan::of("HANG", "m", false).outcome, Outcome::Hangs);
    }

    #[test]
    fn defaults_depend_on_the_id_alone() {
        let plan = Plan::of("", "m", false);
        assert_eq!(plan, Plan::of("some/path", "m", false));
        assert!((64 * MIB..128 * MIB).contains(&plan.size), "{plan:?}");
        assert_eq!(Plan::of("", "m", true).load, Duration::ZERO);
    }
}
