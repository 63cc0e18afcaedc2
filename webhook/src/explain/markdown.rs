//! `docs/rules.md`.

use std::fmt::Write as _;

use super::{knowledge, scope, verdict};
use crate::{finding::Severity, rules::Rule};

const HEAD: &str = "\
# Rules

<!-- Made from the table in webhook/src/rules by `make rules`; a test fails when it is out of date. -->

What the admission server, `stowage-webhook check` and, where a rule looks at the object alone, the admission policies say about
objects. `stowage-webhook explain RULE` prints the same in a terminal; [ci.md](ci.md) tells how to check files.

- *denied*: in both modes. *warning, in strict mode denied*: upstream's controllers find it later. *warning*: in both modes.
- On update, an offence that the stored object has too, unchanged, is a warning (`--ratchet off` denies it). A
  forbidden change is denied.
- A warning that is meant is silenced by an annotation with a reason, `stowage.dev/suppress.RULE: reason`, in strict mode too. What
  is denied in both modes cannot be suppressed.
- A rule that looks something up says nothing while that is not known, as in a check without `--context`.

Ids: `IS` InferenceService, `SR` and `MM` runtimes, `PR` Predictor, `TM` TrainedModel, `IG` InferenceGraph, `LM` and `LN` caches, `CS`
storage containers, `OB` any object; then `V` denied by upstream's webhooks, `U` the same on update, `C` found later by its
controllers, `M` ModelMesh mode, `D` defaulting, `S` the schema.
";

/// The document: an overview, then every rule.
pub(super) fn document(rules: &[&Rule]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("\n| rule | what | verdict |\n|---|---|---|\n");
    for rule in rules {
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "| [{}](#{}) | {} | {} |",
            rule.id,
            anchor(rule),
            rule.title,
            verdict(rule)
        );
    }
    for rule in rules {
        section(rule, &mut out);
    }
    out
}

/// As GitHub makes it from the heading.
fn anchor(rule: &Rule) -> String {
    let heading = format!("{} {}", rule.id, rule.title).to_lowercase();
    heading
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
            _ => None,
        })
        .collect()
}

fn section(rule: &Rule, out: &mut String) {
    let _ = writeln!(out, "\n## {} {}\n\n{}\n", rule.id, rule.title, rule.doc);
    let _ = writeln!(out, "- Why: {}\n- Fix: {}", rule.why, rule.fix);
    let _ = writeln!(
        out,
        "- Verdict: {}, for {}, by {}",
        verdict(rule),
        scope(rule),
        knowledge(rule)
    );
    if rule.compat == Severity::Warn && rule.strict == Severity::Deny {
        let _ = writeln!(
            out,
            "- Suppress: `{}{}: reason`",
            crate::rules::suppress::PREFIX,
            rule.id
        );
    }
    if let Some(cel) = rule.cel {
        let _ = writeln!(out, "\n```cel\n{cel}\n```");
    }
}
