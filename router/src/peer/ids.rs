//! Names of instances and what is known of their load, as `core::fleet` has them.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// Number of an instance in this process. Means nothing outside of it.
pub type Ix = u32;

/// Name of an instance. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for InstanceId {
    fn from(id: &str) -> Self {
        Self(Arc::from(id))
    }
}

impl Deref for InstanceId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What this router knows about the load of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerLoad {
    /// Requests that it was serving.
    pub in_flight: u32,
    /// Requests that waited there for a place in a copy.
    pub queued: u32,
    /// When it said so, milliseconds since the epoch; 0 = never.
    pub at_ms: u64,
    /// Requests of this router that it has not answered yet.
    pub sent: u32,
    /// Its last answers were failures: only for those who have no choice.
    pub ejected: bool,
}
