//! Priorities: which of several runtimes of a format is taken must not be a matter of luck.

use std::collections::BTreeMap;

use super::{KINDS, RuntimeObject};
use crate::{
    node::Node,
    review::{Kind, Operation},
    rules::{DENY, LATER, Rule, sink::Findings},
    snapshot::{Format, Freshness, Part, Runtime},
};

const NEEDS: &[Part] = &[Part::ServingRuntimes, Part::ClusterServingRuntimes];

pub(crate) static OWN: Rule = Rule {
    id: "SR-V01",
    title: "one priority of a format",
    scope: KINDS,
    needs: NEEDS,
    doc: "Entries of `supportedModelFormats` with one name, `autoSelect: true` and a priority agree on the priority.",
    why: "Only the first entry's priority counts, whatever version a model has.",
    fix: "Give all entries of the format the same priority.",
    ..DENY
};

pub(crate) static OWN_LATER: Rule = Rule {
    id: "SR-C01",
    title: "one priority of a format, first runtime",
    scope: KINDS,
    doc: "As SR-V01, while no other runtime is known; upstream then does not look.",
    why: "The next update of the runtime would be refused.",
    fix: "Give all entries of the format the same priority.",
    ..LATER
};

pub(crate) static OTHERS: Rule = Rule {
    id: "SR-V02",
    title: "distinct priorities",
    scope: KINDS,
    needs: NEEDS,
    doc: "No two enabled runtimes in one namespace (or of the cluster) have the same priority for the same format and \
          version, with `autoSelect: true` and a protocol in common.",
    why: "Which of them a model gets would depend on their age.",
    fix: "Change the priority, or set `autoSelect: false`.",
    ..DENY
};

pub(super) fn check(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let review = runtime.review;
    let own = Runtime::read(review.object().value());
    let entries: Vec<(Node<'_>, &Format)> = runtime
        .spec
        .at("supportedModelFormats")
        .items()
        .zip(&own.formats)
        .collect();

    let cluster = review.request.kind == Kind::ClusterServingRuntime;
    let part = if cluster {
        Part::ClusterServingRuntimes
    } else {
        Part::ServingRuntimes
    };
    let fresh = match review.snapshot.freshness(part) {
        Freshness::Synced => true,
        Freshness::Stale => {
            out.tell_stale(part);
            false
        }
        Freshness::Absent => false,
    };
    let empty = crate::snapshot::Runtimes::default();
    let existing = if cluster {
        &*review.snapshot.cluster_runtimes
    } else {
        review
            .snapshot
            .serving_runtimes
            .get(review.namespace())
            .unwrap_or(&empty)
    };

    // One that is created is among the others where files are checked together, and is no neighbor of itself.
    let update = review.request.operation == Operation::Update;
    let rule = if fresh && (update || existing.has_other(review.name())) {
        &OWN
    } else {
        &OWN_LATER
    };
    within(rule, &entries, out);
    if !fresh {
        return;
    }
    for (node, format) in &entries {
        if format.priority.is_none() || !format.auto_select {
            continue;
        }
        for other in existing.with_format(&format.name) {
            if clashes(&own, review.name(), format, other) {
                let priority = node.at("priority");
                let message = format!(
                    "`{}` has priority {} for `{}` too, and a protocol in common",
                    other.name,
                    format.priority.unwrap_or_default(),
                    format.label(),
                );
                out.push(&OTHERS, &priority, message)
                    .advise("choose another priority, or set `autoSelect: false`");
            }
        }
    }
}

fn within(rule: &'static Rule, entries: &[(Node<'_>, &Format)], out: &mut Findings<'_>) {
    let mut first: BTreeMap<&str, i64> = BTreeMap::new();
    for (node, format) in entries.iter().filter(|(_, format)| format.auto_select) {
        let Some(priority) = format.priority else { continue };
        let earlier = *first.entry(&format.name).or_insert(priority);
        if earlier != priority {
            let message = format!(
                "`{}` has priority {priority} here and {earlier} in an earlier entry",
                format.name
            );
            out.push(rule, &node.at("priority"), message);
        }
    }
}

/// Format names are compared without case here, but not in `within` nor by selection: as upstream.
fn clashes(own: &Runtime, own_name: &str, format: &Format, other: &Runtime) -> bool {
    other.name != own_name
        && !other.disabled
        && other.multi_model == own.multi_model
        && own
            .protocols
            .iter()
            .any(|protocol| other.protocols.contains(protocol))
        && other.formats.iter().any(|theirs| {
            theirs.auto_select
                && theirs.name.eq_ignore_ascii_case(&format.name)
                && theirs.version == format.version
                && theirs.priority == format.priority
        })
}
