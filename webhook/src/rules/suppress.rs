//! Annotations by which an object asks to be spared a finding.

use super::{Rule, WARN, sink::Findings, table};
use crate::{
    finding::{Finding, Severity},
    node::Node,
    review::Kind,
    suggest,
};

/// `stowage.dev/suppress.IS-C05: reason`.
pub const PREFIX: &str = "stowage.dev/suppress.";

pub(crate) static SUPPRESSION: Rule = Rule {
    id: "OB-A01",
    title: "suppressions",
    scope: &Kind::ALL,
    doc: "An annotation `stowage.dev/suppress.RULE` names a rule that can be suppressed, and gives a reason.",
    why: "A suppression that does nothing, or that nobody can explain later, hides mistakes.",
    fix: "Correct the rule's id, write the reason as the value, or remove the annotation. What compat mode denies \
          cannot be suppressed.",
    ..WARN
};

struct Suppression<'a> {
    rule: &'a str,
    reason: &'a str,
}

/// Marks the findings that the object asks to be spared, and reports suppressions that do nothing.
pub(crate) fn apply(annotations: &Node<'_>, out: &mut Findings<'_>) {
    let mut wanted = Vec::new();
    for (key, node) in annotations.members() {
        let Some(id) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let reason = node.text().trim();
        let Some(rule) = table::find(id) else {
            let hint = suggest::nearest(id, table::RULES.iter().map(|rule| rule.id));
            out.push(&SUPPRESSION, &node, format!("there is no rule `{id}`"))
                .hint(hint.map(|near| format!("did you mean `{near}`?")));
            continue;
        };
        if rule.compat == Severity::Deny {
            out.push(
                &SUPPRESSION,
                &node,
                format!("`{id}` cannot be suppressed: it holds in compat mode too"),
            );
        } else if reason.is_empty() {
            out.push(
                &SUPPRESSION,
                &node,
                format!("suppressing `{id}` needs a reason as the annotation's value"),
            );
        } else {
            wanted.push(Suppression {
                rule: rule.id,
                reason,
            });
        }
    }
    for finding in &mut out.list {
        if let Some(suppression) = wanted.iter().find(|suppression| covers(suppression, finding)) {
            finding.severity = Severity::Warn;
            finding.suppressed = Some(suppression.reason.to_owned());
        }
    }
}

fn covers(suppression: &Suppression<'_>, finding: &Finding) -> bool {
    suppression.rule == finding.rule.id && finding.rule.id != SUPPRESSION.id
}
