//! One instance, as it described itself in its record.

use std::{borrow::Borrow, fmt, net::SocketAddr, ops::Deref, sync::Arc};

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

/// What an instance says about itself, some seconds ago. Times are in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// When it started.
    pub start_ms: u64,
    /// Version of its build; larger is newer, 0 = unknown.
    pub version: u64,
    /// Node that it runs on.
    pub location: Box<str>,
    /// Zone of that node; empty = unknown.
    pub zone: Box<str>,
    /// Its labels, sorted.
    pub labels: Box<[Box<str>]>,
    /// Last use of the copy that it would evict first; [`u64::MAX`] = it holds none.
    pub lru_ms: u64,
    /// Copies it holds.
    pub models: u32,
    /// Bytes that models may take, without what is set aside for unloads.
    pub capacity: u64,
    /// Bytes that models take.
    pub used: u64,
    /// Loads it runs at once.
    pub loading_threads: u32,
    /// Loads under way and queued.
    pub loading: u32,
    /// Requests in the last minute.
    pub rpm: u32,
    /// It is leaving: nothing new goes there.
    pub shutting_down: bool,
    /// Where other routers reach it; without it nobody can.
    pub peer: Option<SocketAddr>,
}

/// Length of an id that ends in the name of a pod: the end of the replica set's hash, a dash, the pod's five characters.
const POD_ID_LEN: usize = 12;
/// Where the dash is.
const POD_ID_DASH: usize = 6;

impl Instance {
    /// What the instances of one replica set have in common, when the id has the form that the start script gives it.
    pub fn replica_set(&self) -> Option<&str> {
        let id = self.id.as_str();
        let is_pod = id.len() == POD_ID_LEN && id.as_bytes().get(POD_ID_DASH) == Some(&b'-');
        if is_pod { id.get(..POD_ID_DASH) } else { None }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// Whether it carries this label.
    pub fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|own| **own == *label)
    }
}
