//! What each router keeps right by itself: what the registry says about it.
//!
//! [`tidy`] looks at one model, so that the walk over all of them can go in small steps ([`super::Sweep`]); what it says
//! is one edit of one record, made by compare-and-set.

use super::{Ix, Model, route::Own};

/// Period of the walk.
pub const PERIOD_MS: u64 = 360_000;
/// Records that are looked at in one step.
pub const STEP: usize = 1_024;
/// A last use in the record that is so much older than the truth is written anew.
const LAST_USED_STALE_MS: u64 = 6 * 3_600_000;
/// A registered load that nobody here knows of is left alone for this long: the record is written before the load begins.
const GRACE_MS: u64 = 10_000;

/// What this router knows about its copy of a model.
#[derive(Clone, Copy, Debug)]
pub struct Here {
    /// The copy.
    pub own: Own,
    /// When its load began; 0 without one.
    pub since_ms: u64,
    /// Its last use; 0 = none.
    pub last_used_ms: u64,
}

/// An edit of a model's record. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// This instance has a copy that the record does not name: its load began then.
    pub list: Option<u64>,
    /// The record names a copy that this instance does not have.
    pub unlist: bool,
    /// The failure of this instance is expired.
    pub clear_failure: bool,
    /// A newer last use.
    pub last_used_ms: Option<u64>,
}

impl Edit {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What has to be put right about one registered model.
pub fn tidy(model: &Model<'_>, this: Ix, here: Here, failure_expiry_ms: u64, now_ms: u64) -> Edit {
    let listed = model.copies.iter().find(|copy| copy.instance == this);
    let has = here.own != Own::Absent;
    // A clock that was ahead must not keep a record wrong for ever, so what lies in the future is old too.
    let fresh = |at: u64| at <= now_ms.saturating_add(GRACE_MS) && at.saturating_add(GRACE_MS) > now_ms;
    let expired = model.failures.iter().any(|failure| {
        failure.instance == this
            && (now_ms >= failure.at_ms.saturating_add(failure_expiry_ms)
                || failure.at_ms > now_ms.saturating_add(failure_expiry_ms))
    });
    let used = here.last_used_ms.min(now_ms);
    Edit {
        list: (has && listed.is_none()).then_some(here.since_ms),
        unlist: !has && listed.is_some_and(|copy| !fresh(copy.since_ms)),
        clear_failure: expired,
        last_used_ms: (used > model.last_used_ms.saturating_add(LAST_USED_STALE_MS)).then_some(used),
    }
}

/// How soon a failure stops to count: twice as soon while requests for the model come.
pub fn failure_expiry(expiry_ms: u64, last_used_ms: u64, now_ms: u64) -> u64 {
    const LATELY_MS: u64 = 180_000;
    if now_ms.saturating_sub(last_used_ms) < LATELY_MS {
        expiry_ms / 2
    } else {
        expiry_ms
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Copy, Failure, Model, Own,
            world::{HOUR, MINUTE, NOW, SECOND, copies},
        },
        Edit, Here, failure_expiry, tidy,
    };

    const EXPIRY: u64 = 15 * MINUTE;

    fn check(copies: &[Copy], failures: &[Failure], own: Own, used_ago: u64) -> Edit {
        let model = Model {
            kind: "onnx",
            copies,
            failures,
            last_used_ms: NOW - 10 * HOUR,
            min: 0,
            max: 0,
            pinned: &[],
            size: None,
        };
        let here = Here {
            own,
            since_ms: NOW - HOUR,
            last_used_ms: NOW - used_ago,
        };
        tidy(&model, 3, here, EXPIRY, NOW)
    }

    #[test]
    fn the_record_names_this_instance_when_it_has_a_copy() {
        let listed = copies(&[(3, NOW - HOUR)]);
        let other = copies(&[(1, NOW - HOUR)]);
        let nothing = Edit::default();
        let list = Edit {
            list: Some(NOW - HOUR),
            ..nothing
        };
        let unlist = Edit {
            unlist: true,
            ..nothing
        };
        let loading = Own::Loading { since_ms: NOW };
        for (record, own, expected) in [
            (&listed, Own::Loaded, nothing),
            (&listed, loading, nothing),
            (&other, Own::Absent, nothing),
            (&other, Own::Loaded, list),
            (&other, loading, list),
            (&listed, Own::Absent, unlist),
            (&copies(&[(3, NOW - SECOND)]), Own::Absent, nothing),
            (&copies(&[(3, NOW + HOUR)]), Own::Absent, unlist),
        ] {
            let edit = check(record, &[], own, 9 * HOUR);
            assert_eq!(edit, expected, "{record:?} {own:?}");
            assert_eq!(edit.is_empty(), expected == nothing);
        }
    }

    #[test]
    fn own_failures_expire() {
        for (instance, at_ms, clear_failure) in [
            (3, NOW - EXPIRY, true),
            (3, NOW - EXPIRY + 1, false),
            (3, NOW + EXPIRY + 1, true),
            (2, NOW - EXPIRY, false),
        ] {
            let edit = check(&[], &[Failure { instance, at_ms }], Own::Absent, 9 * HOUR);
            assert_eq!(edit.clear_failure, clear_failure, "{instance} {at_ms}");
        }
        assert_eq!(failure_expiry(EXPIRY, NOW - MINUTE, NOW), EXPIRY / 2);
        assert_eq!(failure_expiry(EXPIRY, NOW - HOUR, NOW), EXPIRY);
    }

    #[test]
    fn the_last_use_is_written_when_it_is_much_newer() {
        assert_eq!(check(&[], &[], Own::Absent, 5 * HOUR).last_used_ms, None);
        assert_eq!(
            check(&[], &[], Own::Absent, 3 * HOUR).last_used_ms,
            Some(NOW - 3 * HOUR)
        );
    }
}
