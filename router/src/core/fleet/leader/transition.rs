//! The next step of a vmodel that moves to another model.

use super::super::{Fleet, Model};

/// The two models of a vmodel in transition.
#[derive(Debug)]
pub struct Pointer<'a> {
    /// The model that serves.
    pub active: Side<'a>,
    /// The model that will.
    pub target: Side<'a>,
    /// The target could not be loaded, as the record says.
    pub failed: bool,
}

/// One of the models.
#[derive(Debug)]
pub struct Side<'a> {
    /// Its record.
    pub model: &'a Model<'a>,
    /// Time after which a load of its type is over.
    pub assumed_load_ms: u64,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The target needs so many more copies; it counts as used when the active was.
    Load {
        /// At least 1.
        copies: u32,
    },
    /// Copies of the target are loading.
    Wait,
    /// The target serves from now on.
    Switch,
    /// It is recorded that the target could not be loaded; the active keeps serving.
    Fail,
}

/// Decides about one vmodel. The target takes over when it has as many copies as the active: fewer would be overrun.
pub fn transition(
    pointer: &Pointer<'_>,
    fleet: &Fleet,
    max_failures: usize,
    failure_expiry_ms: u64,
    now_ms: u64,
) -> Transition {
    let live = |side: &Side<'_>| {
        side.model
            .copies
            .iter()
            .filter(|copy| fleet.get(copy.instance).is_some())
            .count()
    };
    let target = pointer.target.model;
    let possible = fleet.candidates(target.kind).count();
    let most = usize::try_from(target.max).unwrap_or(usize::MAX);
    let most = if most == 0 { possible } else { most.min(possible) };
    let active = live(&pointer.active);
    // An active without copies has nobody to take over from, but a target that nobody loaded serves nobody.
    let wanted = active.min(most);
    let loaded = target
        .copies
        .iter()
        .filter(|copy| fleet.get(copy.instance).is_some())
        .filter(|copy| copy.since_ms.saturating_add(pointer.target.assumed_load_ms) <= now_ms)
        .count();
    let there = live(&pointer.target);
    let failures = target.fresh_failures(failure_expiry_ms, now_ms).count();
    if active == 0 || loaded >= wanted && loaded > 0 {
        return Transition::Switch;
    }
    if failures >= max_failures || failures > 0 && failures + there >= possible {
        // With some copies it serves, if not as many; without any the active has to go on.
        return match (loaded, pointer.failed) {
            (1.., _) => Transition::Switch,
            (0, false) if there == 0 => Transition::Fail,
            (0, _) => Transition::Wait,
        };
    }
    match u32::try_from(wanted.max(1).saturating_sub(there)) {
        Ok(0) | Err(_) => Transition::Wait,
        Ok(copies) => Transition::Load { copies },
    }
}
