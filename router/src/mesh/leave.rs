//! Leaving without harm: models are handed over, the most recently used first, and serve here until they serve elsewhere.

use std::{sync::atomic::Ordering, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{self, Instant};

use super::{Mesh, cluster::Cluster, ensure::Wanted, key::Key, now_ms};
use crate::{
    core::{
        fleet::drain::{Drain, Handover, Leaving},
        registry::Presence,
    },
    model::ModelId,
};

/// Copies that were used within this time get a successor before they go.
const RECENT_MS: u64 = 3_600_000;

impl Mesh {
    /// Hands the models here over to others and leaves the fleet, until the deadline at the latest. What is loaded here
    /// serves all the time. Alone there is nobody to hand anything to.
    pub async fn leave(&self, deadline: Instant) {
        let Some(cluster) = &self.cluster else { return };
        cluster.draining.store(true, Ordering::Relaxed);
        cluster.news.notify_one();
        self.follow_leader(&mut self.state.lock());
        let copies = self.leaving();
        let count = copies.len();
        tracing::info!(models = count, "leaving: handing models over");
        let begun = Instant::now();
        let handed = time::timeout_at(deadline, self.hand_over(cluster, copies, deadline)).await;
        let in_time = handed.is_ok();
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            models = count,
            took_ms,
            in_time,
            "leaving: models are handed over"
        );
    }

    /// Whether this instance is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.cluster.as_ref().is_some_and(Cluster::is_draining)
    }

    /// Ends the session: the others forget this instance at once.
    pub async fn depart(&self) {
        if self.cluster.is_some() {
            self.store.close().await;
        }
    }

    fn leaving(&self) -> Vec<Leaving> {
        let mut copies = Vec::new();
        self.cache.each_loaded(|gate| {
            let last_used_ms = if gate.in_flight() > 0 {
                now_ms()
            } else {
                gate.last_used()
            };
            copies.push(Leaving {
                model: gate.id().clone(),
                last_used_ms,
            });
        });
        copies
    }

    async fn hand_over(&self, cluster: &Cluster, copies: Vec<Leaving>, deadline: Instant) {
        let left = u64::try_from(deadline.saturating_duration_since(Instant::now()).as_millis());
        let deadline_ms = now_ms().saturating_add(left.unwrap_or(u64::MAX));
        let mut drain = Drain::new(copies, RECENT_MS, deadline_ms, now_ms());
        let mut moving = FuturesUnordered::new();
        while !drain.is_over() {
            match drain.next(now_ms()) {
                Some(Handover::Move(id)) => moving.push(async move {
                    let moved = self.hand(cluster, &id).await;
                    (id, moved)
                }),
                Some(Handover::Release(id)) => self.release(cluster, &id).await,
                None => match moving.next().await {
                    Some((id, true)) => drain.moved(&id),
                    Some((id, false)) => drain.failed(&id),
                    None => time::sleep(Duration::from_millis(10)).await,
                },
            }
        }
    }

    /// Has another instance load the model, unless one has it.
    async fn hand(&self, cluster: &Cluster, id: &ModelId) -> bool {
        let Some(found) = self.view.model(id) else {
            return true;
        };
        if self.loaded_elsewhere(cluster, id).await == Presence::Loaded {
            return true;
        }
        let last_used = self.cache.copy(id).map(|copy| copy.last_used_ms);
        let wanted = Wanted {
            last_used: last_used.filter(|used| *used > 0),
            sync: true,
            besides: &[cluster.this],
            reason: "another instance is leaving",
        };
        match self.ensure(&found, wanted).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(model = %id, %error, "a model could not be handed over");
                false
            }
        }
    }

    /// Nobody comes here for this model any more.
    async fn release(&self, cluster: &Cluster, id: &ModelId) {
        let this = &*cluster.id;
        let released = self.change([Key::model(id)], |registry, changes| {
            registry.displace(id, this, now_ms(), changes);
            Ok(())
        });
        if let Err(error) = released.await {
            tracing::debug!(model = %id, error = error.message(), "a model stays registered here");
        }
    }
}
