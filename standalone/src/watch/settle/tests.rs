use proptest::prelude::*;

use super::*;
use crate::models::Model;

const QUIET: u64 = 300;

fn models(all: &[(&str, u64)]) -> Models {
    all.iter()
        .map(|(name, stamp)| {
            let model = Model {
                id: format!("{name}-{stamp}"),
                path: format!("{name}.onnx"),
                files: if name.starts_with("big") { 2 } else { 1 },
                bytes: *stamp,
            };
            ((*name).to_owned(), model)
        })
        .collect()
}

/// Observes, carries everything out, and returns names with `+` or `-` before them.
fn step(
    settle: &mut Settle,
    now_ms: u64,
    seen: &[(&str, u64)],
    renamed: &[&str],
) -> (Vec<String>, Option<u64>) {
    let step = settle.observe(now_ms, &models(seen), |path| renamed.contains(&path));
    let done = step.operations.into_iter().map(|operation| {
        let sign = if matches!(operation, Operation::Set { .. }) {
            '+'
        } else {
            '-'
        };
        let text = format!("{sign}{}", operation.name());
        settle.applied(operation);
        text
    });
    (done.collect(), step.wake_ms)
}

fn none(wake_ms: u64) -> (Vec<String>, Option<u64>) {
    (vec![], Some(wake_ms))
}

fn done(operations: &[&str]) -> (Vec<String>, Option<u64>) {
    (operations.iter().map(|text| (*text).to_owned()).collect(), None)
}

#[test]
fn a_growing_file_waits_until_it_is_quiet() {
    let mut settle = Settle::new(QUIET);
    assert_eq!(step(&mut settle, 0, &[("m", 1)], &[]), none(300));
    assert_eq!(step(&mut settle, 200, &[("m", 2)], &[]), none(500));
    assert_eq!(step(&mut settle, 450, &[("m", 3)], &[]), none(750));
    assert_eq!(step(&mut settle, 749, &[("m", 3)], &[]), none(750));
    assert_eq!(step(&mut settle, 750, &[("m", 3)], &[]), done(&["+m"]));
    assert_eq!(step(&mut settle, 751, &[("m", 3)], &[]), done(&[]));
}

#[test]
fn a_rename_counts_at_once() {
    let mut settle = Settle::new(QUIET);
    assert_eq!(step(&mut settle, 0, &[("m", 1)], &["m.onnx"]), done(&["+m"]));
    assert_eq!(step(&mut settle, 1, &[("m", 2)], &["m.onnx"]), done(&["+m"]));
    assert_eq!(
        step(&mut settle, 2, &[("big", 1), ("m", 2)], &["big.onnx"]),
        none(302)
    );
}

#[test]
fn a_name_that_is_gone_for_a_moment_is_kept() {
    let mut settle = Settle::new(QUIET);
    step(&mut settle, 0, &[("m", 1)], &["m.onnx"]);
    assert_eq!(step(&mut settle, 10, &[], &[]), none(310));
    assert_eq!(step(&mut settle, 100, &[("m", 1)], &[]), done(&[]));
    assert_eq!(step(&mut settle, 200, &[], &[]), none(500));
    assert_eq!(step(&mut settle, 500, &[], &[]), done(&["-m"]));
    assert!(settle.models().is_empty());
}

#[test]
fn what_failed_is_tried_again_at_the_next_look() {
    let mut settle = Settle::new(QUIET);
    let seen = models(&[("m", 1)]);
    settle.observe(0, &seen, |_| false);
    let first = settle.observe(300, &seen, |_| false);
    assert_eq!(first.operations.len(), 1);
    assert_eq!(settle.observe(301, &seen, |_| false), first);

    let mut settle = Settle::new(QUIET);
    let first = settle.observe(500, &seen, |_| true);
    assert_eq!(settle.observe(501, &seen, |_| false), first);
}

proptest! {
    #[test]
    fn nothing_moves_before_it_was_quiet_and_everything_does_after(
        looks in proptest::collection::vec(
            (1_u64..500, proptest::collection::btree_map("[a-c]", 0_u64..3, 0..3)), 1..30,
        ),
    ) {
        let mut settle = Settle::new(QUIET);
        let mut now = 0;
        let mut since = std::collections::BTreeMap::<String, (Option<u64>, u64)>::new();
        let mut last = Models::new();
        for (wait, names) in looks {
            now += wait;
            for name in ["a", "b", "c"] {
                let stamp = names.get(name).copied();
                let known = since.entry(name.to_owned()).or_insert((None, 0));
                if known.0 != stamp {
                    *known = (stamp, now);
                }
            }
            let seen: Vec<_> = names.iter().map(|(name, stamp)| (name.as_str(), *stamp)).collect();
            last = models(&seen);
            for operation in settle.observe(now, &last, |_| false).operations {
                prop_assert!(now - since[operation.name()].1 >= QUIET);
                settle.applied(operation);
            }
        }
        settle.observe(now, &last, |_| false);
        for operation in settle.observe(now + QUIET, &last, |_| false).operations {
            settle.applied(operation);
        }
        prop_assert_eq!(settle.models(), &last);
    }
}
