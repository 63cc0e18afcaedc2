//! Copies of requests and responses for observers outside: `MM_PAYLOAD_PROCESSORS`.
//!
//! ```text
//! call -> Tap (copies bytes while they pass) -> finish -> bounded queue -> consumers -> HTTP or log
//! ```
//!
//! Observing never slows a call down: what does not fit into memory or queue is dropped and counted. Without processors
//! there is nothing here but an empty option. Source of the URIs and of the JSON: upstream.

mod event;
mod filter;
mod metadata;
mod sink;
mod tap;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

pub use self::{
    filter::{Processor, ProcessorError, processors},
    metadata::MetadataRule,
    sink::Trust,
    tap::{Ended, Tap},
};
use self::{sink::Sinks, tap::Memory};

/// How often drops and failures are logged.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// Memory for copies that wait, of all calls together: a few of the largest messages.
const MEMORY: usize = 64 << 20;

/// Settings.
#[derive(Clone, Debug)]
pub struct PayloadOptions {
    /// Where to, and what.
    pub processors: Vec<Processor>,
    /// Consumers of the queue; each has connections of its own.
    pub threads: usize,
    /// Calls that wait in the queue.
    pub capacity: usize,
    /// Which metadata goes along.
    pub metadata: MetadataRule,
    /// Who is trusted behind `https`.
    pub trust: Trust,
}

/// What happened to the events.
#[derive(Clone, Debug, Default)]
pub struct PayloadMetrics(Family<OutcomeLabels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
enum Outcome {
    /// Taken by its receiver.
    sent,
    /// Not taken.
    failed,
    /// The queue was full.
    dropped_queue,
    /// There was no memory for another copy.
    dropped_memory,
}

impl PayloadMetrics {
    /// Registers the counter.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "stowage_payload_events",
            "Requests and responses for payload processors, by what became of them",
            self.0.clone(),
        );
    }

    fn count(&self, outcome: Outcome) {
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    fn get(&self, outcome: Outcome) -> u64 {
        self.0.get_or_create(&OutcomeLabels { outcome }).get()
    }
}

/// Processors at work. Cheap to clone.
#[derive(Clone)]
pub struct Payloads(Arc<Inner>);

struct Inner {
    processors: Arc<[Processor]>,
    rule: MetadataRule,
    queue: mpsc::Sender<tap::Job>,
    memory: Arc<Memory>,
    metrics: PayloadMetrics,
    ids: AtomicU64,
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads")
            .field("processors", &self.0.processors)
            .finish_non_exhaustive()
    }
}

impl Payloads {
    /// Starts the consumers; they end when the last clone and every tap is gone. Must be called on a tokio runtime.
    pub fn start(options: PayloadOptions, metrics: PayloadMetrics) -> Result<Self, ProcessorError> {
        let PayloadOptions {
            processors,
            threads,
            capacity,
            metadata,
            trust,
        } = options;
        let processors: Arc<[Processor]> = processors.into();
        let (queue, jobs) = mpsc::channel(capacity.max(1));
        let jobs = Arc::new(AsyncMutex::new(jobs));
        let last_error = Arc::new(Mutex::new(None));
        for _ in 0..threads.max(1) {
            let sinks = Sinks::new(processors.clone(), &trust, metrics.clone(), last_error.clone())?;
            tokio::spawn(consume(jobs.clone(), sinks));
        }
        tokio::spawn(report(metrics.clone(), last_error, queue.downgrade()));
        Ok(Self(Arc::new(Inner {
            processors,
            rule: metadata,
            queue,
            memory: Memory::new(MEMORY),
            metrics,
            ids: AtomicU64::new(0),
        })))
    }

    /// Watches a call of a method (a full path), where any processor may want it.
    pub fn tap(&self, path: &str, metadata: &HeaderMap) -> Option<Arc<Tap>> {
        let method = path.strip_prefix('/').unwrap_or(path);
        let wanted = self
            .0
            .processors
            .iter()
            .any(|processor| processor.wants_method(method));
        wanted.then(|| {
            let id = self.0.ids.fetch_add(1, Ordering::Relaxed) + 1;
            let metadata = self.0.rule.select(metadata);
            Arc::new(Tap::new(id, method.to_owned(), metadata, self.clone()))
        })
    }
}

type Jobs = Arc<AsyncMutex<mpsc::Receiver<tap::Job>>>;

async fn consume(jobs: Jobs, mut sinks: Sinks) {
    loop {
        // Released before the work begins, so that the others go on.
        let job = jobs.lock().await.recv().await;
        let Some(job) = job else { return };
        sinks.process(&job).await;
    }
}

async fn report(
    metrics: PayloadMetrics,
    last_error: Arc<Mutex<Option<String>>>,
    queue: mpsc::WeakSender<tap::Job>,
) {
    let bad = [Outcome::failed, Outcome::dropped_queue, Outcome::dropped_memory];
    let mut before = [0; 3];
    loop {
        tokio::time::sleep(REPORT_INTERVAL).await;
        if queue.upgrade().is_none() {
            return;
        }
        let now = bad.map(|outcome| metrics.get(outcome));
        if now != before {
            let [failed, queue, memory] = std::array::from_fn(|i| now[i] - before[i]);
            let error = last_error.lock().take();
            tracing::warn!(
                failed,
                dropped_for_queue = queue,
                dropped_for_memory = memory,
                error,
                "payloads did not reach their processors"
            );
            before = now;
        }
    }
}

#[cfg(test)]
mod tests;
