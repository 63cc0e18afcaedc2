//! Metrics of the admission server. Labels are kinds, rules and a few words: no label grows with what is sent.

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::{answer::Outcome, paths::Purpose};
use crate::Kind;

/// Metrics. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    durations: Family<PurposeLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    rejected: Family<RejectLabels, Counter>,
    expiry: Gauge<f64, AtomicU64>,
    reloads: Family<ResultLabels, Counter>,
    fresh: Family<SourceLabels, Gauge>,
    updated: Family<SourceLabels, Gauge<f64, AtomicU64>>,
    skipped: Family<SourceLabels, Counter>,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    purpose: &'static str,
    kind: &'static str,
    operation: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    rule: &'static str,
    severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurposeLabels {
    purpose: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

/// A review under way, as a gauge.
#[derive(Debug)]
pub(super) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// 25 microseconds to 0.8 seconds.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(25e-6, 2.0, 16))
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: Family::default(),
            findings: Family::default(),
            durations: Family::new_with_constructor(durations as fn() -> Histogram),
            in_flight: Gauge::default(),
            rejected: Family::default(),
            expiry: Gauge::default(),
            reloads: Family::default(),
            fresh: Family::default(),
            updated: Family::default(),
            skipped: Family::default(),
            leader: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("stowage_webhook");
        registry.register("reviews", "Reviews that were answered", metrics.reviews.clone());
        registry.register("findings", "Findings of rules", metrics.findings.clone());
        registry.register(
            "review_duration_seconds",
            "From the head of a request to its answer, with the time that the body took",
            metrics.durations.clone(),
        );
        registry.register(
            "reviews_in_flight",
            "Requests that are being worked on",
            metrics.in_flight.clone(),
        );
        registry.register(
            "requests_rejected",
            "Requests without a review: busy (429), late (503), malformed (400)",
            metrics.rejected.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate in use expires; 0 before there is one",
            metrics.expiry.clone(),
        );
        registry.register(
            "certificate_loads",
            "New certificates that were taken, or not",
            metrics.reloads.clone(),
        );
        registry.register(
            "source_fresh",
            "1 while what is known of this source is up to date",
            metrics.fresh.clone(),
        );
        registry.register(
            "source_updated_timestamp_seconds",
            "When this source was last heard of",
            metrics.updated.clone(),
        );
        registry.register(
            "objects_skipped",
            "Objects of this source that could not be read",
            metrics.skipped.clone(),
        );
        registry.register(
            "leader",
            "1 while this replica keeps certificates and webhook configurations",
            metrics.leader.clone(),
        );
        metrics
    }

    pub(super) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(super) fn reviewed(&self, purpose: Purpose, operation: &str, outcome: &Outcome, elapsed: Duration) {
        let purpose = purpose.as_str();
        let labels = ReviewLabels {
            purpose,
            kind: outcome.kind.map_or("other", Kind::name),
            operation: match operation {
                "CREATE" => "CREATE",
                "UPDATE" => "UPDATE",
                "DELETE" => "DELETE",
                _ => "other",
            },
            verdict: outcome.verdict.as_str(),
        };
        self.reviews.get_or_create(&labels).inc();
        for (rule, severity) in &outcome.rules {
            let severity = severity.as_str();
            self.findings
                .get_or_create(&FindingLabels { rule, severity })
                .inc();
        }
        self.durations
            .get_or_create(&PurposeLabels { purpose })
            .observe(elapsed.as_secs_f64());
    }

    fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&RejectLabels { reason }).inc();
    }

    pub(super) fn shed(&self) {
        self.rejected("busy");
    }

    pub(super) fn late(&self) {
        self.rejected("late");
    }

    pub(super) fn malformed(&self) {
        self.rejected("malformed");
    }

    /// A certificate that is served from now on.
    pub(crate) fn certificate_taken(&self, not_after: SystemTime) {
        self.expiry.set(seconds(not_after));
        self.reloads
            .get_or_create(&ResultLabels { result: "taken" })
            .inc();
    }

    /// A certificate that cannot be served.
    pub(crate) fn certificate_refused(&self) {
        self.reloads
            .get_or_create(&ResultLabels { result: "refused" })
            .inc();
    }

    /// Whether a source can be trusted.
    pub(crate) fn source(&self, source: &'static str, fresh: bool) {
        self.fresh
            .get_or_create(&SourceLabels { source })
            .set(i64::from(fresh));
    }

    /// Something was heard of a source.
    pub(crate) fn heard(&self, source: &'static str) {
        self.updated
            .get_or_create(&SourceLabels { source })
            .set(seconds(SystemTime::now()));
    }

    /// An object that could not be read.
    pub(crate) fn skipped(&self, source: &'static str) {
        self.skipped.get_or_create(&SourceLabels { source }).inc();
    }

    /// Whether this replica leads.
    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
