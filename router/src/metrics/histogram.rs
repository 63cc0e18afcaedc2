//! A histogram without a lock: two atomic additions per observation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// What is observed, and in which unit it is shown.
#[derive(Debug)]
pub(super) struct Scale {
    /// Upper bounds of the buckets, in the unit shown, rising.
    bounds: &'static [f64],
    /// Observed units in one unit shown.
    divisor: f64,
}

/// Durations: observed in microseconds, shown in milliseconds.
pub(super) static TIMES: Scale = Scale {
    bounds: &[
        0.5, 1., 2., 5., 10., 20., 50., 75., 100., 200., 500., 1e3, 2e3, 5e3, 1e4, 2e4, 6e4, 1.2e5, 3e5,
    ],
    divisor: 1e3,
};

const MINUTE: f64 = 6e4;
const HOUR: f64 = 60. * MINUTE;
const DAY: f64 = 24. * HOUR;

/// Ages: observed in microseconds, shown in milliseconds, from 30 seconds to 90 days.
pub(super) static AGES: Scale = Scale {
    bounds: &[
        MINUTE / 2.,
        5. * MINUTE,
        15. * MINUTE,
        HOUR,
        4. * HOUR,
        12. * HOUR,
        DAY,
        7. * DAY,
        30. * DAY,
        90. * DAY,
    ],
    divisor: 1e3,
};

const KIB: f64 = 1024.;

/// Sizes of models, in bytes.
pub(super) static MODEL_SIZES: Scale = Scale {
    bounds: &[
        256. * KIB,
        1024. * KIB,
        4096. * KIB,
        16_384. * KIB,
        65_536. * KIB,
        262_144. * KIB,
        1_048_576. * KIB,
        4_194_304. * KIB,
    ],
    divisor: 1.,
};

/// Sizes of messages, in bytes.
pub(super) static MESSAGE_SIZES: Scale = Scale {
    bounds: &[
        128.,
        512.,
        2. * KIB,
        8. * KIB,
        32. * KIB,
        128. * KIB,
        512. * KIB,
        2048. * KIB,
    ],
    divisor: 1.,
};

/// A histogram without a lock. Clones share their counts.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    scale: &'static Scale,
    /// One per bound, and one for what is beyond the last.
    buckets: Arc<[AtomicU64]>,
    sum: Arc<AtomicU64>,
}

impl Histogram {
    /// Observations so far.
    pub(super) fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn new(scale: &'static Scale) -> Self {
        let buckets = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            scale,
            buckets,
            sum: Arc::default(),
        }
    }

    pub(super) fn observe(&self, value: u64) {
        let shown = value as f64 / self.scale.divisor;
        let bucket = self.scale.bounds.partition_point(|bound| *bound < shown);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let bounds = self.scale.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds
            .zip(self.buckets.iter().map(|count| count.load(Ordering::Relaxed)))
            .collect();
        // From the same reading, so that the count equals the last bucket.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum.load(Ordering::Relaxed) as f64 / self.scale.divisor;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
