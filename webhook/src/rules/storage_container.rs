//! `ClusterStorageContainer`: who downloads which URIs. Upstream has no webhook for it.

use super::sink::{Findings, Review};
use crate::{
    review::Kind,
    rules::{LATER, Rule, WARN},
    snapshot::uri_regex,
};

const KINDS: &[Kind] = &[Kind::ClusterStorageContainer];

pub(crate) static PATTERN: Rule = Rule {
    id: "CS-C01",
    title: "URI pattern",
    scope: KINDS,
    doc: "`regex` of `supportedUriFormats` is a regular expression.",
    why: "It is compiled for every pod; one that cannot be fails the creation of all pods of services.",
    fix: "Correct the expression, or use `prefix`.",
    ..LATER
};

pub(crate) static HIDDEN: Rule = Rule {
    id: "CS-C02",
    title: "prefix or regex",
    scope: KINDS,
    stateless: true,
    doc: "Each of `supportedUriFormats` has `prefix` or `regex`, not both.",
    why: "The prefix wins and the expression is never looked at; with neither the entry means nothing.",
    fix: "Use two entries.",
    cel: Some(
        "variables.spec.?supportedUriFormats.orValue([])\
         .all(f, (f.?prefix.orValue('') == '') != (f.?regex.orValue('') == ''))",
    ),
    ..WARN
};

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    for format in review.object().path(&["spec", "supportedUriFormats"]).items() {
        let (prefix, regex) = (format.at("prefix"), format.at("regex"));
        if !regex.text().is_empty() && uri_regex(regex.text()).is_none() {
            out.push(
                &PATTERN,
                &regex,
                format!("`{}` is no regular expression", regex.text()),
            );
        }
        if prefix.text().is_empty() == regex.text().is_empty() {
            let message = if prefix.text().is_empty() {
                "an entry needs a `prefix` or a `regex`"
            } else {
                "`prefix` wins, so `regex` is never looked at"
            };
            out.push(&HIDDEN, &format, message);
        }
    }
}
