//! The autoscaler of Kubernetes.

use crate::{
    node::Node,
    review::HpaTarget,
    rules::{Rule, sink::Findings},
    suggest,
};

const METRICS: [&str; 2] = ["cpu", "memory"];

pub(super) fn check(rule: &'static Rule, node: &Node<'_>, out: &mut Findings<'_>) {
    let (metric, target) = (node.at("scaleMetric"), node.at("scaleTarget"));
    let name = metric.str().unwrap_or("cpu");
    if !METRICS.contains(&name) {
        out.push(rule, &metric, format!("an HPA does not scale on `{name}`"))
            .hint(suggest::hint(name, METRICS));
    }
    if let Some(value) = target.int() {
        let percentage = name == "cpu" || out.review.options.hpa_target == HpaTarget::Percentage;
        // Above 100 is refused for any metric, as upstream does, although a memory target can be an amount there.
        let message = if (percentage && value < 1) || value > 100 {
            Some(format!(
                "`scaleTarget` of `{name}` is a percentage from 1 to 100; found {value}"
            ))
        } else if name == "memory" && value < 1 {
            Some(format!(
                "`scaleTarget` of `memory` must be at least 1; found {value}"
            ))
        } else {
            None
        };
        if let Some(message) = message {
            out.push(rule, &target, message);
        }
    }
    for entry in node.at("autoScaling").at("metrics").items() {
        let kind = entry.at("type");
        if kind.text() != "Resource" {
            let message = format!("an HPA takes metrics of type `Resource`; found `{}`", kind.text());
            out.push(rule, &kind, message)
                .advise("use the autoscaler class `keda` for other metrics");
        } else if !entry.at("resource").exists() {
            out.push(
                rule,
                &entry.at("resource"),
                "a metric of type `Resource` needs the block `resource`",
            );
        }
    }
}
