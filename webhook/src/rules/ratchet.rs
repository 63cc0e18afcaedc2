//! Ratcheting: an offence that the stored object commits too, unchanged, is a warning. A forbidden change is made by the
//! request and by nothing that is stored.

use serde_json::Value;

use crate::{
    finding::{Finding, Severity},
    review::{Operation, Options, Request},
};

/// The stored object, if findings are to be compared with what is found about it.
pub(crate) fn stored<'a>(request: &Request<'a>, options: &Options, found: &[Finding]) -> Option<&'a Value> {
    let asked = options.ratchet && request.operation == Operation::Update;
    request.old.filter(|_| asked && found.iter().any(Finding::denies))
}

/// Turns the denials of `found` that are in `stored` too into warnings.
pub(crate) fn soften(found: &mut [Finding], stored: &[Finding]) {
    let softens = |finding: &&mut Finding| finding.denies() && !finding.rule.change;
    for finding in found.iter_mut().filter(softens) {
        if stored.iter().any(|old| old.fingerprint == finding.fingerprint) {
            finding.severity = Severity::Warn;
            let was = "the stored object has it too, so it passes";
            finding.hint = Some(match finding.hint.take() {
                Some(hint) => format!("{hint}; {was}"),
                None => was.to_owned(),
            });
        }
    }
}
