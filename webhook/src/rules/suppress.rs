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

/// Reports suppressions that do nothing.
pub(crate) fn check(annotations: &Node<'_>, out: &mut Findings<'_>) {
    for (id, node) in wishes(annotations) {
        match rule_of(id, &node) {
            Ok(_) => {}
            Err(Idle::Unknown) => {
                let hint = suggest::nearest(id, table::RULES.iter().map(|rule| rule.id));
                out.push(&SUPPRESSION, &node, format!("there is no rule `{id}`"))
                    .hint(hint.map(|near| format!("did you mean `{near}`?")));
            }
            Err(Idle::Holds) => {
                let message = format!("`{id}` cannot be suppressed: it holds in compat mode too");
                out.push(&SUPPRESSION, &node, message);
            }
            Err(Idle::NoReason) => {
                let message = format!("suppressing `{id}` needs a reason as the annotation's value");
                out.push(&SUPPRESSION, &node, message);
            }
        }
    }
}

/// Marks the findings that the object asks to be spared.
pub(crate) fn apply(annotations: &Node<'_>, found: &mut [Finding]) {
    for (id, node) in wishes(annotations) {
        let Ok(rule) = rule_of(id, &node) else { continue };
        for finding in found.iter_mut().filter(|finding| finding.rule.id == rule.id) {
            finding.severity = Severity::Warn;
            finding.suppressed = Some(node.text().trim().to_owned());
        }
    }
}

/// Ids of rules, and the annotations that name them.
fn wishes<'a>(annotations: &Node<'a>) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
    annotations
        .members()
        .filter_map(|(key, node)| Some((key.strip_prefix(PREFIX)?, node)))
}

/// Why a suppression does nothing.
enum Idle {
    Unknown,
    Holds,
    NoReason,
}

/// The rule that is suppressed.
fn rule_of(id: &str, annotation: &Node<'_>) -> Result<&'static Rule, Idle> {
    let rule = table::find(id).ok_or(Idle::Unknown)?;
    if rule.compat == Severity::Deny || rule.id == SUPPRESSION.id {
        Err(Idle::Holds)
    } else if annotation.text().trim().is_empty() {
        Err(Idle::NoReason)
    } else {
        Ok(rule)
    }
}
