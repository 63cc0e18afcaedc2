//! Transitions of vmodels: load the target, then let it take over. One task for each vmodel in transition.
//!
//! They are as many as there are active models with a copy, and those are bounded by the memory of the runtime.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::watch, time};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::core::registry::{VModelId, VModelRecord};

use super::{Mesh, now_ms};

/// Wait before the next try when nobody says how long: the loading queue was full, for example.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
/// Shortest wait before the next try.
const MIN_RETRY: Duration = Duration::from_millis(500);

/// The task behind a transition; dropping it ends the task.
#[derive(Debug)]
pub(super) struct Driver {
    transition: u64,
    /// Loads that ended; closed when the transition is over.
    attempts: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Mesh {
    /// Starts, keeps or ends the task of a vmodel, whichever its record asks for.
    pub(super) fn drive(
        &self,
        drivers: &mut HashMap<VModelId, Driver>,
        id: &VModelId,
        record: Option<&VModelRecord>,
    ) {
        let Some(record) = record.filter(|record| record.in_transition()) else {
            drivers.remove(id);
            return;
        };
        let start = || {
            let (sender, attempts) = watch::channel(0);
            let transition = record.transition();
            let task = tokio::spawn(run(self.me.clone(), id.clone(), transition, sender));
            Driver {
                transition,
                attempts,
                _task: AbortOnDropHandle::new(task),
            }
        };
        match drivers.entry(id.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(start())),
            Entry::Occupied(mut entry) if entry.get().transition != record.transition() => {
                entry.insert(start());
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Waits until this transition is over, or its target could not be loaded.
    pub(super) async fn wait_for_transition(&self, id: &VModelId, transition: u64) -> Result<(), Status> {
        let attempts = {
            let state = self.state.lock();
            state
                .drivers
                .get(id)
                .filter(|d| d.transition == transition)
                .map(|d| d.attempts.clone())
        };
        let Some(mut attempts) = attempts else {
            return Ok(());
        };
        let wait = self.options.transition_wait;
        match time::timeout(wait, attempts.changed()).await {
            // Changed or closed: the status tells.
            Ok(_) => Ok(()),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "vmodel {id} did not switch within {}; it goes on",
                humantime::format_duration(wait)
            ))),
        }
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
        if let Err(err) = self.load(&target, last_used) {
            return Some(Err(err.to_string()));
        }
        let timeout = self.options.transition_load_timeout;
        Some(
            match time::timeout(timeout, self.cache.wait_loaded(&target.id)).await {
                Ok(result) => result.map_err(|err| err.to_string()),
                Err(_) => Err(format!(
                    "not loaded within {}",
                    humantime::format_duration(timeout)
                )),
            },
        )
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
async fn run(mesh: Weak<Mesh>, id: VModelId, transition: u64, attempts: watch::Sender<u64>) {
    loop {
        let Some(mesh) = mesh.upgrade() else { return };
        match mesh.attempt(&id, transition).await {
            None => return,
            Some(Ok(())) => {
                if mesh.change(|registry, changes| registry.finish(&id, transition, changes)) {
                    tracing::info!(vmodel = %id, "vmodel switched to its target");
                }
                return;
            }
            Some(Err(error)) => {
                if !mesh.change(|registry, changes| registry.fail(&id, transition, &error, changes)) {
                    return;
                }
                tracing::warn!(vmodel = %id, error, "target of vmodel could not be loaded, its active model keeps serving");
            }
        }
        attempts.send_modify(|attempts| *attempts += 1);
        let wait = mesh.retry_after(&id);
        drop(mesh);
        time::sleep(wait).await;
    }
}
