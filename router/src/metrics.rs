//! Metrics of the router: upstream's names where the meaning is the same, `stowage_*` for the rest.
//!
//! A child is looked up once and held; recording is a few atomic additions. No label grows without a bound.

mod histogram;
pub mod info;
mod instance;
mod requests;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

pub use self::requests::MethodMetrics;
use self::{
    histogram::{AGES, Histogram, MODEL_SIZES, TIMES},
    instance::Instance,
    requests::Requests,
};
use crate::{
    cache::CacheUsage,
    core::copies::{Note, Refusal},
};

/// What is measured beyond the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsOptions {
    /// Models whose requests have labels of their own (`per_model_metrics`); the others share `_other`. 0 = off.
    pub max_labeled_models: usize,
    /// Methods are labeled by `package.Service/Method` instead of `Method` (`fq_names`).
    pub full_names: bool,
}

/// Metrics of the router. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    all: Arc<All>,
}

#[derive(Debug)]
struct All {
    requests: Requests,
    instance: Arc<Instance>,
    managed: Gauge,
    cache_miss: Histogram,
    load: Histogram,
    unload: Histogram,
    sizing: Histogram,
    slot_delay: Histogram,
    queue_delay: Histogram,
    age_at_eviction: Histogram,
    model_size: Histogram,
    load_failure: Bare,
    unload_failure: Bare,
    unload_attempt_failure: Bare,
    refusals: Family<RefusalLabels, Counter>,
}

/// A counter whose name does not end in `_total`, as upstream's do not.
#[derive(Clone, Debug, Default)]
struct Bare(Gauge);

impl TypedMetric for Bare {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Bare {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: RefusalReason,
}

/// Bounds that bite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
enum RefusalReason {
    model_queue_overload,
    too_many_waiting,
    load_queue_full,
    not_worth_evicting,
    load_failed,
}

impl Metrics {
    /// Registers everything in `registry`, under full names.
    pub fn new(registry: &mut Registry, options: MetricsOptions) -> Self {
        let metrics = Self::unregistered(options);
        metrics.register(registry);
        metrics
    }

    fn unregistered(options: MetricsOptions) -> Self {
        let times = || Histogram::new(&TIMES);
        let all = All {
            requests: Requests::new(options),
            instance: Arc::default(),
            managed: Gauge::default(),
            cache_miss: times(),
            load: times(),
            unload: times(),
            sizing: times(),
            slot_delay: times(),
            queue_delay: times(),
            age_at_eviction: Histogram::new(&AGES),
            model_size: Histogram::new(&MODEL_SIZES),
            load_failure: Bare::default(),
            unload_failure: Bare::default(),
            unload_attempt_failure: Bare::default(),
            refusals: Family::default(),
        };
        Self { all: Arc::new(all) }
    }

    fn register(&self, registry: &mut Registry) {
        let all = &*self.all;
        all.requests.register(registry);
        let histograms = [
            (
                "modelmesh_cache_miss_milliseconds",
                "Time of requests until a load was done",
                &all.cache_miss,
            ),
            ("modelmesh_loadmodel_milliseconds", "Time of loads", &all.load),
            (
                "modelmesh_unloadmodel_milliseconds",
                "Time of unloads",
                &all.unload,
            ),
            (
                "modelmesh_model_sizing_milliseconds",
                "Time of size measurements",
                &all.sizing,
            ),
            (
                "modelmesh_req_queue_delay_milliseconds",
                "Time of requests until a slot was free",
                &all.slot_delay,
            ),
            (
                "modelmesh_loading_queue_delay_milliseconds",
                "Time of loads until their turn",
                &all.queue_delay,
            ),
            (
                "modelmesh_age_at_eviction_milliseconds",
                "Time since the last use",
                &all.age_at_eviction,
            ),
            (
                "modelmesh_loaded_model_size_bytes",
                "Size of models when loaded",
                &all.model_size,
            ),
        ];
        for (name, help, histogram) in histograms {
            registry.register(name, help, histogram.clone());
        }
        let counters = [
            (
                "modelmesh_loadmodel_failure",
                "Loads that failed",
                &all.load_failure,
            ),
            (
                "modelmesh_unloadmodel_failure",
                "Unloads given up",
                &all.unload_failure,
            ),
            (
                "modelmesh_unloadmodel_attempt_failure",
                "Tries of unloads that failed",
                &all.unload_attempt_failure,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "modelmesh_models_managed_total",
            "Registered models",
            all.managed.clone(),
        );
        registry.register(
            "stowage_cache_refusals",
            "Requests refused by the cache",
            all.refusals.clone(),
        );
        registry.register_collector(Box::new(all.instance.clone()));
    }

    /// Where calls of a method are counted, by its full path. Look it up once per request; unknown methods share
    /// `_other`.
    pub fn method(&self, path: &str) -> Arc<MethodMetrics> {
        self.all.requests.method(path)
    }

    /// Gives a method a label of its own: for methods that a runtime names, or that it has answered.
    ///
    /// The number of methods is bounded; those beyond the bound share `_other`.
    pub fn admit_method(&self, path: &str) {
        self.all.requests.admit(path);
    }

    /// Where calls of a method to a model are counted: the same as the method's, unless models have labels.
    pub fn model(
        &self,
        method: &Arc<MethodMetrics>,
        model: &str,
        vmodel: Option<&str>,
    ) -> Arc<MethodMetrics> {
        self.all.requests.model(method, model, vmodel)
    }

    /// Number of registered models.
    pub fn set_managed(&self, models: usize) {
        self.all.managed.set(i64::try_from(models).unwrap_or(i64::MAX));
    }

    /// A model is gone: so are its series.
    pub fn remove_model(&self, id: &str) {
        self.all.requests.remove_model(id);
    }

    pub(crate) fn watch_instance(&self, usage: impl Fn() -> Option<CacheUsage> + Send + Sync + 'static) {
        self.all.instance.watch(usage);
    }

    /// A request has waited for a slot of a loaded copy, or for a load.
    pub(crate) fn waited(&self, was_loaded: bool, took: Duration) {
        let waits = if was_loaded {
            &self.all.slot_delay
        } else {
            &self.all.cache_miss
        };
        waits.observe(micros(took));
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        let reason = match refusal {
            Refusal::Overloaded => RefusalReason::model_queue_overload,
            Refusal::TooManyWaiting => RefusalReason::too_many_waiting,
            Refusal::QueueFull => RefusalReason::load_queue_full,
            Refusal::NotWorthIt => RefusalReason::not_worth_evicting,
            Refusal::Failed(_) => RefusalReason::load_failed,
            Refusal::NotLoading | Refusal::Removed | Refusal::ShuttingDown => return,
        };
        self.all.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Loads that succeeded and that failed, since the start.
    pub fn loads(&self) -> (u64, u64) {
        let failed = self.all.load_failure.0.get();
        (self.all.load.count(), u64::try_from(failed).unwrap_or(0))
    }

    pub(crate) fn note(&self, note: &Note) {
        let all = &*self.all;
        let from_ms = |ms: u64| ms.saturating_mul(1000);
        match note {
            Note::Turn { queued } => all.queue_delay.observe(from_ms(*queued)),
            Note::Measured { took } => all.sizing.observe(from_ms(*took)),
            Note::Loaded { took } => all.load.observe(from_ms(*took)),
            Note::Serves { bytes } => all.model_size.observe(*bytes),
            Note::LoadFailed { .. } => {
                all.load_failure.0.inc();
            }
            Note::Evicted { age } => all.age_at_eviction.observe(from_ms(*age)),
            Note::Unloaded { took } => all.unload.observe(from_ms(*took)),
            Note::UnloadTryFailed { .. } => {
                all.unload_attempt_failure.0.inc();
            }
            Note::UnloadFailed { .. } => {
                all.unload_failure.0.inc();
            }
        }
    }
}

impl Default for Metrics {
    /// Counts, but is registered nowhere.
    fn default() -> Self {
        Self::unregistered(MetricsOptions::default())
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
