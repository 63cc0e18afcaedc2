//! This instance among the others: what it publishes of itself, and who the others are.

use std::{sync::Weak, time::Duration};

use super::{
    Mesh, State,
    cluster::Cluster,
    codec,
    key::{Key, Table},
    now_ms,
};
use crate::core::fleet::{
    Constraints, Instance,
    publish::{self, Published, Verdict},
};

/// Wait after a record could not be written.
const RETRY: Duration = Duration::from_secs(1);

impl Mesh {
    /// Other constraints of types from now on.
    pub fn set_constraints(&self, constraints: Constraints) {
        let mut state = self.state.lock();
        state.books.set_constraints(constraints);
        state.fleet_changed = true;
        self.settle(&mut state);
    }

    /// The fleet is another one: connections follow.
    pub(super) fn follow_fleet(&self, state: &mut State) {
        let departed = std::mem::take(&mut state.departed);
        let Some(cluster) = &self.cluster else { return };
        let others = state.books.instances().filter(|(ix, _)| *ix != cluster.this);
        for (ix, instance) in others {
            cluster.peers().set(ix, instance.id.clone(), instance.peer);
        }
        for ix in departed {
            if let Some(id) = state.books.names.id(ix) {
                cluster.peers().set(ix, id.clone(), None);
            }
        }
    }

    pub(super) fn is_own(&self, name: &str) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| *cluster.id == *name)
    }

    /// This instance is one of the fleet before the store knows it.
    pub(super) fn enroll(&self) {
        let Some(cluster) = &self.cluster else { return };
        let own = self.describe_self(cluster);
        let mut state = self.state.lock();
        state.fleet_changed |= state.books.put_instance(own);
        self.settle(&mut state);
    }

    /// What this instance is now.
    pub(super) fn describe_self(&self, cluster: &Cluster) -> Instance {
        let usage = self.cache.usage();
        let status = self.cache.runtime_status();
        let loading = usage.queued_loads.saturating_add(usage.running_loads);
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let options = &cluster.options;
        let mut labels: Vec<Box<str>> = options.labels.iter().map(|label| label.as_str().into()).collect();
        labels.sort_unstable();
        Instance {
            id: cluster.id.clone(),
            start_ms: cluster.start_ms,
            version: options.version,
            location: options.location.as_str().into(),
            zone: options.zone.as_str().into(),
            labels: labels.into(),
            lru_ms: usage.oldest_use_ms.unwrap_or(u64::MAX),
            models: small(usage.models),
            capacity: usage.usable_bytes,
            used: usage.used_bytes.min(usage.usable_bytes),
            loading_threads: status.max_loading_concurrency,
            loading: small(loading),
            rpm: cluster.rpm(),
            shutting_down: cluster.is_draining(),
            peer: Some(options.address),
        }
    }
}

/// Keeps the record of this instance up to date, until the mesh is gone.
pub(super) async fn publish(mesh: Weak<Mesh>) {
    let mut last: Option<Published> = None;
    loop {
        let Some(mesh) = mesh.upgrade() else { return };
        let Some(cluster) = &mesh.cluster else { return };
        let (own, now) = (mesh.describe_self(cluster), now_ms());
        let mut wait = cluster.options.publish_every;
        match publish::publish(last.as_ref(), &own, mesh.view.fleet().len(), now) {
            Verdict::Now => {
                let key = Key::new(Table::Instances, &cluster.id).to_string();
                match mesh.store.hold(&key, codec::write_instance(&own).into()).await {
                    Ok(_) => {
                        last = Some(Published {
                            record: own,
                            at_ms: now,
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "this instance could not publish its record");
                        wait = RETRY;
                    }
                }
            }
            Verdict::At(at) => wait = wait.min(Duration::from_millis(at.saturating_sub(now))),
            Verdict::No => {}
        }
        let news = cluster.news.clone();
        drop(mesh);
        // Either way there may be something to say.
        let _either = tokio::time::timeout(wait, news.notified()).await;
    }
}
