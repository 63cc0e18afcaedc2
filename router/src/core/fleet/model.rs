//! A model as far as decisions about its copies need it.

use super::{Instance, Ix};

/// A copy that is loaded or loading, as registered by its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Who holds it.
    pub instance: Ix,
    /// When its load began.
    pub since_ms: u64,
}

/// A load that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub instance: Ix,
    /// When.
    pub at_ms: u64,
}

/// Where copies of a model belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(Box<str>);

impl Pin {
    /// The name of an instance, or a label.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means this instance.
    pub fn matches(&self, instance: &Instance) -> bool {
        *instance.id == *self.0 || instance.has_label(&self.0)
    }
}

/// A model and its copies. Times are in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Its type, which decides about constraints.
    pub kind: &'a str,
    /// Registered copies.
    pub copies: &'a [Copy],
    /// Failed loads that nobody has cleared yet; may be expired.
    pub failures: &'a [Failure],
    /// Last use as far as known.
    pub last_used_ms: u64,
    /// Copies that it always has.
    pub min: u32,
    /// Copies that it never has more of; 0 = no bound.
    pub max: u32,
    /// Where its copies go first, and stay.
    pub pinned: &'a [Pin],
    /// Bytes of a copy, as last measured.
    pub size: Option<u64>,
}

impl Model<'_> {
    /// Whether a copy is registered there.
    pub fn is_on(&self, instance: Ix) -> bool {
        self.copies.iter().any(|copy| copy.instance == instance)
    }

    /// Failures that still count.
    pub fn fresh_failures(&self, expiry_ms: u64, now_ms: u64) -> impl Iterator<Item = &Failure> {
        self.failures
            .iter()
            .filter(move |failure| now_ms < failure.at_ms.saturating_add(expiry_ms))
    }
}
