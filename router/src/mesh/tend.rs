//! What each instance does about its own copies, every few seconds: how much they are used, and whether there should be
//! more or fewer of them; and, in small steps, whether all records say the truth about this instance.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{self, MissedTickBehavior},
};

use super::{Mesh, cluster::Cluster, ensure::Wanted, key::Key, now_ms};
use crate::{
    core::{
        cache::gate::Gate,
        fleet::{
            Ix, Sweep, janitor,
            rates::{SLOT_MS, Usage},
            scale::{Around, Fewer, Local, More, Scaling, scale},
        },
        registry::Presence,
    },
    model::ModelId,
};

/// Copies that this instance has made elsewhere at once.
const GROWING: usize = 8;
/// Looks at the concurrency of copies within a slot.
const LOOKS: u32 = 10;

/// One copy that serves here.
#[derive(Debug, Default)]
struct Tended {
    usage: Usage,
    entered: u64,
    /// Requests inside, summed over the looks of this slot.
    inside: u64,
    max_concurrency: u32,
    last_used: u64,
    seen: bool,
}

/// Runs until the mesh is gone.
pub(super) async fn tend(mesh: Weak<Mesh>) {
    let mut copies: HashMap<ModelId, Tended> = HashMap::new();
    let growing = Arc::new(Semaphore::new(GROWING));
    let mut walk = Sweep::new(janitor::PERIOD_MS, janitor::STEP, now_ms());
    let period = Duration::from_millis(SLOT_MS) / LOOKS;
    let mut turns = time::interval(period);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0_u32.. {
        turns.tick().await;
        let Some(mesh) = mesh.upgrade() else { return };
        let Some(cluster) = &mesh.cluster else { return };
        let last = turn % LOOKS == LOOKS - 1;
        if last || mesh.cache.runtime_status().limit_model_concurrency {
            look(&mesh, &mut copies);
        }
        if last {
            note(&mesh, cluster, &mut copies);
            mesh.scale_all(cluster, &copies, &growing);
        }
        mesh.look_through(&mut walk);
    }
}

/// Sums up who is inside.
fn look(mesh: &Mesh, copies: &mut HashMap<ModelId, Tended>) {
    mesh.cache.each_loaded(|gate: &Gate| {
        if !copies.contains_key(gate.id()) {
            let (_, entered) = gate.entered_since(0);
            let new = Tended {
                entered,
                ..Tended::default()
            };
            copies.insert(gate.id().clone(), new);
        }
        if let Some(copy) = copies.get_mut(gate.id()) {
            copy.inside += gate.in_flight();
            copy.max_concurrency = gate.limit();
            copy.last_used = if gate.in_flight() > 0 {
                now_ms()
            } else {
                gate.last_used()
            };
            copy.seen = true;
        }
    });
}

/// Ends a slot. Copies that are gone are forgotten.
fn note(mesh: &Mesh, cluster: &Cluster, copies: &mut HashMap<ModelId, Tended>) {
    copies.retain(|_, copy| std::mem::take(&mut copy.seen));
    let (high, now) = (cluster.scaling().rpm_threshold, now_ms());
    let looks = if mesh.cache.runtime_status().limit_model_concurrency {
        u64::from(LOOKS)
    } else {
        1
    };
    let mut rpm = 0_u32;
    mesh.cache.each_loaded(|gate: &Gate| {
        let Some(copy) = copies.get_mut(gate.id()) else {
            return;
        };
        let (requests, entered) = gate.entered_since(copy.entered);
        copy.entered = entered;
        let busy_ms = std::mem::take(&mut copy.inside) * SLOT_MS / looks;
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        copy.usage.note(small(requests), small(busy_ms), high, now);
        rpm = rpm.saturating_add(copy.usage.rpm());
    });
    cluster.set_rpm(rpm);
}

impl Mesh {
    fn scale_all(&self, cluster: &Cluster, copies: &HashMap<ModelId, Tended>, growing: &Arc<Semaphore>) {
        if cluster.is_draining() {
            return;
        }
        let (fleet, settings) = (self.view.fleet(), cluster.scaling());
        let around = Around {
            fleet: &fleet,
            this: cluster.this,
            settings: &settings,
            now_ms: now_ms(),
        };
        for (id, copy) in copies {
            let Some(entry) = self.view.entry(id) else {
                continue;
            };
            let model = entry.model();
            let local = Local {
                model: &model,
                usage: &copy.usage,
                max_concurrency: copy.max_concurrency,
                last_used_ms: copy.last_used,
                last_drop_ms: entry.wish.as_ref().map_or(0, |wish| wish.last_unload),
                assumed_load_ms: cluster.assumed_load_ms(model.kind),
            };
            let scaling = scale(&local, &around);
            // What cannot be done now is decided again in the next slot.
            let Some((scaling, turn)) = scaling.zip(growing.clone().try_acquire_owned().ok()) else {
                continue;
            };
            let (mesh, id) = (self.me.clone(), id.clone());
            tokio::spawn(async move {
                let Some(mesh) = mesh.upgrade() else { return };
                match scaling {
                    Scaling::Add { copies, why } => mesh.grow(&id, copies, why).await,
                    Scaling::Drop { keep, why } => mesh.shrink(&id, keep, why).await,
                }
                drop(turn);
            });
        }
    }

    async fn grow(&self, id: &ModelId, copies: u32, why: More) {
        let Some(found) = self.view.model(id) else { return };
        tracing::info!(model = %id, copies, ?why, "more copies");
        let mut besides = self.holders(id);
        for _ in 0..copies {
            let wanted = Wanted {
                last_used: None,
                sync: true,
                besides: &besides,
                reason: "scale-up",
            };
            if let Err(error) = self.ensure(&found, wanted).await {
                tracing::info!(model = %id, %error, "a further copy could not be had");
                return;
            }
            besides = self.holders(id);
        }
    }

    /// Gives the copy here up, when another one certainly serves and enough stay.
    async fn shrink(&self, id: &ModelId, keep: u32, why: Fewer) {
        let Some(cluster) = &self.cluster else { return };
        if keep > 0 && self.loaded_elsewhere(cluster, id).await != Presence::Loaded {
            return;
        }
        let this = &*cluster.id;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let released = self.change([Key::model(id)], |registry, changes| {
            let Some(record) = registry.model(id) else {
                return Ok(false);
            };
            let others = record
                .placed
                .copies
                .keys()
                .filter(|holder| ***holder != *this)
                .count();
            if others < keep {
                return Ok(false);
            }
            registry.displace(id, this, now_ms(), changes);
            Ok(true)
        });
        match released.await {
            Ok(true) => {
                tracing::info!(model = %id, ?why, "one copy less");
                self.cache.unload(id);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(model = %id, error = error.message(), "a copy could not be given up");
            }
        }
    }

    /// Instances that have a copy, as far as known.
    pub(super) fn holders(&self, id: &str) -> Vec<Ix> {
        let copies = self.view.entry(id).map(|entry| entry.copies.clone());
        copies.iter().flatten().map(|copy| copy.instance).collect()
    }

    /// Records that name this instance are held against what is here.
    fn look_through(&self, walk: &mut Sweep) {
        let Some(cluster) = &self.cluster else { return };
        let Some(step) = walk.step(now_ms()) else { return };
        let ids = self.state.lock().books.models_after(&step.after, step.limit);
        for id in &ids {
            let Some(entry) = self.view.entry(id) else {
                continue;
            };
            let named = entry.copies.iter().any(|copy| copy.instance == cluster.this)
                || entry
                    .failures
                    .iter()
                    .any(|failure| failure.instance == cluster.this);
            if named {
                self.dirty.add(id);
            }
        }
        if walk.done(ids.last()) {
            self.cache.each_loaded(|gate| self.dirty.add(gate.id()));
        }
    }
}
