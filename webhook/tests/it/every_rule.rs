//! For each rule of the table objects that break it and objects that do not.

#![expect(clippy::too_many_lines, reason = "tables of cases")]

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value;
use webhook::{Finding, Mode, Operation, RULES, Request, Severity, Snapshot, rules, validate};

use crate::{
    objects::{kind_of, lines, options, request},
    shipped::{cluster, stale_cluster},
};

mod mesh;
mod other_kinds;
mod runtimes;
mod service_later;
mod service_upstream;
mod whole_objects;
mod written;

/// One rule, an object that breaks it and one that does not.
pub(crate) struct Case {
    pub(crate) rule: &'static str,
    /// Where the finding has to point.
    pub(crate) field: &'static str,
    pub(crate) bad: Value,
    pub(crate) good: Value,
    /// What is stored, for both.
    pub(crate) old: Option<Value>,
    pub(crate) operation: Option<Operation>,
    /// Everything in the cluster is out of date.
    pub(crate) stale: bool,
}

pub(crate) fn case(rule: &'static str, field: &'static str, bad: Value, good: Value) -> Case {
    Case {
        rule,
        field,
        bad,
        good,
        old: None,
        operation: None,
        stale: false,
    }
}

impl Case {
    pub(crate) fn was(mut self, old: Value) -> Self {
        self.old = Some(old);
        self
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.operation = Some(Operation::Delete);
        self
    }

    pub(crate) fn out_of_date(mut self) -> Self {
        self.stale = true;
        self
    }

    pub(crate) fn snapshot(&self) -> &'static Snapshot {
        static FRESH: LazyLock<Snapshot> = LazyLock::new(cluster);
        static STALE: LazyLock<Snapshot> = LazyLock::new(stale_cluster);
        if self.stale { &STALE } else { &FRESH }
    }

    pub(crate) fn request<'a>(&'a self, object: &'a Value) -> Request<'a> {
        let plain = request(kind_of(&self.bad), object, self.old.as_ref());
        Request {
            operation: self.operation.unwrap_or(plain.operation),
            ..plain
        }
    }

    fn look(&self, object: &Value, mode: Mode) -> Vec<Finding> {
        let request = self.request(object);
        let mut findings = validate(&request, self.snapshot(), &options(mode));
        findings.extend(webhook::default(&request, self.snapshot(), &options(mode)).findings);
        findings
    }
}

pub(crate) fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
        let mut cases = whole_objects::cases();
        cases.extend(service_upstream::cases());
        cases.extend(service_later::cases());
        cases.extend(mesh::cases());
        cases.extend(runtimes::cases());
        cases.extend(other_kinds::cases());
        cases
    });
    &CASES
}

#[test]
fn every_rule_is_broken_by_some_object_and_kept_by_another() {
    let mut failures = Vec::new();
    for case in cases() {
        let rule = rules::find(case.rule).unwrap_or_else(|| panic!("{} is no rule", case.rule));
        for mode in [Mode::Compat, Mode::Strict] {
            let wanted = rule.severity(mode);
            let found = case.look(&case.bad, mode);
            let hit = found.iter().any(|finding| {
                finding.rule.id == rule.id
                    && finding.severity == wanted
                    && finding.field.to_string() == case.field
            });
            if !hit {
                let listed = lines(&found);
                failures.push(format!(
                    "{} {mode:?}: no `{wanted}` at `{}`{listed}",
                    rule.id, case.field
                ));
            }
            if wanted == Severity::Deny && !found.iter().any(Finding::denies) {
                failures.push(format!("{} {mode:?}: passes", rule.id));
            }
            let found = case.look(&case.good, mode);
            if found.iter().any(|finding| finding.rule.id == rule.id) {
                failures.push(format!(
                    "{} {mode:?}: a good object breaks it{}",
                    rule.id,
                    lines(&found)
                ));
            }
        }
    }
    crate::shared::report(&failures);
}

#[test]
fn every_rule_has_a_case() {
    let covered: BTreeSet<&str> = cases().iter().map(|case| case.rule).collect();
    let missing: Vec<&str> = RULES
        .iter()
        .map(|rule| rule.id)
        .filter(|id| !covered.contains(id))
        .collect();
    assert!(missing.is_empty(), "no case of {missing:?}");
}

/// What breaks only one rule in a good object is refused for nothing else: messages stay to the point.
#[test]
fn good_objects_pass_in_both_modes() {
    let mut failures = Vec::new();
    for case in cases() {
        let found = case.look(&case.good, Mode::Compat);
        if found.iter().any(Finding::denies) {
            failures.push(format!(
                "{}: its good object is denied{}",
                case.rule,
                lines(&found)
            ));
        }
    }
    crate::shared::report(&failures);
}

#[test]
fn lines_for_a_person_are_short_and_name_the_rule() {
    for case in cases() {
        for finding in case
            .look(&case.bad, Mode::Strict)
            .iter()
            .filter(|finding| finding.rule.id == case.rule)
        {
            let line = finding.to_string();
            assert!(line.ends_with(&format!("[{}]", case.rule)), "{line}");
            assert!(
                !finding.message.is_empty() && !finding.message.ends_with('.'),
                "{line}"
            );
            assert!(finding.message.chars().count() <= 400, "{line}");
        }
    }
}
