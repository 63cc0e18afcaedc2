//! Counters of one model.
//!
//! An inference is counted when it has ended, all of its counters in one step: whoever reads them finds as many queue
//! times as compute times. Triton's `perf_analyzer` ends itself where they differ.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// What a model's inferences took. Held for a few additions at a time.
#[derive(Debug, Default)]
pub(super) struct Stats(Mutex<Totals>);

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Requests that were answered, from their arrival.
    pub(super) success: Total,
    /// Requests that were not. They count here alone, as in Triton.
    pub(super) fail: Total,
    /// Time for which answered requests waited.
    pub(super) queue: Total,
    /// Checking the inputs of answered requests.
    pub(super) input: Total,
    /// Running the model for answered requests.
    pub(super) infer: Total,
    /// Making the answers.
    pub(super) output: Total,
    /// Rows that were asked for; a request without a batch dimension is one.
    pub(super) inferences: u64,
    /// When the last inference ended, ms since the epoch; 0 = none has.
    pub(super) last_ms: u64,
}

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) count: u64,
    pub(super) ns: u64,
}

/// The steps of one inference.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub(super) queue: Duration,
    pub(super) input: Duration,
    pub(super) infer: Duration,
    pub(super) output: Duration,
    pub(super) rows: u64,
}

impl Total {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(nanos(took));
    }
}

impl Stats {
    /// Counts an inference that was answered after this time.
    pub(super) fn succeeded(&self, took: Duration, steps: &Steps) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Steps {
            queue,
            input,
            infer,
            output,
            rows,
        } = *steps;
        let mut totals = self.0.lock();
        totals.success.add(took);
        totals.queue.add(queue);
        totals.input.add(input);
        totals.infer.add(infer);
        totals.output.add(output);
        totals.inferences = totals.inferences.saturating_add(rows);
        totals.last_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    }

    /// Counts one that failed after this time.
    pub(super) fn failed(&self, took: Duration) {
        self.0.lock().fail.add(took);
    }

    /// The counters now.
    pub(super) fn read(&self) -> Totals {
        *self.0.lock()
    }
}

/// Nanoseconds; what does not fit is the longest time there is.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn failures_count_apart() {
        let stats = Stats::default();
        stats.failed(Duration::from_nanos(7));
        let totals = stats.read();
        assert_eq!(totals.fail, Total { count: 1, ns: 7 });
        assert_eq!((totals.queue.count, totals.inferences, totals.last_ms), (0, 0, 0));
    }

    #[test]
    fn readers_see_whole_inferences() {
        let stats = Stats::default();
        let steps = Steps {
            queue: Duration::from_nanos(1),
            input: Duration::from_nanos(2),
            infer: Duration::from_nanos(3),
            output: Duration::from_nanos(4),
            rows: 5,
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..1000).for_each(|_| stats.succeeded(Duration::from_nanos(10), &steps)));
            }
            loop {
                let totals = stats.read();
                let count = totals.success.count;
                for (total, ns) in [
                    (totals.success, 10),
                    (totals.queue, 1),
                    (totals.input, 2),
                    (totals.infer, 3),
                    (totals.output, 4),
                ] {
                    let expected = Total {
                        count,
                        ns: ns * count,
                    };
                    assert_eq!(total, expected);
                }
                assert_eq!(totals.inferences, 5 * count);
                if count == 2000 {
                    break;
                }
            }
        });
        assert!(stats.read().last_ms > 0);
    }
}
