//! Entries, sessions, and the latest changes. Plain data: no clock, no I/O.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use crate::store::{Change, Entry, Op, Read, StoreError, Txn};

/// Changes that are remembered for followers. Who is further behind reads everything again, as after a compaction.
const LOG_CHANGES: usize = 1 << 14;
/// Bytes of keys and values in them.
const LOG_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct State {
    revision: u64,
    entries: BTreeMap<Box<str>, Stored>,
    log: VecDeque<Arc<Logged>>,
    log_bytes: usize,
    /// Changes up to this revision are not in the log any more.
    forgotten: u64,
    sessions: u64,
}

#[derive(Debug)]
struct Stored {
    entry: Arc<Entry>,
    /// Who holds it.
    session: Option<u64>,
}

#[derive(Debug)]
enum Logged {
    Put(Arc<Entry>),
    Delete { key: Box<str>, revision: u64 },
}

impl Logged {
    fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put(entry) => size(entry),
            Self::Delete { key, .. } => key.len(),
        }
    }
}

pub(super) fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len()
}

impl State {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn read<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Read {
        let entry = |key| {
            self.entries
                .get(key)
                .map(|stored: &Stored| (*stored.entry).clone())
        };
        Read {
            revision: self.revision,
            entries: keys.map(entry).collect(),
        }
    }

    /// What is there instead, when a comparison does not hold. Fails when a key is held.
    pub(super) fn check(&self, txn: &Txn) -> Result<Option<Read>, StoreError> {
        for op in &txn.ops {
            let held = |stored: &Stored| stored.session.is_some();
            if let Op::Put { key, .. } = op
                && self.entries.get(&**key).is_some_and(held)
            {
                return Err(StoreError::Invalid(format!(
                    "key {key:?} is held by a session, which alone may put it"
                )));
            }
        }
        let revision = |key: &str| self.entries.get(key).map_or(0, |stored| stored.entry.revision);
        let holds = txn.compare.iter().all(|(key, wanted)| revision(key) == *wanted);
        Ok((!holds).then(|| self.read(txn.compare.iter().map(|(key, _)| key.as_str()))))
    }

    /// Writes; the revision grows unless nothing changes.
    pub(super) fn apply(&mut self, ops: &[Op]) -> u64 {
        self.write(ops, None)
    }

    /// An entry as it was written before the process started.
    pub(super) fn restore(&mut self, key: Box<str>, value: Bytes, revision: u64, created: Option<u64>) {
        let before = self.entries.get(&key).map(|stored| stored.entry.created);
        let created = created.or(before).unwrap_or(revision);
        let entry = Arc::new(Entry {
            key: key.clone(),
            value,
            revision,
            created,
        });
        self.entries.insert(key, Stored { entry, session: None });
        self.restored(revision);
    }

    /// An entry was deleted before the process started.
    pub(super) fn restore_deleted(&mut self, key: &str, revision: u64) {
        self.entries.remove(key);
        self.restored(revision);
    }

    fn restored(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.forgotten = self.revision;
    }

    fn write(&mut self, ops: &[Op], session: Option<u64>) -> u64 {
        let revision = self.revision + 1;
        for op in ops {
            match op {
                Op::Put { key, value } => self.put(key, value, revision, session),
                Op::Delete { key } => self.delete(key, revision),
            }
        }
        self.forget();
        self.revision
    }

    fn put(&mut self, key: &str, value: &Bytes, revision: u64, session: Option<u64>) {
        let created = self
            .entries
            .get(key)
            .map_or(revision, |stored| stored.entry.created);
        let entry = Arc::new(Entry {
            key: key.into(),
            value: value.clone(),
            revision,
            created,
        });
        self.note(Logged::Put(entry.clone()));
        self.entries.insert(key.into(), Stored { entry, session });
    }

    fn delete(&mut self, key: &str, revision: u64) {
        if let Some((key, _)) = self.entries.remove_entry(key) {
            self.note(Logged::Delete { key, revision });
        }
    }

    fn note(&mut self, change: Logged) {
        self.revision = change.revision();
        self.log_bytes += change.bytes();
        self.log.push_back(Arc::new(change));
    }

    /// Keeps the log within its bounds; changes of one revision go together.
    fn forget(&mut self) {
        while self.log.len() > LOG_CHANGES || self.log_bytes > LOG_BYTES {
            let Some(oldest) = self.log.pop_front() else {
                return;
            };
            self.log_bytes -= oldest.bytes();
            self.forgotten = oldest.revision();
        }
    }

    pub(super) fn new_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    pub(super) fn hold(&mut self, put: &[Op], session: u64) -> u64 {
        self.write(put, Some(session))
    }

    pub(super) fn release(&mut self, key: &str, session: u64) {
        let held = |stored: &Stored| stored.session == Some(session);
        if self.entries.get(key).is_some_and(held) {
            self.apply(&[Op::Delete { key: key.to_owned() }]);
        }
    }

    /// Deletes what it held.
    pub(super) fn end_session(&mut self, session: u64) {
        let held = self
            .entries
            .iter()
            .filter(|(_, stored)| stored.session == Some(session));
        let gone: Vec<_> = held.map(|(key, _)| Op::Delete { key: key.to_string() }).collect();
        self.apply(&gone);
    }

    /// All entries under a prefix.
    pub(super) fn under(&self, prefix: &str) -> Vec<Arc<Entry>> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, stored)| stored.entry.clone())
            .collect()
    }

    /// All entries that outlive the process.
    pub(super) fn lasting(&self) -> Vec<Arc<Entry>> {
        let lasting = self.entries.values().filter(|stored| stored.session.is_none());
        lasting.map(|stored| stored.entry.clone()).collect()
    }

    /// Changes under a prefix after a revision, whole revisions, about as many as asked for; and the revision up to which
    /// these are all. None when they are forgotten.
    pub(super) fn since(
        &self,
        prefix: &str,
        revision: u64,
        most: usize,
        most_bytes: usize,
    ) -> Option<(Vec<Change>, u64)> {
        if revision < self.forgotten {
            return None;
        }
        let from = self.log.partition_point(|change| change.revision() <= revision);
        let (mut changes, mut bytes, mut reached) = (Vec::new(), 0, revision);
        for change in self.log.range(from..) {
            if change.revision() != reached && (changes.len() >= most || bytes >= most_bytes) {
                return Some((changes, reached));
            }
            reached = change.revision();
            if change.key().starts_with(prefix) {
                bytes += change.bytes();
                changes.push(match &**change {
                    Logged::Put(entry) => Change::Put((**entry).clone()),
                    Logged::Delete { key, revision } => Change::Delete {
                        key: key.clone(),
                        revision: *revision,
                    },
                });
            }
        }
        Some((changes, self.revision))
    }
}
