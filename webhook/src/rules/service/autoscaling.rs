//! Which autoscaler looks after a component, and what it can be asked for. The autoscaler follows from annotations as
//! they are after defaulting.

use super::{Component, Service};
use crate::{
    config::DeploymentMode,
    names,
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule, sink::Findings},
    suggest,
};

mod hpa;
mod keda;

pub(crate) static HPA: Rule = Rule {
    id: "IS-V14a",
    title: "HPA metrics",
    scope: &[Kind::InferenceService],
    doc: "A HorizontalPodAutoscaler scales on `cpu` or `memory`, with a target in its range.",
    why: "It knows no other metrics here, and a percentage above 100 or below 1 never settles.",
    fix: "Use `scaleMetric: cpu` and a `scaleTarget` from 1 to 100; use KEDA for other metrics.",
    ..DENY
};

pub(crate) static HPA_LATER: Rule = Rule {
    id: "IS-C19",
    title: "HPA metrics of plain deployments",
    scope: &[Kind::InferenceService],
    doc: "In `Standard` mode without an autoscaler class, the HPA that is made by default gets metrics that it knows.",
    why: "The class `hpa` is assumed later, when nobody checks its metrics any more.",
    fix: "As for the class `hpa`; or choose a class by the annotation `serving.kserve.io/autoscalerClass`.",
    ..LATER
};

pub(crate) static KEDA: Rule = Rule {
    id: "IS-V14b",
    title: "KEDA metrics",
    scope: &[Kind::InferenceService],
    doc: "With the class `keda`, metrics stand in `autoScaling.metrics`, each with its block and a target of its type.",
    why: "Each entry becomes a trigger of a ScaledObject, which needs all of that.",
    fix: "See the example in the message; `scaleMetric` and `scaleTarget` are for other classes.",
    ..DENY
};

pub(crate) static KNATIVE: Rule = Rule {
    id: "IS-V14c",
    title: "Knative metrics",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Knative's autoscaler scales on `concurrency` or `rps`; a target of `rps` is at least 1.",
    why: "It counts requests and knows nothing of CPU and memory.",
    fix: "Use one of the two, or the annotation `autoscaling.knative.dev/class: hpa.autoscaling.knative.dev`.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') == 'Standard' || \
         variables.annotations[?'autoscaling.knative.dev/class'].orValue('') == 'hpa.autoscaling.knative.dev' || \
         variables.components.all(c, c.?scaleMetric.orValue('concurrency') in ['concurrency', 'rps'] && \
         (c.?scaleMetric.orValue('') != 'rps' || c.?scaleTarget.orValue(1) >= 1))",
    ),
    ..DENY
};

pub(crate) static STRATEGY: Rule = Rule {
    id: "IS-V14d",
    title: "deployment strategy",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`deploymentStrategy` is for the mode `Standard`.",
    why: "Knative replaces pods by its own rules, and would ignore it.",
    fix: "Add the annotation `serving.kserve.io/deploymentMode: Standard`, or remove the field.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') == 'Standard' || \
         variables.annotations[?'autoscaling.knative.dev/class'].orValue('') == 'hpa.autoscaling.knative.dev' || \
         variables.components.all(c, !has(c.deploymentStrategy))",
    ),
    ..DENY
};

const KNATIVE_METRICS: [&str; 2] = ["concurrency", "rps"];

pub(super) fn check(service: &Service<'_>, component: &Component<'_>, out: &mut Findings<'_>) {
    let node = &component.node;
    let class = service.annotations.at(names::AUTOSCALER_CLASS);
    if service.raw_mode() == DeploymentMode::Standard.as_str() {
        match class.str() {
            Some("hpa") => hpa::check(&HPA, node, out),
            Some("keda") => keda::check(node, out),
            None => hpa::check(&HPA_LATER, node, out),
            _ => {}
        }
    } else if service.annotations.at(names::KNATIVE_AUTOSCALER_CLASS).str() == Some(names::KNATIVE_HPA) {
        hpa::check(&HPA, node, out);
    } else {
        knative(node, out);
    }
}

fn knative(node: &Node<'_>, out: &mut Findings<'_>) {
    let strategy = node.at("deploymentStrategy");
    if strategy.exists() {
        out.push(
            &STRATEGY,
            &strategy,
            "`deploymentStrategy` has no effect outside of the mode `Standard`",
        )
        .hint(format!(
            "add the annotation `{}: Standard`",
            names::DEPLOYMENT_MODE
        ));
    }
    let (metric, target) = (node.at("scaleMetric"), node.at("scaleTarget"));
    match metric.str() {
        Some("rps") => {
            if let Some(value) = target.int().filter(|value| *value < 1) {
                out.push(
                    &KNATIVE,
                    &target,
                    format!("a target of `rps` must be at least 1; found {value}"),
                );
            }
        }
        Some(text) if !KNATIVE_METRICS.contains(&text) => {
            out.push(&KNATIVE, &metric, format!("Knative does not scale on `{text}`"))
                .hint(suggest::hint(text, KNATIVE_METRICS));
        }
        _ => {}
    }
}
