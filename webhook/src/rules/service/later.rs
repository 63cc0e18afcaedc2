//! Numbers that upstream never checks, or much later.

use super::Component;
use crate::{
    review::Kind,
    rules::{LATER, Rule, sink::Findings},
};

pub(crate) static TRAFFIC: Rule = Rule {
    id: "IS-C12",
    title: "canary percentage",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`canaryTrafficPercent` is from 0 to 100.",
    why: "Knative refuses the route that the controller makes of it, and the service keeps its old state.",
    fix: "Use a percentage from 0 to 100.",
    cel: Some(
        "variables.components.all(c, c.?canaryTrafficPercent.orValue(0) >= 0 && c.?canaryTrafficPercent.orValue(0) <= 100)",
    ),
    ..LATER
};

pub(crate) static BATCHER: Rule = Rule {
    id: "IS-C13",
    title: "batcher",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`maxBatchSize`, `maxLatency` and `timeout` of a batcher are at least 1.",
    why: "The agent in the pod does not start, or never sends a batch.",
    fix: "Use positive numbers, or leave the field out for its default.",
    cel: Some(
        "variables.components.all(c, c.?batcher.?maxBatchSize.orValue(1) >= 1 && \
         c.?batcher.?maxLatency.orValue(1) >= 1 && c.?batcher.?timeout.orValue(1) >= 1)",
    ),
    ..LATER
};

pub(crate) static TIMEOUT: Rule = Rule {
    id: "IS-C18",
    title: "timeout",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`timeout` is not negative.",
    why: "It is a number of seconds; Knative refuses a negative one later.",
    fix: "Use seconds, or leave it out for the default.",
    cel: Some("variables.components.all(c, c.?timeout.orValue(0) >= 0)"),
    ..LATER
};

pub(super) fn check(component: &Component<'_>, out: &mut Findings<'_>) {
    let node = &component.node;
    let traffic = node.at("canaryTrafficPercent");
    if let Some(value) = traffic.int().filter(|value| !(0..=100).contains(value)) {
        out.push(
            &TRAFFIC,
            &traffic,
            format!("`canaryTrafficPercent` is from 0 to 100; found {value}"),
        );
    }
    for field in ["maxBatchSize", "maxLatency", "timeout"] {
        let number = node.at("batcher").at(field);
        if let Some(value) = number.int().filter(|value| *value < 1) {
            out.push(
                &BATCHER,
                &number,
                format!("`{field}` of a batcher must be at least 1; found {value}"),
            );
        }
    }
    let timeout = node.at("timeout");
    if let Some(value) = timeout.int().filter(|value| *value < 0) {
        out.push(
            &TIMEOUT,
            &timeout,
            format!("`timeout` must not be negative; found {value}"),
        );
    }
}
