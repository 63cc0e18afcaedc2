//! Who leads. The leader does what is done once for all: it runs the transitions of vmodels, and walks the registry.

use std::{sync::Weak, time::Duration};

use tokio::time::Instant;

use super::{
    Mesh, State,
    cluster::Cluster,
    key::{Key, Table},
};

/// Wait before the next try to stand for leader.
const RETRY: Duration = Duration::from_secs(2);

impl Mesh {
    /// Takes over what a leader does, or lets go of it.
    pub(super) fn follow_leader(&self, state: &mut State) {
        let leads = self.leads(state);
        if leads == state.leading {
            return;
        }
        state.leading = leads;
        self.leading.send_replace(leads);
        if !leads {
            tracing::info!("another instance leads");
            state.drivers.clear();
            return;
        }
        if self.cluster.is_some() {
            tracing::info!("this instance leads");
        }
        for (id, record) in self.view.vmodels_in_transition() {
            self.drive(state, &id, Some(&record));
        }
    }

    /// Alone, everything is done here. Among others the oldest latch leads, as long as its session certainly lives.
    fn leads(&self, state: &State) -> bool {
        let Some(cluster) = &self.cluster else { return true };
        let lives = self.session.borrow().is_some_and(|until| Instant::now() < until);
        lives && !cluster.is_draining() && state.books.leader() == Some(&*latch(cluster))
    }
}

fn latch(cluster: &Cluster) -> String {
    format!("_{}", cluster.id)
}

/// Holds a latch, and looks whether this instance leads whenever its session changes, until the mesh is gone.
pub(super) async fn stand(mesh: Weak<Mesh>) {
    let mut held = false;
    loop {
        let Some(mesh) = mesh.upgrade() else { return };
        let Some(cluster) = &mesh.cluster else { return };
        if !held {
            let name = latch(cluster);
            let key = Key::new(Table::Latches, &name).to_string();
            match mesh.store.hold(&key, name.into_bytes().into()).await {
                Ok(_) => held = true,
                Err(error) => tracing::warn!(%error, "this instance cannot stand for leader"),
            }
        }
        let mut session = mesh.session.clone();
        let until = *session.borrow_and_update();
        mesh.follow_leader(&mut mesh.state.lock());
        drop(mesh);
        // Looks again when the session is renewed or made anew, and at the latest when it would have ended.
        let end = match until {
            Some(until) if held => until,
            _ => Instant::now() + RETRY,
        };
        tokio::select! {
            changed = session.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(end) => {}
        }
    }
}
