//! This instance as one of many: what it tells the others, and what it remembers of its own decisions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quick_cache::sync::Cache as BoundedMap;
use tokio::sync::{Notify, Semaphore};

use crate::{
    core::fleet::{Constraints, Fleet, InstanceId, Ix, Ledger, LoadTimes, Settings, scale::ScaleSettings},
    model::ModelId,
    peer::Peers,
};

/// Names that nobody has registered, as far as was looked.
const UNKNOWN: usize = 16_384;
/// How long that is believed without a look. The mirror corrects it at once when the name is registered.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Smallest rate that can be enough for one copy, as upstream.
const LEAST_RPM_THRESHOLD: u32 = 10;
/// Copies on average from which their size is a good guess for others. Source: upstream.
const ENOUGH_MODELS: u64 = 10;
/// Looks at the store for unknown names at once.
const LOOKS: usize = 32;

/// What makes a mesh one of many.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Connections to the others.
    pub peers: Arc<Peers>,
    /// Where the others reach this one.
    pub address: std::net::SocketAddr,
    /// Node that it runs on.
    pub location: String,
    /// Zone of that node; empty = unknown.
    pub zone: String,
    /// Labels, for constraints of types.
    pub labels: Vec<String>,
    /// Version of this build; larger is newer, 0 = unknown.
    pub version: u64,
    /// Which types may go where.
    pub constraints: Constraints,
    /// A full fleet takes no further model while everything in it was used within this time, in milliseconds; `None` = by
    /// the runtime's load time-out.
    pub min_churn_age_ms: Option<u64>,
    /// How long a failed load counts, in milliseconds.
    pub failure_expiry_ms: u64,
    /// When there are more copies, and when fewer.
    pub scaling: ScaleSettings,
    /// Whether models are loaded into free memory before anybody asks for them.
    pub proactive: bool,
    /// How often this instance looks whether its record is out of date.
    pub publish_every: Duration,
}

/// See the module's text.
pub(super) struct Cluster {
    pub(super) options: ClusterOptions,
    /// How decisions are made.
    pub(super) settings: Settings,
    pub(super) id: InstanceId,
    pub(super) this: Ix,
    pub(super) start_ms: u64,
    /// Loads that were sent out and that no record shows yet.
    pub(super) ledger: Mutex<Ledger>,
    /// Leaving: what is here still serves, nothing is loaded.
    pub(super) draining: AtomicBool,
    /// There is something to publish.
    pub(super) news: Arc<Notify>,
    load_times: Mutex<LoadTimes>,
    scaling: ArcSwap<ScaleSettings>,
    rpm: AtomicU32,
    /// Bytes of a copy on average; 0 = too few are known.
    average: AtomicU64,
    unknown: BoundedMap<Box<str>, Instant>,
    looks: Semaphore,
}

impl Cluster {
    /// `load_timeout_ms` is the longest load that the runtime allows.
    pub(super) fn new(
        options: ClusterOptions,
        id: &str,
        this: Ix,
        start_ms: u64,
        load_timeout_ms: u64,
    ) -> Self {
        let defaults = Settings::of_load_timeout(load_timeout_ms);
        Self {
            settings: Settings {
                min_churn_age: options.min_churn_age_ms.unwrap_or(defaults.min_churn_age),
                failure_expiry: options.failure_expiry_ms,
                ..defaults
            },
            load_times: Mutex::new(LoadTimes::new(load_timeout_ms)),
            scaling: ArcSwap::from_pointee(options.scaling.clone()),
            rpm: AtomicU32::new(0),
            average: AtomicU64::new(0),
            options,
            id: id.into(),
            this,
            start_ms,
            ledger: Mutex::new(Ledger::new()),
            draining: AtomicBool::new(false),
            news: Arc::new(Notify::new()),
            unknown: BoundedMap::new(UNKNOWN),
            looks: Semaphore::new(LOOKS),
        }
    }

    pub(super) fn peers(&self) -> &Arc<Peers> {
        &self.options.peers
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Time after which a load of this type is probably over, in milliseconds.
    pub(super) fn assumed_load_ms(&self, kind: &str) -> u64 {
        self.load_times.lock().assumed_ms(kind)
    }

    /// A load took so long.
    pub(super) fn loaded_in(&self, kind: &str, took_ms: u64) {
        self.load_times.lock().add(kind, took_ms);
    }

    /// When there are more copies, and when fewer.
    pub(super) fn scaling(&self) -> Arc<ScaleSettings> {
        self.scaling.load_full()
    }

    /// Another rate is enough for one copy from now on; without one, that of the options again.
    pub(super) fn set_rpm_threshold(&self, value: Option<&str>) {
        let rpm_threshold = match value.map(str::parse) {
            None => self.options.scaling.rpm_threshold,
            Some(Ok(rpm)) if rpm >= LEAST_RPM_THRESHOLD => rpm,
            Some(_) => {
                tracing::warn!(
                    value,
                    "the store's scaleup_rpm_threshold is no number from {LEAST_RPM_THRESHOLD} on"
                );
                return;
            }
        };
        let options = self.options.scaling.clone();
        self.scaling.store(Arc::new(ScaleSettings {
            rpm_threshold,
            ..options
        }));
    }

    /// Requests here in the last minute.
    pub(super) fn rpm(&self) -> u32 {
        self.rpm.load(Ordering::Relaxed)
    }

    pub(super) fn set_rpm(&self, rpm: u32) {
        self.rpm.store(rpm, Ordering::Relaxed);
    }

    /// Bytes of a copy on average; `None` = too few are known to say.
    pub(super) fn average_size(&self) -> Option<u64> {
        Some(self.average.load(Ordering::Relaxed)).filter(|average| *average > 0)
    }

    /// Takes the average over this fleet.
    pub(super) fn measure(&self, fleet: &Fleet) {
        let models: u64 = fleet.iter().map(|(_, one)| u64::from(one.models)).sum();
        let used = fleet.iter().map(|(_, one)| one.used).fold(0, u64::saturating_add);
        let average = if models >= ENOUGH_MODELS { used / models } else { 0 };
        self.average.store(average, Ordering::Relaxed);
    }

    /// Nobody registered this name a moment ago.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        let looked = self.unknown.get(name);
        looked.is_some_and(|looked| looked.elapsed() < UNKNOWN_FOR)
    }

    pub(super) fn set_unknown(&self, name: &str) {
        self.unknown.insert(name.into(), Instant::now());
    }

    pub(super) fn set_known(&self, name: &str) {
        self.unknown.remove(name);
    }

    /// One of a few who look at the store for a name.
    pub(super) fn looks(&self) -> &Semaphore {
        &self.looks
    }

    pub(super) fn note_load(&self, instance: Ix, bytes: u64, now_ms: u64) {
        self.ledger.lock().add(instance, bytes, now_ms);
    }
}

/// Models whose records may not say the truth about this instance.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    ids: Mutex<std::collections::BTreeSet<ModelId>>,
    woken: Notify,
}

impl Dirty {
    pub(super) fn add(&self, id: &ModelId) {
        // As many as there are models here, or that were asked for.
        if self.ids.lock().insert(id.clone()) {
            self.woken.notify_one();
        }
    }

    /// Up to `limit` of them, or none.
    pub(super) fn take(&self, limit: usize) -> Vec<ModelId> {
        let mut ids = self.ids.lock();
        std::iter::from_fn(|| ids.pop_first()).take(limit).collect()
    }

    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}
