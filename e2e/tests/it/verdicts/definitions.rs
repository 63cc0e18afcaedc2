//! The rules that definitions carry, without webhook and policies.

use std::collections::BTreeSet;

use api::resources::cel;

use super::{By, Object, Outcome, STRICT, Site, Verdict, refused_early};

/// Rules that definitions carry in part: at some of their fields, or the simpler of their conditions.
const IN_PART: [&str; 3] = ["IS-V07c", "IS-V13a", "IS-V15c"];
/// Rules of upstream's definitions that its webhook, and so ours in `compat`, leaves to them.
const LEFT_TO_DEFINITIONS: [&str; 1] = ["LM-U01"];

/// Asks about every object as it is after defaulting, and says where a definition's rules do not do what `check` does. What
/// they deny is denied in both modes.
pub(super) async fn compare(site: &Site, verdicts: &[Verdict], compat: &[Verdict]) -> Vec<String> {
    let form = |number: usize, _: &Object| &verdicts[number].defaulted;
    let answers = site.server.ask(&site.objects, form).await;
    let mut failures = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, object) in site.objects.iter().enumerate() {
        let verdict = &verdicts[number];
        let Outcome::Refused { by, message, causes } = &answers[number].outcome else {
            let carried = |rule: &&str| verdict.denied_by.contains(*rule) && is_carried(object, rule);
            let passed: BTreeSet<&str> = cel::RULES.iter().map(|rule| rule.id).filter(carried).collect();
            if !passed.is_empty() {
                failures.push(format!("{object}: {passed:?} let it pass"));
            }
            continue;
        };
        assert_eq!(*by, By::Definition, "{object}: {message}");
        failures.extend(refused_early(object, STRICT, verdict, message));
        for cause in causes {
            let said = |rule: &&cel::Rule| {
                rule.kinds.contains(&object.kind) && cause.message.ends_with(rule.message)
            };
            let Some(rule) = cel::RULES.iter().find(said) else {
                continue;
            };
            seen.insert((rule.id, rule.message));
            let always = LEFT_TO_DEFINITIONS.contains(&rule.id) || compat[number].denied_by.contains(rule.id);
            if !always || !verdict.denied_by.contains(rule.id) {
                failures.push(format!(
                    "{object}: {} {}, {verdict:?}",
                    cause.field, cause.message
                ));
            }
        }
    }
    let unseen = cel::RULES
        .iter()
        .filter(|rule| !seen.contains(&(rule.id, rule.message)));
    failures.extend(unseen.map(|rule| format!("no object is denied by {}: {}", rule.id, rule.message)));
    failures
}

/// Whether the object was written to break a rule that its definition carries.
fn is_carried(object: &Object, rule: &str) -> bool {
    object.breaks.as_deref() == Some(rule)
        && !IN_PART.contains(&rule)
        && cel::RULES
            .iter()
            .any(|carried| carried.id == rule && carried.kinds.contains(&object.kind))
}
