//! A loaded model with everything that is kept about it while it serves.

use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    engine::LoadedModel,
    stats::{Stats, nanos},
};

/// A model that serves.
pub(super) struct Served {
    pub(super) id: Arc<str>,
    /// Path as it was given, by which a repeated load is recognized.
    pub(super) path: String,
    /// The version it is: the folder's name where that is a number, else what follows a colon in the id, else 1.
    pub(super) version: String,
    pub(super) model: Box<dyn LoadedModel>,
    pub(super) stats: Arc<Stats>,
    /// What an inference costs.
    pub(super) cost: Cost,
    /// Inferences that may run at once.
    pub(super) slots: Option<Arc<Semaphore>>,
    /// Inferences that wait for a slot.
    pub(super) waiting: AtomicUsize,
    /// Inferences that have begun; closed by the unload.
    inflight: TaskTracker,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("id", &self.id)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Served {
    pub(super) fn new(
        id: &Arc<str>,
        path: String,
        file: &Path,
        model: Box<dyn LoadedModel>,
        limit: Option<u32>,
    ) -> Self {
        Self {
            version: version_of(id, file),
            id: Arc::clone(id),
            path,
            model,
            stats: Arc::default(),
            cost: Cost::default(),
            slots: limit.map(|limit| Arc::new(Semaphore::new(limit as usize))),
            waiting: AtomicUsize::new(0),
            inflight: TaskTracker::new(),
        }
    }

    /// Whether a request for this version means this model; an empty one means whatever is served.
    pub(super) fn is_version(&self, version: &str) -> bool {
        version.is_empty() || version == self.version
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.model.size_bytes()
    }

    /// Begins an inference; `None` once the unload has begun.
    pub(super) fn enter(self: Arc<Self>) -> Option<Entered> {
        let token = self.inflight.token();
        // In this order: an unload that did not see the token has closed before the question.
        (!self.inflight.is_closed()).then_some(Entered {
            served: self,
            _token: token,
        })
    }

    /// Lets nobody in any more and waits for those who are.
    pub(super) async fn drained(&self) {
        self.inflight.close();
        self.inflight.wait().await;
    }
}

fn version_of(id: &str, file: &Path) -> String {
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let folder = file.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    let suffix = || id.rsplit_once(':').map(|(_, version)| version).filter(is_number);
    folder.filter(is_number).or_else(suffix).unwrap_or("1").to_owned()
}

/// One inference on a model, which stays in memory for as long as this lives.
#[derive(Debug)]
pub(super) struct Entered {
    // Dropped before the token: when the last token is gone, so are the references.
    pub(super) served: Arc<Served>,
    _token: TaskTrackerToken,
}

/// What one inference costs, learned from those that ran.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// Nanoseconds of a typical inference; 0 = none has run.
    ns: AtomicU64,
    /// Input bytes of a typical inference.
    bytes: AtomicU64,
}

impl Cost {
    /// Learns from an inference: a quarter of the new, three of the old. Races lose a sample, nothing else.
    pub(super) fn learn(&self, took: Duration, bytes: usize) {
        let blend = |old: u64, new: u64| {
            if old == 0 {
                new
            } else {
                (old / 4 * 3).saturating_add(new / 4)
            }
        };
        self.ns
            .store(blend(self.ns.load(Relaxed), nanos(took)).max(1), Relaxed);
        self.bytes
            .store(blend(self.bytes.load(Relaxed), bytes as u64).max(1), Relaxed);
    }

    /// Expected time for this much input; `None` before the first inference. Larger inputs are expected to take
    /// longer in proportion, smaller ones as long as usual.
    pub(super) fn expect(&self, bytes: usize) -> Option<Duration> {
        let ns = self.ns.load(Relaxed);
        let usual = self.bytes.load(Relaxed).max(1);
        let factor = (bytes as u64 / usual).max(1);
        (ns > 0).then(|| Duration::from_nanos(ns.saturating_mul(factor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_folders_or_suffixes() {
        for (id, file, expected) in [
            ("m", "/models/m.onnx", "1"),
            ("m", "/models/m/3/model.onnx", "3"),
            ("m:2", "/models/m/3/model.onnx", "3"),
            ("m:2", "/models/m.onnx", "2"),
            ("urn:x", "/models/m.onnx", "1"),
            ("m:", "/models/3a/m.onnx", "1"),
        ] {
            assert_eq!(version_of(id, Path::new(file)), expected, "{id} {file}");
        }
    }

    #[test]
    fn cost_grows_with_the_input() {
        let cost = Cost::default();
        assert_eq!(cost.expect(100), None);
        cost.learn(Duration::from_micros(100), 100);
        assert_eq!(cost.expect(100), Some(Duration::from_micros(100)));
        assert_eq!(cost.expect(1), Some(Duration::from_micros(100)));
        assert_eq!(cost.expect(10_000), Some(Duration::from_millis(10)));
        assert_eq!(
            cost.expect(usize::MAX).map(|d| d > Duration::from_secs(1)),
            Some(true)
        );
    }
}
