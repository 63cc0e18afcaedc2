//! Numbers of pods and of requests.

use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, Rule, sink::Findings},
};

pub(crate) static CONCURRENCY: Rule = Rule {
    id: "IS-V11",
    title: "container concurrency",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`containerConcurrency` is not negative.",
    why: "It is a number of requests at a time.",
    fix: "Use 0 for no limit, or leave it out.",
    cel: Some("(variables.components + variables.canaries).all(c, c.?containerConcurrency.orValue(0) >= 0)"),
    ..DENY
};

pub(crate) static REPLICAS: Rule = Rule {
    id: "IS-V12",
    title: "replicas",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`minReplicas` and `maxReplicas` are not negative, and the minimum is not above the maximum.",
    why: "No number of pods would satisfy both. `minReplicas` is 1 when it is absent, `maxReplicas` 0 means no limit.",
    fix: "Raise `maxReplicas`, or lower `minReplicas`.",
    cel: Some(
        "(variables.components + variables.canaries).all(c, c.?minReplicas.orValue(1) >= 0 && c.?maxReplicas.orValue(0) >= 0 && \
         (c.?maxReplicas.orValue(0) == 0 || c.?minReplicas.orValue(1) <= c.maxReplicas))",
    ),
    ..DENY
};

pub(crate) fn check(component: &Node<'_>, out: &mut Findings<'_>) {
    let concurrency = component.at("containerConcurrency");
    if let Some(value) = concurrency.int().filter(|value| *value < 0) {
        out.push(
            &CONCURRENCY,
            &concurrency,
            format!("`containerConcurrency` must not be negative; found {value}"),
        )
        .advise("0 means no limit");
    }

    let (least, most) = (component.at("minReplicas"), component.at("maxReplicas"));
    let (min, max) = (least.int().unwrap_or(1), most.int().unwrap_or(0));
    if min < 0 {
        out.push(
            &REPLICAS,
            &least,
            format!("`minReplicas` must not be negative; found {min}"),
        );
    }
    if max < 0 {
        out.push(
            &REPLICAS,
            &most,
            format!("`maxReplicas` must not be negative; found {max}"),
        );
    }
    if max > 0 && min > max {
        let default = if least.exists() { "" } else { " (its default)" };
        let message = format!("`minReplicas` {min}{default} is above `maxReplicas` {max}");
        out.push(&REPLICAS, if least.exists() { &least } else { &most }, message);
    }
}
