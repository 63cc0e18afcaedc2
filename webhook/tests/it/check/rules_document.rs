//! `explain` and the document made by it.

use std::{fs, path::PathBuf};

use webhook::{Kind, RULES};

use super::Folder;

#[test]
fn the_document_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let done = Folder::with(&[]).run(&["explain", "-o", "markdown"]);
    assert_eq!(done.code, 0);
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        done.stdout == written,
        "docs/rules.md is out of date: run `make rules`"
    );
}

#[test]
fn every_rule_and_kind_is_explained() {
    let folder = Folder::with(&[]);
    let list = folder.run(&["explain"]);
    assert_eq!(list.stdout.lines().count(), RULES.len());
    let rule = RULES[0];
    let done = folder.run(&["explain", &rule.id.to_lowercase()]);
    let text = done.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [rule.id, rule.doc, rule.why, rule.fix] {
        assert!(text.contains(sentence), "{text}");
    }
    for kind in Kind::ALL {
        let done = folder.run(&["explain", kind.name()]);
        assert_eq!((done.code, done.stdout.is_empty()), (0, false), "{}", kind.name());
    }
}

#[test]
fn an_unknown_subject_is_refused_with_a_suggestion() {
    let done = Folder::with(&[]).run(&["explain", "InferenceServise"]);
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("did you mean `InferenceService`?"),
        "{}",
        done.stderr
    );
}
