//! The rules that definitions carry, without webhook and policies.

use std::collections::BTreeSet;

use api::resources::cel;

use super::{By, Object, Outcome, Site, Verdict, refused_early};

/// Rules of definitions, by id and message, that denied something.
pub(super) type Seen = BTreeSet<(&'static str, &'static str)>;

/// Asks about every object as it is after defaulting, and says where a definition's rules do not do what `check` does.
pub(super) async fn compare(site: &Site, mode: &str, verdicts: &[Verdict], seen: &mut Seen) -> Vec<String> {
    let form = |number: usize, _: &Object| &verdicts[number].defaulted;
    let answers = site.server.ask(&site.objects, form).await;
    let mut failures = Vec::new();
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
        failures.extend(refused_early(object, mode, verdict, message));
        for cause in causes {
            let said = |rule: &&cel::Rule| {
                rule.kinds.contains(&object.kind) && cause.message.ends_with(rule.message)
            };
            let Some(rule) = cel::RULES.iter().find(said) else {
                continue;
            };
            seen.insert((rule.id, rule.message));
            if !verdict.denied_by.contains(rule.id) {
                failures.push(format!(
                    "{object}: {} {}, {verdict:?}",
                    cause.field, cause.message
                ));
            }
        }
    }
    let name = |failure| format!("definitions, {mode}: {failure}");
    failures.into_iter().map(name).collect()
}

/// Rules that denied nothing: there is no proof that they work.
pub(super) fn unproved(seen: &Seen) -> Vec<String> {
    let unseen = cel::RULES
        .iter()
        .filter(|rule| !seen.contains(&(rule.id, rule.message)));
    unseen
        .map(|rule| format!("no object is denied by {}: {}", rule.id, rule.message))
        .collect()
}

/// Whether the object was written to break a rule that its definition carries.
fn is_carried(object: &Object, rule: &str) -> bool {
    object.breaks.as_deref() == Some(rule)
        && cel::RULES
            .iter()
            .any(|carried| carried.id == rule && carried.kinds.contains(&object.kind))
}
