//! Whether the object is what the request says it is.

use super::{
    DENY, Rule,
    sink::{Findings, Review},
};
use crate::{review::Kind, suggest};

pub(crate) static KIND: Rule = Rule {
    id: "OB-K01",
    title: "kind of the object",
    scope: &Kind::ALL,
    doc: "The object has the `apiVersion` and `kind` that the request is about.",
    why: "Rules of one kind say nothing about another.",
    fix: "Correct `apiVersion` and `kind`; a webhook configuration that sends other kinds is wrong.",
    ..DENY
};

/// Whether the rules of the request's kind apply; reports it when not.
pub(crate) fn check(review: &Review<'_>, out: &mut Findings<'_>) -> bool {
    let kind = review.request.kind;
    let root = review.object();
    if root.object().is_none() {
        out.push(&KIND, &root, "the object is missing, or is no JSON object");
        return false;
    }
    let (version, name) = (root.at("apiVersion"), root.at("kind"));
    if name.text() != kind.name() {
        let hint = suggest::nearest(name.text(), [kind.name()]).map(|near| format!("did you mean `{near}`?"));
        let message = format!("must be `{}`; found `{}`", kind.name(), name.text());
        out.push(&KIND, &name, message).hint(hint);
        return false;
    }
    if version.text() != kind.api_version() {
        let message = format!("must be `{}`; found `{}`", kind.api_version(), version.text());
        out.push(&KIND, &version, message);
        return false;
    }
    true
}
