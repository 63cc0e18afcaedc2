//! What is evicted: the cache of a router beside other rules and beside what is best in hindsight.
//!
//! Every model that is asked for has to be loaded, so a rule only chooses who leaves. Compared are the real
//! [`crate::core::cache::WeightedCache`], "least recently used" (ModelMesh's rule), and S3-FIFO; the bounds are the best set that
//! never changes (its models count as loaded from the start) and Belady's choice, which knows the future.

mod bound;
mod rule;
mod table;
mod trace;

pub use rule::Rule;
pub use table::{compare_all, lines, markdown};
pub use trace::{Trace, Workload};

/// Parts of all models that fit, in percent.
pub const CAPACITIES: [u32; 3] = [5, 10, 20];

/// Models of each trace.
pub const MODELS: u32 = 1_000;
/// Requests of each trace.
pub const REQUESTS: usize = 60_000;

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
    use super::{Row, Rule, Workload, compare_all, markdown};

    /// What `simulate policies` writes, between two marks in the document.
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulation.md");
    const MARKS: [&str; 2] = ["<!-- table: policies -->\n", "<!-- end of table -->"];

    #[test]
    fn the_cache_comes_close_to_the_best_fixed_set_and_the_document_says_how_close() {
        let rows = compare_all();
        for row in &rows {
            check(row);
        }
        let document = std::fs::read_to_string(DOCUMENT).expect("docs/simulation.md");
        let (begin, rest) = document.split_once(MARKS[0]).expect("the first mark");
        let (table, end) = rest.split_once(MARKS[1]).expect("the second mark");
        let now = markdown(&rows);
        if std::env::var_os("STOWAGE_WRITE_DOCS").is_some() {
            let document = [begin, MARKS[0], &now, MARKS[1], end].concat();
            std::fs::write(DOCUMENT, document).expect("docs/simulation.md can be written");
        } else {
            assert_eq!(table, now, "docs/simulation.md is old: make docs-tables");
        }
    }

    fn check(row: &Row) {
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
        match row.workload {
            Workload::Zipf(_) => assert!(ours.hits >= 0.95 * row.fixed.hits, "{row:?}"),
            // A fixed set of small models hits more often; what loads cost is what counts.
            Workload::Sizes => assert!(ours.reload_ms <= 1.05 * row.fixed.reload_ms, "{row:?}"),
            _ => {}
        }
    }
}
