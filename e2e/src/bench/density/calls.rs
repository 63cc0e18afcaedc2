//! Hits and misses: which calls waited for a load, and how long calls took.
//!
//! Nothing in an answer says whether its model was loaded when the call came. The server's log does: it has a line with
//! the time for every copy that begins to serve. A call was a miss when a copy of its model began to serve between the
//! sending of the call and its answer: before that moment there was none, or it was on its way out. Both clocks are the
//! machine's. A call that was sent microseconds before that moment may count as a miss although it found the copy.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;

use super::{load::Call, server::Serves};

/// Percentiles that are kept, in hundredths of a percent.
const PERCENTILES: [usize; 18] = [
    100, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 9500, 9800, 9900, 9950, 9990, 9999,
    10_000,
];

/// How long calls took, from the time for which they were scheduled. Milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latencies {
    /// Calls.
    pub count: usize,
    /// Mean.
    pub mean_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// 999 of 1000 took no longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Percent of the calls, and the time within which they were answered.
    pub curve: Vec<(f64, f64)>,
}

impl Latencies {
    /// Of these times, in any order.
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |hundredths: usize| {
            let rank = times.len().saturating_mul(hundredths).div_ceil(10_000);
            times.get(rank.max(1) - 1).copied().unwrap_or_default()
        };
        Self {
            count: times.len(),
            mean_ms: times.iter().sum::<f64>() / times.len().max(1) as f64,
            p50_ms: at(5000),
            p99_ms: at(9900),
            p999_ms: at(9990),
            max_ms: at(10_000),
            curve: PERCENTILES.map(|part| (part as f64 / 100.0, at(part))).to_vec(),
        }
    }
}

/// What came of calls by the clock.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    /// Calls to models that were loaded.
    pub hits: Latencies,
    /// Calls that waited for a load.
    pub misses: Latencies,
    /// How late the load generator sent calls.
    pub late: Latencies,
}

/// Tells hits from misses. `serves` has times after the same start as `calls`.
pub fn split(calls: &[Call], serves: &[Serves]) -> Split {
    let mut moments: HashMap<usize, Vec<Duration>> = HashMap::new();
    for Serves { model, at } in serves {
        moments.entry(*model).or_default().push(*at);
    }
    let waited = |call: &&Call| {
        moments
            .get(&call.model)
            .is_some_and(|moments| moments.iter().any(|at| (call.sent..=call.done).contains(at)))
    };
    let (misses, hits): (Vec<&Call>, Vec<&Call>) = calls.iter().partition(waited);
    let took = |calls: Vec<&Call>| {
        Latencies::of(
            calls
                .into_iter()
                .map(|call| call.done.saturating_sub(call.scheduled)),
        )
    };
    Split {
        hits: took(hits),
        misses: took(misses),
        late: Latencies::of(calls.iter().map(|call| call.sent.saturating_sub(call.scheduled))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let latencies = Latencies::of((1..=100).rev().map(ms));
        assert_eq!(latencies.count, 100);
        for (got, wanted) in [
            (latencies.p50_ms, 50.0),
            (latencies.p99_ms, 99.0),
            (latencies.p999_ms, 100.0),
            (latencies.max_ms, 100.0),
            (latencies.mean_ms, 50.5),
        ] {
            assert!((got - wanted).abs() < 1e-9, "{got} {wanted}");
        }
        assert_eq!(Latencies::of(std::iter::empty()).count, 0);
    }

    #[test]
    fn a_call_that_saw_a_load_end_is_a_miss() {
        let call = |model, scheduled, sent, done| Call {
            model,
            scheduled: ms(scheduled),
            sent: ms(sent),
            done: ms(done),
        };
        let serves = [Serves { model: 1, at: ms(50) }, Serves { model: 1, at: ms(90) }];
        let calls = [
            call(1, 0, 40, 60),
            call(1, 60, 61, 70),
            call(2, 40, 41, 95),
            call(1, 85, 86, 91),
        ];
        let Split { hits, misses, late } = split(&calls, &serves);
        assert_eq!((hits.count, misses.count), (2, 2));
        assert!((misses.max_ms - 60.0).abs() < 1e-9, "counted from the schedule");
        assert!((late.max_ms - 40.0).abs() < 1e-9);
    }
}
