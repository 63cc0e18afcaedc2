//! Loads that this router has caused and that the records of their instances do not show yet.
//!
//! Records come with a delay of seconds, and in that time hundreds of models can be missed. Without a memory of its own
//! decisions a router would send all of them to the instance that had the most room.

use std::collections::VecDeque;

use super::Ix;

/// How long a load counts here: until the instance has certainly published its record, or the load is over.
pub(super) const KEEP_MS: u64 = 10_000;
/// Loads that are remembered; beyond that the oldest are forgotten.
pub(super) const MAX_LOADS: usize = 65_536;

/// What is on its way to one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Loads.
    pub loads: u32,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at_ms: u64,
    instance: Ix,
    bytes: u64,
}

/// Loads that were sent out lately.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: VecDeque<Sent>,
    pending: Vec<Pending>,
}

impl Ledger {
    /// Nothing sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a load.
    pub fn add(&mut self, instance: Ix, bytes: u64, now_ms: u64) {
        self.expire(now_ms);
        if self.sent.len() >= MAX_LOADS {
            self.drop_oldest();
        }
        let at = instance as usize;
        if self.pending.len() <= at {
            self.pending.resize(at + 1, Pending::default());
        }
        if let Some(pending) = self.pending.get_mut(at) {
            pending.loads = pending.loads.saturating_add(1);
            pending.bytes = pending.bytes.saturating_add(bytes);
        }
        self.sent.push_back(Sent {
            at_ms: now_ms,
            instance,
            bytes,
        });
    }

    /// The record of an instance has come that was written at `written_ms`: what was sent before is in it.
    pub fn published(&mut self, instance: Ix, written_ms: u64) {
        let pending = &mut self.pending;
        self.sent.retain(|sent| {
            let known = sent.instance == instance && sent.at_ms < written_ms;
            if known {
                take(pending, sent);
            }
            !known
        });
    }

    /// Forgets what is too old. Called by [`Ledger::add`] too.
    pub fn expire(&mut self, now_ms: u64) {
        while self
            .sent
            .front()
            .is_some_and(|sent| sent.at_ms.saturating_add(KEEP_MS) <= now_ms)
        {
            self.drop_oldest();
        }
    }

    /// What is on its way to an instance.
    pub fn pending(&self, instance: Ix) -> Pending {
        self.pending.get(instance as usize).copied().unwrap_or_default()
    }

    fn drop_oldest(&mut self) {
        if let Some(sent) = self.sent.pop_front() {
            take(&mut self.pending, &sent);
        }
    }
}

fn take(pending: &mut [Pending], sent: &Sent) {
    if let Some(pending) = pending.get_mut(sent.instance as usize) {
        pending.loads = pending.loads.saturating_sub(1);
        pending.bytes = pending.bytes.saturating_sub(sent.bytes);
    }
}
