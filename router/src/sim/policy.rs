//! What is evicted: the cache of a router beside other rules and beside what is best in hindsight.
//!
//! Every model that is asked for has to be loaded, so a rule only chooses who leaves. Compared are the real
//! [`crate::core::cache::WeightedCache`], "least recently used" (ModelMesh's rule), and S3-FIFO; the bounds are the best set that
//! never changes (its models count as loaded from the start) and Belady's choice, which knows the future.

mod bound;
mod rule;
mod trace;

pub use rule::Rule;
pub use trace::{Trace, Workload};

/// Parts of all models that fit, in percent.
pub const CAPACITIES: [u32; 3] = [5, 10, 20];

/// Models of each trace.
pub const MODELS: u32 = 2_000;
/// Requests of each trace.
pub const REQUESTS: usize = 200_000;

/// What came of one rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Part of the requests whose model was loaded.
    pub hits: f64,
    /// Time that loads took, for each request, in milliseconds.
    pub reload_ms: f64,
}

/// What came of all rules for one trace and capacity.
#[derive(Clone, Debug)]
pub struct Row {
    /// The trace.
    pub workload: Workload,
    /// Percent of all models that fit.
    pub capacity: u32,
    /// In the order of [`Rule::ALL`].
    pub rules: Vec<Outcome>,
    /// The best set that never changes.
    pub fixed: Outcome,
    /// The best choice of one who knows the future.
    pub clairvoyant: Outcome,
}

/// Compares all rules.
pub fn compare(workload: Workload, capacity: u32) -> Row {
    let trace = Trace::new(workload, MODELS, REQUESTS);
    let bytes = trace.sizes.iter().sum::<u64>() * u64::from(capacity) / 100;
    Row {
        workload,
        capacity,
        rules: Rule::ALL.iter().map(|rule| rule.run(&trace, bytes)).collect(),
        fixed: bound::fixed(&trace, bytes),
        clairvoyant: bound::clairvoyant(&trace, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITIES, Rule, Workload, compare};

    #[test]
    fn the_cache_comes_close_to_the_best_fixed_set_and_is_better_than_its_rivals() {
        std::thread::scope(|scope| {
            for workload in Workload::ALL {
                for capacity in CAPACITIES {
                    scope.spawn(move || check(workload, capacity));
                }
            }
        });
    }

    fn check(workload: Workload, capacity: u32) {
        let row = compare(workload, capacity);
        let of = |rule| {
            let at = Rule::ALL.iter().position(|one| *one == rule);
            row.rules[at.expect("a rule that is compared")]
        };
        let ours = of(Rule::Ours);
        assert!(ours.hits > of(Rule::LeastRecent).hits, "{row:?}");
        assert!(
            ours.reload_ms > row.clairvoyant.reload_ms,
            "a bound is a bound: {row:?}"
        );
        match workload {
            Workload::Zipf(_) => assert!(ours.hits >= 0.95 * row.fixed.hits, "{row:?}"),
            // A fixed set of small models hits more often; what loads cost is what counts.
            Workload::Sizes => assert!(ours.reload_ms <= 1.05 * row.fixed.reload_ms, "{row:?}"),
            _ => {}
        }
    }
}
