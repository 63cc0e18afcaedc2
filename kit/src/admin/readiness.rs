//! Whether the service takes requests, and why not.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::watch;

/// Cheap to clone; all clones are the same state. Starts as not ready.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Option<Cow<'static, str>>>>);

impl Readiness {
    /// Not ready, for this reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(watch::Sender::new(Some(reason.into()))))
    }

    /// Takes requests from now on.
    pub fn set_ready(&self) {
        self.0.send_replace(None);
    }

    /// Takes none from now on; `reason` is shown by `/ready`.
    pub fn set_unready(&self, reason: impl Into<Cow<'static, str>>) {
        self.0.send_replace(Some(reason.into()));
    }

    /// Whether requests are taken.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// Why not; `None` when ready.
    pub fn reason(&self) -> Option<Cow<'static, str>> {
        self.0.borrow().clone()
    }

    /// Waits until requests are taken. The caller brings the deadline.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_none).await;
    }
}
