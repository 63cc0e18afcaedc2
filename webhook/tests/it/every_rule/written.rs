//! The cases as data, for tests that ask a real API server: `tests/every_rule.jsonl`, a line for each case.

use std::{fs, path::PathBuf};

use serde_json::json;
use webhook::Operation;

use super::cases;

/// Rewrites the file instead of comparing it.
const UPDATE: &str = "STOWAGE_UPDATE";

#[test]
fn the_cases_are_written_down() {
    let lines = cases()
        .iter()
        .filter(|case| case.operation != Some(Operation::Delete) && !case.stale)
        .map(|case| {
            let case = json!({"rule": case.rule, "bad": case.bad, "good": case.good, "old": case.old});
            case.to_string() + "\n"
        });
    let wanted: String = lines.collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/every_rule.jsonl");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &wanted).expect("the checkout can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is out of date: run this test with {UPDATE}=1",
        path.display()
    );
}
