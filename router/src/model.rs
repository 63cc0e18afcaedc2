//! Identity of a model, and what a runtime needs to load it.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    ops::Deref,
    sync::Arc,
};

/// Concrete model id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(Arc<str>);

impl ModelId {
    /// Longest id that is accepted, in bytes: it becomes a header, a file name and a store key.
    pub const MAX_LEN: usize = 1024;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ModelId {
    fn from(id: &str) -> Self {
        Self(Arc::from(id))
    }
}

impl Deref for ModelId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a runtime is told when it loads a model: `mmesh.ModelInfo`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ModelSpec {
    /// Model type, never empty once registered.
    pub kind: String,
    /// Where the model lies; empty = unset.
    pub path: String,
    /// Opaque JSON for the adapter. May hold secrets: never logged.
    pub key: String,
}

impl fmt::Debug for ModelSpec {
    /// Without the key, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, key: _ } = self;
        f.debug_struct("ModelSpec")
            .field("kind", kind)
            .field("path", path)
            .finish_non_exhaustive()
    }
}

/// Name under which one version of a model is registered: `iris:3` for version 3 of `iris`, which itself names the
/// version that is served by default.
///
/// An empty version means the default one.
pub fn versioned_name<'a>(name: &'a str, version: &str) -> Cow<'a, str> {
    if version.is_empty() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{name}:{version}"))
    }
}

/// What the names of all versions of a model begin with.
pub fn version_prefix(name: &str) -> String {
    format!("{name}:")
}

/// Takes a versioned name apart: name and version. A name may contain colons itself, so this is only a version
/// where the name before it is registered too.
pub fn split_version(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once(':')
        .filter(|(name, version)| !name.is_empty() && !version.is_empty())
}
