//! The leader's walk over all models: instances that are gone for good are taken out of records, and models that are worth
//! it are loaded before anybody asks for them.

use std::{sync::Weak, time::Duration};

use futures::{StreamExt, stream};
use tokio::time;

use super::{Mesh, ensure::Wanted, key::Key, now_ms};
use crate::{
    core::fleet::{
        Ix, Sweep,
        leader::{self, Absences, Candidate, Proactive},
    },
    model::ModelId,
};

/// Pause between two steps of the walk.
const PAUSE: Duration = Duration::from_millis(250);
/// Records that are written, and loads that are caused, at once.
const AT_ONCE: usize = 8;

/// Runs until the mesh is gone; works while this instance leads.
pub(super) async fn reap(mesh: Weak<Mesh>) {
    loop {
        let Some(mut leading) = mesh.upgrade().map(|mesh| mesh.leading.subscribe()) else {
            return;
        };
        if leading.wait_for(|leading| *leading).await.is_err() {
            return;
        }
        // A new leader begins anew.
        let mut absences = Absences::new();
        let mut walk = Sweep::new(leader::PERIOD_MS, leader::STEP, now_ms() + leader::FIRST_MS);
        let mut proactive = None;
        while *leading.borrow() {
            time::sleep(PAUSE).await;
            let Some(mesh) = mesh.upgrade() else { return };
            mesh.reap_step(&mut walk, &mut absences, &mut proactive).await;
        }
    }
}

impl Mesh {
    async fn reap_step(&self, walk: &mut Sweep, absences: &mut Absences, proactive: &mut Option<Proactive>) {
        let Some(cluster) = &self.cluster else { return };
        let Some(step) = walk.step(now_ms()) else { return };
        let (fleet, now) = (self.view.fleet(), now_ms());
        absences.see(&fleet);
        let default = self.cache.runtime_status().default_model_size_in_bytes;
        let offers = proactive.get_or_insert_with(|| Proactive::new(&fleet, default, now));
        let ids = self.state.lock().books.models_after(&step.after, step.limit);
        let (mut prune, mut wanted) = (Vec::new(), Vec::new());
        for id in &ids {
            let Some(entry) = self.view.entry(id) else {
                continue;
            };
            let model = entry.model();
            let gone = absences.gone(&model, &fleet, now);
            if !gone.is_empty() {
                prune.push((id.clone(), gone));
            }
            let expiry = cluster.settings.failure_expiry;
            if offers.offer(id, &model, &fleet, expiry, now) {
                wanted.push(id.clone());
            }
        }
        self.prune_all(prune).await;
        self.load_all(wanted.into_iter().map(|id| (id, None)).collect(), "minimum")
            .await;
        if walk.done(ids.last())
            && let Some(offers) = proactive.take()
            && cluster.options.proactive
        {
            let loads = offers.finish().into_iter();
            let loads = loads.map(|Candidate { last_used_ms, model }| (model, Some(last_used_ms)));
            self.load_all(loads.collect(), "free room").await;
        }
    }

    async fn prune_all(&self, models: Vec<(ModelId, Vec<Ix>)>) {
        let pruned = stream::iter(models).map(|(id, gone)| async move {
            let names: Vec<String> = gone.iter().filter_map(|ix| self.name_of(*ix)).collect();
            let done = self.change([Key::model(&id)], |registry, changes| {
                registry.prune(&id, |instance| names.iter().any(|name| name == instance), changes);
                Ok(())
            });
            if let Err(error) = done.await {
                tracing::debug!(model = %id, error = error.message(), "instances that are gone stay in a record for now");
            }
        });
        pruned.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn load_all(&self, models: Vec<(ModelId, Option<u64>)>, reason: &'static str) {
        let loads = stream::iter(models).map(|(id, last_used)| async move {
            let Some(found) = self.view.model(&id) else { return };
            let wanted = Wanted {
                last_used,
                sync: false,
                besides: &[],
                reason,
            };
            if let Err(error) = self.ensure(&found, wanted).await {
                tracing::debug!(model = %id, %error, reason, "not loaded ahead");
            }
        });
        loads.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}
