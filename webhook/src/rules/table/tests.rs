use std::collections::BTreeSet;

use super::*;
use crate::{finding::Severity, rules::cel};

#[test]
fn every_rule_is_complete_and_has_an_id_of_its_own() {
    let mut ids = BTreeSet::new();
    for rule in RULES {
        assert!(ids.insert(rule.id), "{} is there twice", rule.id);
        for (name, text) in [
            ("title", rule.title),
            ("doc", rule.doc),
            ("why", rule.why),
            ("fix", rule.fix),
        ] {
            assert!(!text.is_empty(), "{} has no {name}", rule.id);
        }
        for text in [rule.doc, rule.why, rule.fix] {
            assert!(text.ends_with('.'), "{}: {text} is no sentence", rule.id);
        }
        assert!(!rule.scope.is_empty(), "{} is about nothing", rule.id);
        assert!(
            rule.strict <= rule.compat,
            "{}: strict mode is not laxer",
            rule.id
        );
        assert_eq!(find(rule.id).map(|found| found.id), Some(rule.id));
    }
}

/// An expression that compares with the stored object is about a change, and no other is.
#[test]
fn rules_about_a_change_say_so() {
    for rule in RULES {
        let compares = rule.cel.is_some_and(|cel| cel.contains("oldObject"));
        assert!(rule.change == compares || rule.cel.is_none(), "{}", rule.id);
        assert!(!rule.id.contains("-U") || rule.change, "{}", rule.id);
    }
}

#[test]
fn stateless_rules_look_nothing_up_and_have_an_expression() {
    for rule in RULES {
        assert_eq!(rule.stateless, rule.cel.is_some(), "{}", rule.id);
        assert!(!rule.stateless || rule.needs.is_empty(), "{}", rule.id);
        let known = |name: &str| cel::VARIABLES.iter().any(|(variable, _)| *variable == name);
        for use_of in rule.cel.unwrap_or_default().split("variables.").skip(1) {
            let name: String = use_of.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(known(&name), "{} uses the unknown variable {name}", rule.id);
        }
    }
}

/// The rules in CEL of the CRDs carry ids of this table, and deny nothing that compat mode lets pass.
#[test]
fn definitions_deny_only_what_both_modes_deny() {
    for rule in api::resources::cel::RULES {
        let known = find(rule.id).unwrap_or_else(|| panic!("{} is no rule", rule.id));
        assert_eq!(known.compat, Severity::Deny, "{}", known.id);
        assert!(
            rule.kinds.iter().all(|kind| known.scope.contains(kind)),
            "{}",
            known.id
        );
    }
}

#[test]
fn what_both_modes_deny_cannot_be_suppressed() {
    assert!(RULES.iter().any(|rule| rule.compat == Severity::Deny));
    assert!(
        RULES
            .iter()
            .any(|rule| rule.compat == Severity::Warn && rule.strict == Severity::Deny)
    );
}
