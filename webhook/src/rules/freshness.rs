//! What could not be looked up, or said.

use super::{Rule, WARN};
use crate::review::Kind;

pub(crate) static STALE: Rule = Rule {
    id: "OB-F01",
    title: "out of date",
    scope: &Kind::ALL,
    doc: "Rules that look something up need a view of the cluster that is up to date.",
    why: "A verdict from old data could refuse what is right by now, so such rules say that they did not look.",
    fix: "Send the object again in a while; ask an admin to look at the webhook's readiness if this stays.",
    ..WARN
};

pub(crate) static LEFT_OUT: Rule = Rule {
    id: "OB-F02",
    title: "too many findings",
    scope: &Kind::ALL,
    doc: "At most 100 denials and 100 warnings are listed of one object.",
    why: "Nobody reads more, and answers stay small.",
    fix: "Correct what is listed, and send the object again.",
    ..WARN
};
