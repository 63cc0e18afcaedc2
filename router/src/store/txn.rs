//! Transactions: compare, then write all or nothing.

use std::{collections::HashSet, fmt};

use bytes::Bytes;

use super::{Read, StoreError};

/// Most keys in one read, and most comparisons or writes in one transaction: what etcd takes unless told otherwise.
pub const MAX_KEYS: usize = 128;
/// Longest key in bytes. Names are shorter; this bounds what a mirror holds.
const MAX_KEY: usize = 4 << 10;

/// Compares, then writes all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Keys with the revision at which they must have been written last; 0 = there must be none.
    pub compare: Vec<(String, u64)>,
    /// What to write; each key once.
    pub ops: Vec<Op>,
}

/// One write.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Creates or replaces.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: Bytes,
    },
    /// Deletes; where there is nothing, nothing happens.
    Delete {
        /// The key.
        key: String,
    },
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was written, at this revision.
    Committed {
        /// Revision of everything that was put.
        revision: u64,
    },
    /// Nothing was written: a comparison did not hold. This is what is there, in the order of the comparisons.
    Conflict(Read),
}

impl Op {
    /// The key that is written.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl fmt::Debug for Op {
    /// Without the value, which may hold a model's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value } => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete { key } => write!(f, "Delete({key})"),
        }
    }
}

impl Txn {
    /// Whether any store would take it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let count = self.compare.len().max(self.ops.len());
        if count > MAX_KEYS {
            return Err(StoreError::Invalid(format!(
                "{count} comparisons or writes in one transaction, at most {MAX_KEYS}"
            )));
        }
        for key in self.compare.iter().map(|(key, _)| key.as_str()) {
            check_key(key)?;
        }
        let mut seen = HashSet::new();
        for op in &self.ops {
            check_key(op.key())?;
            if !seen.insert(op.key()) {
                return Err(StoreError::Invalid(format!(
                    "key {:?} is written twice in one transaction",
                    op.key()
                )));
            }
        }
        Ok(())
    }
}

pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::Invalid("an empty key".to_owned()));
    }
    if key.len() > MAX_KEY {
        let len = key.len();
        return Err(StoreError::Invalid(format!(
            "a key of {len} bytes, at most {MAX_KEY}"
        )));
    }
    Ok(())
}

pub(super) fn check_keys(keys: &[String]) -> Result<(), StoreError> {
    if keys.len() > MAX_KEYS {
        let count = keys.len();
        return Err(StoreError::Invalid(format!(
            "{count} keys in one read, at most {MAX_KEYS}"
        )));
    }
    keys.iter().try_for_each(|key| check_key(key))
}
