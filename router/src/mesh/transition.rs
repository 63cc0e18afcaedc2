//! Transitions of vmodels: load the target, then let it take over. One task for each vmodel in transition.
//!
//! They are as many as there are active models with a copy, and those are bounded by the memory of the runtime.

use std::{
    collections::hash_map::Entry,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::core::registry::{VModelId, VModelRecord};

use super::{Found, Mesh, State, ensure::Wanted, key::Key, now_ms};

/// Wait before the next try when nobody says how long: the loading queue was full, for example.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
/// Shortest wait before the next try.
const MIN_RETRY: Duration = Duration::from_millis(500);

/// The task behind a transition; dropping it ends the task.
#[derive(Debug)]
pub(super) struct Driver {
    transition: u64,
    _task: AbortOnDropHandle<()>,
}

impl Mesh {
    /// Starts, keeps or ends the task of a vmodel, whichever its record asks for.
    pub(super) fn drive(&self, state: &mut State, id: &VModelId, record: Option<&VModelRecord>) {
        let record = record.filter(|record| record.in_transition() && state.leading);
        let Some(record) = record else {
            state.drivers.remove(id);
            return;
        };
        let transition = record.transition();
        match state.drivers.entry(id.clone()) {
            Entry::Occupied(entry) if entry.get().transition == transition => {}
            entry => {
                let task = tokio::spawn(run(self.me.clone(), id.clone(), transition));
                entry.insert_entry(Driver {
                    transition,
                    _task: AbortOnDropHandle::new(task),
                });
            }
        }
    }

    /// Waits until this transition is over, or its target could not be loaded.
    pub(super) async fn wait_for_transition(&self, id: &VModelId, transition: u64) -> Result<(), Status> {
        let mut applied = self.applied.subscribe();
        let over = async {
            loop {
                applied.borrow_and_update();
                let pending = self.pending(id, transition);
                if pending.is_none_or(|record| record.failed.is_some()) {
                    return;
                }
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        let wait = self.options.transition_wait;
        time::timeout(wait, over).await.map_err(|_| {
            Status::deadline_exceeded(format!(
                "vmodel {id} did not switch within {}; it goes on",
                humantime::format_duration(wait)
            ))
        })
    }

    /// Loads the target once. `None` when the transition is over, however.
    async fn attempt(&self, id: &VModelId, transition: u64) -> Option<Result<(), String>> {
        let record = self.pending(id, transition)?;
        let target = self.view.model(&record.target)?;
        // The new copy is as young as the one it replaces, so that it does not push out what is used more.
        let last_used = self
            .cache
            .copy(&record.active)
            .map(|copy| copy.last_used_ms)
            .filter(|used| *used > 0);
        let timeout = self.options.transition_load_timeout;
        let loaded = time::timeout(timeout, self.load_target(&record, &target, last_used));
        Some(loaded.await.unwrap_or_else(|_| {
            let timeout = humantime::format_duration(timeout);
            Err(format!("not loaded within {timeout}"))
        }))
    }

    /// Has the target loaded where it may be, and as often as the active model is: fewer copies would be overrun.
    async fn load_target(
        &self,
        record: &VModelRecord,
        target: &Found,
        last_used: Option<u64>,
    ) -> Result<(), String> {
        let wanted = Wanted {
            last_used,
            sync: true,
            besides: &[],
            reason: "a vmodel moves to it",
        };
        self.ensure(target, wanted).await.map_err(|err| err.to_string())?;
        let fleet = self.view.fleet();
        let active = self.holders(&record.active);
        let copies = active.iter().filter(|ix| fleet.get(**ix).is_some()).count();
        for _ in 1..copies {
            let held = self.holders(&target.id);
            if held.len() >= copies {
                break;
            }
            let wanted = Wanted {
                besides: &held,
                ..wanted
            };
            // With one copy it serves, if not as well; more follow when they are needed.
            if let Err(error) = self.ensure(target, wanted).await {
                tracing::debug!(model = %target.id, %error, "a further copy of the target could not be had");
                break;
            }
        }
        Ok(())
    }

    /// Writes how an attempt ended. False when the vmodel has moved on.
    async fn note_attempt(
        &self,
        id: &VModelId,
        transition: u64,
        error: Option<&str>,
    ) -> Result<bool, Status> {
        self.change([Key::vmodel(id)], |registry, changes| {
            Ok(match error {
                None => registry.finish(id, transition, now_ms(), changes),
                Some(error) => registry.fail(id, transition, error, changes),
            })
        })
        .await
    }

    fn pending(&self, id: &VModelId, transition: u64) -> Option<Arc<VModelRecord>> {
        self.view
            .vmodel(id)
            .filter(|record| record.in_transition() && record.transition() == transition)
    }

    /// When the target may be loaded again.
    fn retry_after(&self, id: &VModelId) -> Duration {
        let copy = self
            .view
            .vmodel(id)
            .and_then(|record| self.cache.copy(&record.target));
        let wait = copy
            .and_then(|copy| copy.failure)
            .map_or(DEFAULT_RETRY, |failure| {
                Duration::from_millis(failure.retry_at_ms.saturating_sub(now_ms()))
            });
        wait.min(self.options.transition_retry).max(MIN_RETRY)
    }
}

/// Tries until the target is loaded, or the vmodel has moved on.
async fn run(mesh: Weak<Mesh>, id: VModelId, transition: u64) {
    loop {
        let Some(mesh) = mesh.upgrade() else { return };
        let Some(loaded) = mesh.attempt(&id, transition).await else {
            return;
        };
        let error = loaded.err();
        match mesh.note_attempt(&id, transition, error.as_deref()).await {
            Ok(false) => return,
            Ok(true) if error.is_none() => {
                tracing::info!(vmodel = %id, "vmodel switched to its target");
                return;
            }
            Ok(true) => {
                tracing::warn!(vmodel = %id, error, "target of vmodel could not be loaded, its active model keeps serving");
            }
            Err(status) => {
                tracing::warn!(vmodel = %id, error = status.message(), "transition of vmodel could not be written");
            }
        }
        let wait = mesh.retry_after(&id);
        drop(mesh);
        time::sleep(wait).await;
    }
}
