//! A walk over very many records in small steps, again and again.

use crate::model::ModelId;

/// Where a walk is. Records may come and go meanwhile: the walk remembers a name, not a place.
#[derive(Clone, Debug)]
pub struct Sweep {
    period_ms: u64,
    step: usize,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The next walk begins at this time.
    Resting { until_ms: u64 },
    /// Records after this one are next; empty = the first.
    Walking { after: ModelId, began_ms: u64 },
}

/// One step: look at the records after `after`, at most `limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Empty = from the first.
    pub after: ModelId,
    /// Records.
    pub limit: usize,
}

impl Sweep {
    /// Walks begin `period_ms` apart, the first at `first_ms`, and look at `step` records at once.
    pub fn new(period_ms: u64, step: usize, first_ms: u64) -> Self {
        Self {
            period_ms,
            step: step.max(1),
            state: State::Resting { until_ms: first_ms },
        }
    }

    /// What to look at now; nothing while resting.
    pub fn step(&mut self, now_ms: u64) -> Option<Step> {
        if let State::Resting { until_ms } = self.state {
            if now_ms < until_ms {
                return None;
            }
            self.state = State::Walking {
                after: ModelId::from(""),
                began_ms: now_ms,
            };
        }
        match &self.state {
            State::Walking { after, .. } => Some(Step {
                after: after.clone(),
                limit: self.step,
            }),
            State::Resting { .. } => None,
        }
    }

    /// The step was done; `last` is the last record that was looked at, none when there were no more. True: that was
    /// the end of this walk.
    pub fn done(&mut self, last: Option<&ModelId>) -> bool {
        let State::Walking { began_ms, .. } = self.state else {
            return false;
        };
        self.state = match last {
            Some(last) => State::Walking {
                after: last.clone(),
                began_ms,
            },
            None => State::Resting {
                until_ms: began_ms.saturating_add(self.period_ms),
            },
        };
        last.is_none()
    }

    /// The walk begins anew, as soon as `at_ms`.
    pub fn restart(&mut self, at_ms: u64) {
        self.state = State::Resting { until_ms: at_ms };
    }

    /// When the next step is due, at the earliest.
    pub fn due_ms(&self) -> u64 {
        match self.state {
            State::Resting { until_ms } => until_ms,
            State::Walking { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{ModelId, Sweep};

    proptest! {
        /// Whatever comes and goes on the way, what was there all the time is seen exactly once in a walk.
        #[test]
        fn a_walk_sees_what_stays(
            stays in prop::collection::btree_set(0_u32..1_000, 0..60),
            changes in prop::collection::vec((any::<bool>(), 0_u32..1_000), 0..100),
            step in 1_usize..10,
        ) {
            let id = |n: &u32| ModelId::from(format!("{n:04}").as_str());
            let mut there: BTreeSet<_> = stays.iter().map(id).collect();
            let kept = there.clone();
            let mut sweep = Sweep::new(1_000, step, 5);
            prop_assert_eq!(sweep.step(4), None);
            let mut seen = Vec::new();
            let mut changes = changes.iter();
            loop {
                let at = sweep.step(5).unwrap();
                prop_assert!(at.limit == step);
                let found: Vec<_> = there.iter().filter(|one| **one > at.after).take(step).cloned().collect();
                seen.extend(found.iter().cloned());
                if sweep.done(found.last()) {
                    break;
                }
                for (add, n) in changes.by_ref().take(3) {
                    let one = id(n);
                    if *add {
                        there.insert(one);
                    } else if !kept.contains(&one) {
                        there.remove(&one);
                    }
                }
            }
            let twice: BTreeSet<_> = seen.iter().collect();
            prop_assert_eq!(twice.len(), seen.len());
            prop_assert!(kept.iter().all(|one| twice.contains(one)));
            prop_assert_eq!(sweep.step(1_004), None);
            prop_assert!(sweep.step(1_005).is_some());
        }
    }
}
