//! Whether the service takes requests, and why not.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::watch;

type Reason = Cow<'static, str>;

#[derive(Clone, Debug)]
struct State {
    own: Option<Reason>,
    /// Reasons of others, with what tells them apart.
    holds: Vec<(u64, Reason)>,
    next: u64,
}

impl State {
    fn reason(&self) -> Option<&Reason> {
        self.own.as_ref().or(self.holds.first().map(|(_, reason)| reason))
    }
}

/// Cheap to clone; all clones are the same state. Starts as not ready.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

/// Keeps the service from being ready until it is dropped.
#[derive(Debug)]
pub struct Hold {
    id: u64,
    of: Readiness,
}

impl Readiness {
    /// Not ready, for this reason.
    pub fn new(reason: impl Into<Reason>) -> Self {
        Self(Arc::new(watch::Sender::new(State {
            own: Some(reason.into()),
            holds: Vec::new(),
            next: 0,
        })))
    }

    /// Takes requests from now on, or once nobody holds it back.
    pub fn set_ready(&self) {
        self.0.send_modify(|state| state.own = None);
    }

    /// Takes none from now on; `reason` is shown by `/ready`.
    pub fn set_unready(&self, reason: impl Into<Reason>) {
        let reason = reason.into();
        self.0.send_modify(|state| state.own = Some(reason));
    }

    /// Holds it back, whatever [`Readiness::set_ready`] says, until what this gives is dropped.
    pub fn hold(&self, reason: impl Into<Reason>) -> Hold {
        let reason = reason.into();
        let mut id = 0;
        self.0.send_modify(|state| {
            id = state.next;
            state.next += 1;
            state.holds.push((id, reason));
        });
        Hold { id, of: self.clone() }
    }

    /// Whether requests are taken.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().reason().is_none()
    }

    /// Why not; `None` when ready.
    pub fn reason(&self) -> Option<Reason> {
        self.0.borrow().reason().cloned()
    }

    /// Waits until requests are taken. The caller brings the deadline.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| state.reason().is_none())
            .await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let id = self.id;
        self.of
            .0
            .send_modify(|state| state.holds.retain(|(held, _)| *held != id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_last_until_they_are_dropped() {
        let readiness = Readiness::new("starting");
        let (first, second) = (readiness.hold("models"), readiness.hold("probation"));
        assert_eq!(readiness.reason().as_deref(), Some("starting"));
        readiness.set_ready();
        assert_eq!(readiness.reason().as_deref(), Some("models"));
        drop(first);
        assert_eq!(readiness.reason().as_deref(), Some("probation"));
        drop(second);
        assert!(readiness.is_ready());
    }
}
