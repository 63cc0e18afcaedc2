//! Validation of one request: every rule of its kind, then what softens findings.

use serde_json::Value;

use crate::{
    defaults::default,
    finding::{Finding, Severity},
    patch,
    review::{Kind, Operation, Options, Request},
    rules::{
        self, identity,
        sink::{Findings, Review},
        suppress,
    },
    snapshot::Snapshot,
};

/// Every finding of the request, ordered by field. The request passes when none of them denies.
///
/// The object is looked at as it is; on create and update the API server sends it after defaulting.
pub fn validate(request: &Request<'_>, snapshot: &Snapshot, options: &Options) -> Vec<Finding> {
    let missing = Value::Null;
    let object = match request.operation {
        Operation::Delete => request.object.or(request.old),
        Operation::Create | Operation::Update => request.object,
    };
    let review = Review {
        request: *request,
        root: object.unwrap_or(&missing),
        snapshot,
        options,
    };
    let mut out = Findings::new(review);
    look(review, &mut out);
    if options.ratchet
        && request.operation == Operation::Update
        && out.list.iter().any(Finding::denies)
        && let Some(old) = request.old
    {
        ratchet(old, &mut out);
    }
    if options.suppressions {
        suppress::apply(&review.metadata().at("annotations"), &mut out);
    }
    let mut findings = out.list;
    findings.sort_by(|left, right| {
        (&left.field, left.severity, left.rule.id).cmp(&(&right.field, right.severity, right.rule.id))
    });
    findings
}

fn look(review: Review<'_>, out: &mut Findings<'_>) {
    if !identity::check(&review, out) {
        return;
    }
    let request = review.request;
    let caches = matches!(
        request.kind,
        Kind::LocalModelCache | Kind::LocalModelNamespaceCache
    );
    match request.operation {
        Operation::Delete if !caches => return,
        // Finalizers have to come off whatever the object looks like.
        Operation::Update if review.metadata().at("deletionTimestamp").exists() => return,
        _ => {}
    }
    rules::check(review, out);
    out.finish();
    drop_echoes(&mut out.list);
}

/// Drops what only repeats another finding: follow-ups of a field that could not be read, and the schema's word on a
/// field that a rule speaks about.
fn drop_echoes(findings: &mut Vec<Finding>) {
    let unread: Vec<_> = findings
        .iter()
        .filter(|finding| finding.rule.id == "OB-S01")
        .map(|finding| finding.field.clone())
        .collect();
    if !unread.is_empty() {
        findings.retain(|finding| {
            finding.rule.id == "OB-S01" || !unread.iter().any(|field| finding.field.starts_with(field))
        });
    }
    let spoken: Vec<_> = findings
        .iter()
        .filter(|finding| !finding.rule.id.starts_with("OB-"))
        .map(|finding| (finding.field.clone(), finding.severity))
        .collect();
    // Only for a finding that weighs as much.
    let told = |echo: &Finding| {
        spoken
            .iter()
            .any(|(field, severity)| *field == echo.field && *severity <= echo.severity)
    };
    findings.retain(|finding| finding.rule.id != "OB-S04" || !told(finding));
}

/// Turns denials into warnings where the stored object commits the same offence, unchanged.
fn ratchet(old: &Value, out: &mut Findings<'_>) {
    let review = out.review;
    let mut stored = old.clone();
    let before = Request {
        object: Some(old),
        old: Some(old),
        ..review.request
    };
    let defaulted = default(&before, review.snapshot, review.options);
    if patch::apply(&mut stored, &defaulted.patch).is_err() {
        stored = old.clone();
    }
    let request = Request {
        object: Some(&stored),
        old: Some(&stored),
        ..review.request
    };
    let review = Review {
        request,
        root: &stored,
        ..review
    };
    let mut known = Findings::new(review);
    look(review, &mut known);
    for finding in out.list.iter_mut().filter(|finding| finding.denies()) {
        if known
            .list
            .iter()
            .any(|old| old.fingerprint == finding.fingerprint)
        {
            finding.severity = Severity::Warn;
            let was = "the stored object has it too, so it passes";
            finding.hint = Some(
                finding
                    .hint
                    .take()
                    .map_or_else(|| was.to_owned(), |hint| format!("{hint}; {was}")),
            );
        }
    }
}
