//! Our keys and etcd's.

use std::sync::Arc;

use api::etcd::{Event, KeyValue, RangeRequest, event::EventType};
use bytes::Bytes;
use tracing::warn;

use crate::store::{Change, Entry};

/// What all keys of the cluster begin with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Root(Arc<str>);

impl Root {
    pub(super) fn new(prefix: &str, root: &str) -> Self {
        Self(format!("{prefix}{root}").into())
    }

    /// The key as etcd has it.
    pub(super) fn full(&self, key: &str) -> Vec<u8> {
        [self.0.as_bytes(), key.as_bytes()].concat()
    }

    /// Everything that begins with `prefix`.
    pub(super) fn range(&self, prefix: &str) -> RangeRequest {
        let key = self.full(prefix);
        RangeRequest {
            range_end: after(&key),
            key,
            ..RangeRequest::default()
        }
    }

    /// An entry of ours; none, with a warning, when its key cannot be one.
    pub(super) fn entry(&self, kv: KeyValue) -> Option<Entry> {
        Some(Entry {
            key: self.own(&kv.key)?,
            value: Bytes::from(kv.value),
            revision: number(kv.mod_revision),
            created: number(kv.create_revision),
        })
    }

    /// A change of one of our keys.
    pub(super) fn change(&self, event: Event) -> Option<Change> {
        let kind = event.r#type();
        let kv = event.kv?;
        Some(match kind {
            EventType::Put => Change::Put(self.entry(kv)?),
            EventType::Delete => Change::Delete {
                key: self.own(&kv.key)?,
                revision: number(kv.mod_revision),
            },
        })
    }

    fn own(&self, key: &[u8]) -> Option<Box<str>> {
        let own = key
            .strip_prefix(self.0.as_bytes())
            .and_then(|key| std::str::from_utf8(key).ok());
        if own.is_none() {
            warn!(key = %String::from_utf8_lossy(key), "a key that is none of ours was left out");
        }
        own.map(Box::from)
    }
}

/// The first key that does not begin with this; `"\0"` = there is none.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0]
}

/// Revisions are never negative.
pub(super) fn number(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}

/// Revisions never reach the upper half.
pub(super) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        for (prefix, end) in [
            (&b"a/"[..], &b"a0"[..]),
            (b"a\xff", b"b"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
        ] {
            assert_eq!(after(prefix), end);
        }
    }

    #[test]
    fn keys_of_others_are_left_out() {
        let root = Root::new("pre", "/mm/s/");
        let kv = |key: &[u8]| KeyValue {
            key: key.to_vec(),
            mod_revision: 7,
            create_revision: 5,
            value: b"v".to_vec(),
        };
        let entry = root.entry(kv(b"pre/mm/s/registry/m")).unwrap();
        assert_eq!((&*entry.key, entry.revision, entry.created), ("registry/m", 7, 5));
        assert_eq!(root.entry(kv(b"pre/mm/t/registry/m")), None);
        assert_eq!(root.entry(kv(b"pre/mm/s/\xff")), None);
    }
}
