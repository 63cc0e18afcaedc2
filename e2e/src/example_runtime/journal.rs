//! What a runtime was asked to do, and what it held meanwhile.

use std::{collections::HashMap, time::Instant};

/// So many events are kept; a test looks at the first of them.
const MOST_EVENTS: usize = 200_000;

/// What happened to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A load began.
    LoadStarted,
    /// It succeeded.
    Loaded,
    /// It failed, or was canceled.
    LoadFailed,
    /// An unload of a loaded model began.
    UnloadStarted,
    /// Its memory is free.
    Unloaded,
    /// An unload of a model that was not there.
    UnloadedUnknown,
    /// An inference call.
    Called,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
    /// To which model.
    pub model: String,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Journal {
    events: Vec<Event>,
    held: HashMap<String, u64>,
    loading: usize,
    peak_bytes: u64,
    peak_loads: usize,
}

impl Journal {
    pub(super) fn add(&mut self, what: What, model: &str) {
        if self.events.len() < MOST_EVENTS {
            self.events.push(Event {
                at: Instant::now(),
                what,
                model: model.to_owned(),
            });
        }
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn load_starts(&mut self, id: &str, bytes: u64) {
        self.add(What::LoadStarted, id);
        self.held.insert(id.to_owned(), bytes);
        self.loading += 1;
        self.peak_loads = self.peak_loads.max(self.loading);
        self.peak_bytes = self.peak_bytes.max(self.held.values().sum());
    }

    pub(super) fn load_ends(&mut self, id: &str, loaded: bool) {
        self.loading = self.loading.saturating_sub(1);
        if loaded {
            self.add(What::Loaded, id);
        } else {
            self.held.remove(id);
            self.add(What::LoadFailed, id);
        }
    }

    pub(super) fn unload_ends(&mut self, id: &str) {
        self.held.remove(id);
        self.add(What::Unloaded, id);
    }

    /// Everything is gone at once.
    pub(super) fn purged(&mut self) {
        self.held.clear();
        self.loading = 0;
    }

    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    pub(super) fn peak_loads(&self) -> usize {
        self.peak_loads
    }
}
