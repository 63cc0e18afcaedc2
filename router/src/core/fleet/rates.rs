//! How much a copy is used: one small record for each loaded copy, of fixed size.
//!
//! The shell calls [`Usage::note`] every [`SLOT_MS`] with what was counted since the last call.

/// Length of a slot: the period at which copies are looked at.
pub const SLOT_MS: u64 = 10_000;
/// Slots that are kept: a minute.
const SLOTS: usize = 6;
/// The same as a count in a record.
const ALL_SLOTS: u8 = 6;
const MINUTE_MS: u64 = 60_000;

/// Use of one copy over the last minute, and in which of the last 64 minutes there was any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests, newest first.
    requests: [u32; SLOTS],
    /// Milliseconds that requests took in all, newest first.
    busy: [u32; SLOTS],
    /// Slots that were noted, up to [`SLOTS`].
    noted: u8,
    /// When the newest slot ended.
    noted_ms: u64,
    /// Bit n: used n minutes before `noted_ms`.
    minutes: u64,
    /// When the rate was last above what one copy can do.
    high_ms: u64,
}

impl Usage {
    /// What happened since the last call: `requests` that took `busy_ms` together, all of them added up. `high` is the
    /// rate for one minute from which on a copy counts as fully used.
    pub fn note(&mut self, requests: u32, busy_ms: u32, high: u32, now_ms: u64) {
        let minutes = (now_ms / MINUTE_MS).saturating_sub(self.noted_ms / MINUTE_MS);
        self.minutes = u32::try_from(minutes)
            .ok()
            .and_then(|by| self.minutes.checked_shl(by))
            .unwrap_or(0);
        self.minutes |= u64::from(requests > 0);
        self.requests.rotate_right(1);
        self.busy.rotate_right(1);
        if let (Some(count), Some(busy)) = (self.requests.first_mut(), self.busy.first_mut()) {
            (*count, *busy) = (requests, busy_ms);
        }
        self.noted = self.noted.saturating_add(1).min(ALL_SLOTS);
        self.noted_ms = now_ms;
        if u64::from(self.rpm()) >= u64::from(high) {
            self.high_ms = now_ms;
        }
    }

    /// Requests in a minute, from as many slots as there are.
    pub fn rpm(&self) -> u32 {
        per_minute(&self.requests, usize::from(self.noted))
    }

    /// Requests in a minute at the rate of the last two slots: one burst is not yet a rate.
    pub fn recent_rpm(&self) -> u32 {
        if self.noted < 2 {
            0
        } else {
            per_minute(&self.requests, 2)
        }
    }

    /// Requests that were inside at once on average over the last two slots, in thousandths.
    pub fn concurrency_millis(&self) -> u64 {
        let slots = usize::from(self.noted).min(2);
        let busy: u64 = self.busy.iter().take(slots).map(|ms| u64::from(*ms)).sum();
        busy * 1_000 / (SLOT_MS * slots.max(1) as u64)
    }

    /// Whether it was used in one of the minutes that ended `from..=to` minutes ago. 0 is the current one; the memory
    /// goes back 63 minutes.
    pub fn used_between(&self, from: u32, to: u32) -> bool {
        let below = |bits: u32| 1_u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1);
        self.minutes & below(to.saturating_add(1)) & !below(from) != 0
    }

    /// When the rate was last as high as one copy can take; 0 = never.
    pub fn high_ms(&self) -> u64 {
        self.high_ms
    }
}

fn per_minute(slots: &[u32], count: usize) -> u32 {
    let sum: u64 = slots.iter().take(count).map(|n| u64::from(*n)).sum();
    let slot_minutes = count.max(1) as u64 * SLOT_MS;
    u32::try_from(sum * MINUTE_MS / slot_minutes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{MINUTE_MS, SLOT_MS, Usage};

    fn noted(counts: &[u32]) -> Usage {
        let mut usage = Usage::default();
        for (at, count) in (1..).zip(counts) {
            usage.note(*count, *count * 100, 600, at * SLOT_MS);
        }
        usage
    }

    #[test]
    fn a_rate_is_known_from_the_first_slot_and_forgotten_after_a_minute() {
        assert_eq!(noted(&[10]).rpm(), 60);
        assert_eq!(noted(&[10, 20]).rpm(), 90);
        assert_eq!(noted(&[100, 0, 0, 0, 0, 0]).rpm(), 100);
        assert_eq!(noted(&[100, 0, 0, 0, 0, 0, 0]).rpm(), 0);
        assert_eq!(noted(&[100]).recent_rpm(), 0, "a burst");
        assert_eq!(noted(&[100, 100]).recent_rpm(), 600);
    }

    #[test]
    fn concurrency_is_time_inside_over_time() {
        assert_eq!(
            noted(&[0, 100, 100]).concurrency_millis(),
            1_000,
            "100 requests of 100 ms in 10 s"
        );
    }

    #[test]
    fn it_remembers_when_it_was_last_fully_used() {
        assert_eq!(noted(&[100, 0, 0]).high_ms(), SLOT_MS);
        assert_eq!(noted(&[10, 10, 10]).high_ms(), 0);
    }

    #[test]
    fn minutes_of_use_are_remembered_for_an_hour() {
        let mut usage = Usage::default();
        usage.note(1, 1, 600, 100 * MINUTE_MS);
        assert!(usage.used_between(0, 0));
        for minute in 101..=110 {
            usage.note(0, 0, 600, minute * MINUTE_MS);
        }
        assert!(usage.used_between(10, 10) && usage.used_between(7, 40) && !usage.used_between(0, 9));
        assert!(!usage.used_between(11, 63));
        usage.note(0, 0, 600, 163 * MINUTE_MS);
        assert!(usage.used_between(63, 63));
        usage.note(0, 0, 600, 164 * MINUTE_MS);
        assert!(!usage.used_between(0, 63));
        usage.note(0, 0, 600, 10_000 * MINUTE_MS);
        assert!(!usage.used_between(0, 63));
    }
}
