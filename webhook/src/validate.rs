//! Validation of one request: every rule of its kind, then what softens findings.

use serde_json::Value;

use crate::{
    defaults::default,
    finding::Finding,
    patch,
    review::{Kind, Operation, Options, Request},
    rules::{
        self, identity, ratchet,
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
    if let Some(old) = ratchet::stored(request, options, &out.list) {
        ratchet::soften(&mut out.list, &found_in(old, review));
    }
    if options.suppressions {
        let annotations = review.metadata().at("annotations");
        suppress::check(&annotations, &mut out);
        suppress::apply(&annotations, &mut out.list);
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

/// What is wrong with the stored object, once it is defaulted as the new one was.
fn found_in(old: &Value, review: Review<'_>) -> Vec<Finding> {
    let before = Request {
        object: Some(old),
        old: Some(old),
        ..review.request
    };
    let mut stored = old.clone();
    if patch::apply(
        &mut stored,
        &default(&before, review.snapshot, review.options).patch,
    )
    .is_err()
    {
        stored = old.clone();
    }
    let review = Review {
        request: Request {
            object: Some(&stored),
            old: Some(&stored),
            ..review.request
        },
        root: &stored,
        ..review
    };
    let mut known = Findings::new(review);
    look(review, &mut known);
    known.list
}
