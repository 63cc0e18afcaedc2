//! The concurrent map of the warm path.

/// Reads take no lock. The hash is seeded per process, and much quicker on short names than the default one.
pub type Map<K, V> = papaya::HashMap<K, V, Hasher>;

/// Hasher of [`Map`].
pub type Hasher = foldhash::fast::RandomState;
