//! What could not be looked up.

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
