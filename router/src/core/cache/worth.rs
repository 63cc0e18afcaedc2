//! What an entry is worth: how often it was used, where uses of long ago count less.
//!
//! A use counts 1, and half of that after a half-life. The worth of an entry is given as a time: of two entries that were
//! used once the later one is worth more, and twice as many uses are worth as much as one half-life later. So the order
//! of two entries stays as it is until one of them is used, and a sorted set can hold it. With a half-life of 0 this is
//! "least recently used", with an endless one "least frequently used".
//!
//! What was evicted is remembered for a while with its uses: a model that comes back again and again is told from one that
//! came once.

use std::collections::{BTreeSet, HashMap};

use crate::model::ModelId;

/// Half-life of a use, in the time in which as many entries leave as there are. Long against that time frequency is known
/// well, short against that time changes are followed; see `docs/simulation.md` for what was compared.
const TURNOVERS: u64 = 8;
/// More uses count as so many: enough to tell the popular from the rest, and an entry that was popular once does not stay
/// for more than four half-lives.
const MOST: f64 = 16.0;
/// Entries that are remembered after they left, for each one that is there.
const REMEMBERED: usize = 4;
/// Entries that are always remembered.
const REMEMBERED_LEAST: usize = 64;

/// Uses of one entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    /// What they count at `at`.
    count: f64,
    /// The last one, in milliseconds.
    at: u64,
}

impl Uses {
    /// No use yet; `at` is what an unused entry is worth.
    pub(super) fn none(at: u64) -> Self {
        Self { count: 0.0, at }
    }

    /// With `uses` more, the last of them at `at` and the others spread evenly since the last time. None of them: only
    /// the time moves.
    pub(super) fn and(self, uses: u64, at: u64, half_life: u64) -> Self {
        let at = at.max(self.at);
        let lives = (at - self.at) as f64 / half_life.max(1) as f64;
        let faded = self.count * (-lives).exp2();
        // The integral of the fading, which is 1 where there was no time to fade.
        let spread = lives * std::f64::consts::LN_2;
        let each = if spread < 1e-9 {
            1.0
        } else {
            -(-spread).exp_m1() / spread
        };
        let added = if uses == 0 {
            0.0
        } else {
            1.0 + (uses - 1) as f64 * each
        };
        Self {
            count: (faded + added).min(MOST),
            at,
        }
    }

    /// What it is worth. Never before the last use.
    pub(super) fn worth(self, half_life: u64) -> u64 {
        let more = half_life as f64 * self.count.max(1.0).log2();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a conversion saturates"
        )]
        self.at.saturating_add(more as u64)
    }

    /// The last use.
    pub(super) fn at(self) -> u64 {
        self.at
    }
}

/// How long it takes until as many entries have left as there are, and what follows for the half-life.
#[derive(Debug, Default)]
pub(super) struct Turnover {
    began: Option<u64>,
    left: usize,
    half_life: u64,
}

impl Turnover {
    /// An entry leaves, and so many stay. True: the half-life is another one now, so all that was derived from it is old.
    pub(super) fn leave(&mut self, staying: usize, now: u64) -> bool {
        let Some(began) = self.began else {
            self.began = Some(now);
            return false;
        };
        self.left += 1;
        if self.left <= staying {
            return false;
        }
        let took = now.saturating_sub(began).saturating_mul(TURNOVERS);
        // It shrinks at once and grows slowly: a half-life that is too long keeps what nobody wants any more, which makes
        // everything else leave the sooner.
        self.half_life = if self.half_life == 0 {
            took
        } else {
            took.min(self.half_life * 2)
        };
        (self.began, self.left) = (Some(now), 0);
        true
    }

    /// The half-life of a use; 0 until all have left once.
    pub(super) fn half_life(&self) -> u64 {
        self.half_life
    }
}

/// Uses of entries that have left.
#[derive(Debug, Default)]
pub(super) struct Past {
    known: HashMap<ModelId, (Uses, u64)>,
    /// The least worth first.
    order: BTreeSet<(u64, ModelId)>,
}

impl Past {
    /// Remembers an entry, at the cost of those that are worth least. So many entries are there.
    pub(super) fn remember(&mut self, id: &ModelId, uses: Uses, worth: u64, present: usize) {
        self.recall(id);
        self.known.insert(id.clone(), (uses, worth));
        self.order.insert((worth, id.clone()));
        let limit = present.saturating_mul(REMEMBERED).max(REMEMBERED_LEAST);
        while self.known.len() > limit
            && let Some((_, id)) = self.order.pop_first()
        {
            self.known.remove(&id);
        }
    }

    /// The uses of an entry that is there again.
    pub(super) fn recall(&mut self, id: &ModelId) -> Option<Uses> {
        let (uses, worth) = self.known.remove(id)?;
        self.order.remove(&(worth, id.clone()));
        Some(uses)
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelId, Past, REMEMBERED_LEAST, Turnover, Uses};

    #[test]
    fn a_use_fades_by_half_in_a_half_life_and_twice_as_many_are_worth_one_more() {
        let once = Uses::none(0).and(1, 1_000, 100);
        assert_eq!(once.worth(100), 1_000);
        let four = Uses::none(1_000).and(4, 1_000, 100);
        assert_eq!(four.worth(100), 1_200);
        assert_eq!(
            four.and(0, 1_100, 100).worth(100),
            1_200,
            "time alone changes nothing"
        );
        assert_eq!(
            four.and(0, 2_000, 100).worth(100),
            2_000,
            "but the last use counts at least"
        );
        assert_eq!(
            four.and(2, 1_100, 100).worth(100),
            1_100 + 189,
            "2 and 1 and 0.72 of a use"
        );
        assert_eq!(Uses::none(7).worth(100), 7);
        assert_eq!(
            Uses::none(7).and(1_000, 7, 100).worth(100),
            407,
            "no more than so many"
        );
    }

    #[test]
    fn the_half_life_follows_the_turnover() {
        let mut turnover = Turnover::default();
        let mut pass = |times: [u64; 3]| {
            let new = times.map(|now| turnover.leave(2, now));
            (new, turnover.half_life())
        };
        assert_eq!(pass([1_000, 1_010, 1_020]), ([false; 3], 0));
        assert_eq!(pass([1_030, 1_040, 1_050]), ([true, false, false], 8 * 30));
        assert_eq!(pass([1_150, 1_150, 1_150]).1, 8 * 60, "grows slowly");
        assert_eq!(pass([1_151, 1_151, 1_151]).1, 8, "shrinks at once");
    }

    #[test]
    fn what_left_is_remembered_within_a_bound() {
        let mut past = Past::default();
        let id = |n: u64| ModelId::from(n.to_string().as_str());
        for n in 0..200 {
            past.remember(&id(n), Uses::none(n), 1_000 - n, 1);
        }
        assert_eq!(
            (past.known.len(), past.order.len()),
            (REMEMBERED_LEAST, REMEMBERED_LEAST)
        );
        assert!(past.recall(&id(0)).is_some(), "the most valuable");
        assert!(past.recall(&id(0)).is_none() && past.recall(&id(199)).is_none());
    }
}
