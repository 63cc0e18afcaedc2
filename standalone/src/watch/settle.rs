//! When a change of the folder is a change of the models. Pure: time is passed in.
//!
//! A file that is being written looks different at every look. It counts once it looked the same for a while. A file
//! that was moved into place was whole before, and counts at once when nothing else belongs to the model.

use std::collections::BTreeMap;

use crate::models::{
    Models,
    plan::{self, Operation},
};

/// What has been carried out, and what is waiting to be the same twice.
#[derive(Debug)]
pub struct Settle {
    quiet_ms: u64,
    applied: Models,
    pending: BTreeMap<String, Pending>,
}

#[derive(Debug)]
struct Pending {
    /// Id of the model that was seen; `None` = the name is gone.
    seen: Option<String>,
    since_ms: u64,
}

/// What to do now, and when to look again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To be carried out in this order, each confirmed with [`Settle::applied`].
    pub operations: Vec<Operation>,
    /// Look at the folder again then, even when nothing is heard from it.
    pub wake_ms: Option<u64>,
}

impl Settle {
    /// Nothing is applied yet; changes count once they are `quiet_ms` old.
    pub fn new(quiet_ms: u64) -> Self {
        Self {
            quiet_ms,
            applied: Models::new(),
            pending: BTreeMap::new(),
        }
    }

    /// All of these have been carried out, and nothing else.
    pub fn start_with(&mut self, models: Models) {
        self.applied = models;
        self.pending.clear();
    }

    /// What has been carried out.
    pub fn models(&self) -> &Models {
        &self.applied
    }

    /// The folder holds `seen` now. `renamed` says whether a file or a folder above it was moved into place since the
    /// last call.
    pub fn observe(&mut self, now_ms: u64, seen: &Models, renamed: impl Fn(&str) -> bool) -> Step {
        let mut step = Step::default();
        let mut waiting = BTreeMap::new();
        for operation in plan::diff(&self.applied, seen) {
            let (target, at_once) = match &operation {
                Operation::Set { model, .. } => {
                    (Some(model.id.clone()), model.files == 1 && renamed(&model.path))
                }
                Operation::Delete { .. } => (None, false),
            };
            let name = operation.name().to_owned();
            let since_ms = match self.pending.remove(&name) {
                Some(pending) if pending.seen == target => pending.since_ms,
                _ => now_ms,
            };
            let ready_ms = since_ms.saturating_add(self.quiet_ms);
            if at_once || now_ms >= ready_ms {
                step.operations.push(operation);
            } else {
                step.wake_ms = Some(step.wake_ms.map_or(ready_ms, |wake| wake.min(ready_ms)));
            }
            // What is ready stays here as well: it may fail, and is then tried again without another wait.
            let since_ms = if at_once {
                now_ms.saturating_sub(self.quiet_ms)
            } else {
                since_ms
            };
            waiting.insert(
                name,
                Pending {
                    seen: target,
                    since_ms,
                },
            );
        }
        self.pending = waiting;
        step
    }

    /// This was carried out.
    pub fn applied(&mut self, operation: Operation) {
        self.pending.remove(operation.name());
        operation.apply(&mut self.applied);
    }
}

#[cfg(test)]
mod tests;
