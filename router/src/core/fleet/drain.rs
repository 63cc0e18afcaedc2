//! How a leaving instance hands its models over.
//!
//! Copies keep serving all the time. The most recently used go first; one is let go (taken out of the registry, so that no
//! request comes for it any more) once another instance has it loaded, or when the deadline comes. What nobody has used
//! for long is let go without a successor.

use std::collections::{BTreeMap, VecDeque};

use crate::model::ModelId;

/// Models that are handed over at once: enough to keep several peers loading, few enough not to flood them.
const WINDOW: usize = 16;
/// Tries for one model.
const MAX_TRIES: u32 = 3;

/// A copy that is handed over.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// Its model.
    pub model: ModelId,
    /// Its last use, in milliseconds since the epoch.
    pub last_used_ms: u64,
}

/// What to do for a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Make another instance load the model unless one has it, and say [`Drain::moved`] or [`Drain::failed`].
    Move(ModelId),
    /// Take this instance out of the model's record: another one serves it, or nobody needs it.
    Release(ModelId),
}

/// A drain under way.
#[derive(Debug)]
pub struct Drain {
    deadline_ms: u64,
    /// Tries are counted; most recently used first.
    waiting: VecDeque<(ModelId, u32)>,
    moving: BTreeMap<ModelId, u32>,
    ready: VecDeque<ModelId>,
    /// Let go only at the end.
    idle: Vec<ModelId>,
}

impl Drain {
    /// A drain of these copies, which must be over at `deadline_ms`. Successors are made for those that were used within
    /// `recent_ms`.
    pub fn new(mut copies: Vec<Leaving>, recent_ms: u64, deadline_ms: u64, now_ms: u64) -> Self {
        copies.sort_by(|a, b| {
            b.last_used_ms
                .cmp(&a.last_used_ms)
                .then_with(|| a.model.cmp(&b.model))
        });
        let recent = |copy: &Leaving| copy.last_used_ms.saturating_add(recent_ms) >= now_ms;
        let (used, idle): (Vec<_>, Vec<_>) = copies.into_iter().partition(recent);
        Self {
            deadline_ms,
            waiting: used.into_iter().map(|copy| (copy.model, 0)).collect(),
            moving: BTreeMap::new(),
            ready: VecDeque::new(),
            idle: idle.into_iter().map(|copy| copy.model).collect(),
        }
    }

    /// The next thing to do; none: wait for an answer or the deadline, or it is over.
    pub fn next(&mut self, now_ms: u64) -> Option<Handover> {
        if let Some(model) = self.ready.pop_front() {
            return Some(Handover::Release(model));
        }
        if now_ms < self.deadline_ms {
            if self.moving.len() < WINDOW
                && let Some((model, tries)) = self.waiting.pop_front()
            {
                self.moving.insert(model.clone(), tries + 1);
                return Some(Handover::Move(model));
            }
            if !self.moving.is_empty() {
                return None;
            }
        }
        let late = self.moving.pop_first().or_else(|| self.waiting.pop_front());
        late.map(|(model, _)| model)
            .or_else(|| self.idle.pop())
            .map(Handover::Release)
    }

    /// Another instance has the model loaded.
    pub fn moved(&mut self, model: &ModelId) {
        if self.moving.remove(model).is_some() {
            self.ready.push_back(model.clone());
        }
    }

    /// No other instance could load the model; it is tried again after the others, a bounded number of times.
    pub fn failed(&mut self, model: &ModelId) {
        if let Some(tries) = self.moving.remove(model) {
            if tries < MAX_TRIES {
                self.waiting.push_back((model.clone(), tries));
            } else {
                // It serves here as long as there is time.
                self.idle.push(model.clone());
            }
        }
    }

    /// Whether everything was let go.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.moving.is_empty() && self.ready.is_empty() && self.idle.is_empty()
    }

    /// When it ends at the latest.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Drain, Handover, Leaving, ModelId, WINDOW};

    fn leaving(model: usize, last_used_ms: u64) -> Leaving {
        Leaving {
            model: id(model),
            last_used_ms,
        }
    }

    fn id(model: usize) -> ModelId {
        ModelId::from(format!("{model:03}").as_str())
    }

    #[test]
    fn the_most_recently_used_go_first_and_serve_until_another_has_them() {
        let copies = vec![leaving(1, 900), leaving(2, 990), leaving(3, 100)];
        let mut drain = Drain::new(copies, 500, 2_000, 1_000);
        assert_eq!(drain.next(1_000), Some(Handover::Move(id(2))));
        assert_eq!(drain.next(1_000), Some(Handover::Move(id(1))));
        assert_eq!(drain.next(1_000), None, "both serve on");
        drain.moved(&id(1));
        assert_eq!(drain.next(1_001), Some(Handover::Release(id(1))));
        drain.failed(&id(2));
        assert_eq!(drain.next(1_002), Some(Handover::Move(id(2))));
        drain.moved(&id(2));
        assert_eq!(drain.next(1_003), Some(Handover::Release(id(2))));
        assert_eq!(
            drain.next(1_003),
            Some(Handover::Release(id(3))),
            "unused for long, without a successor"
        );
        assert!(drain.is_over() && drain.next(1_003).is_none());
    }

    #[test]
    fn what_nobody_can_take_serves_until_the_deadline() {
        let mut drain = Drain::new(vec![leaving(1, 1_000)], 500, 2_000, 1_000);
        for _ in 0..3 {
            assert_eq!(drain.next(1_000), Some(Handover::Move(id(1))));
            drain.failed(&id(1));
        }
        assert_eq!(
            drain.next(1_000),
            Some(Handover::Release(id(1))),
            "nothing else to wait for"
        );
        let mut drain = Drain::new((0..2).map(|n| leaving(n, 1_000)).collect(), 500, 2_000, 1_000);
        assert!(matches!(drain.next(1_000), Some(Handover::Move(_))));
        assert!(matches!(drain.next(1_000), Some(Handover::Move(_))));
        assert_eq!(drain.next(1_999), None);
        assert!(matches!(drain.next(2_000), Some(Handover::Release(_))));
        assert!(matches!(drain.next(2_000), Some(Handover::Release(_))));
        assert!(drain.is_over());
    }

    proptest! {
        #[test]
        fn every_copy_is_released_once_and_few_move_at_once(
            uses in prop::collection::vec(0_u64..2_000, 0..100),
            answers in prop::collection::vec(0_u8..3, 0..400),
        ) {
            let copies = uses.iter().enumerate().map(|(n, used)| leaving(n, *used)).collect();
            let mut drain = Drain::new(copies, 1_000, 5_000, 2_000);
            let mut moving = BTreeSet::new();
            let mut released = BTreeSet::new();
            let mut answers = answers.into_iter();
            loop {
                let now = if answers.len() == 0 { 5_000 } else { 3_000 };
                match drain.next(now) {
                    Some(Handover::Move(model)) => {
                        prop_assert!(moving.insert(model));
                        prop_assert!(moving.len() <= WINDOW);
                    }
                    Some(Handover::Release(model)) => {
                        moving.remove(&model);
                        prop_assert!(released.insert(model));
                    }
                    None if drain.is_over() => break,
                    None => {
                        let model = moving.pop_first().unwrap();
                        match answers.next() {
                            Some(0) => drain.failed(&model),
                            Some(1) => drain.moved(&model),
                            _ => { moving.insert(model); }
                        }
                    }
                }
            }
            prop_assert_eq!(released.len(), uses.len());
        }
    }
}
