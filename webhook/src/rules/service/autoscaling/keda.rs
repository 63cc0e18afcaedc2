//! A `ScaledObject` of KEDA.

use api::resources::Quantity;

use super::KEDA;
use crate::{node::Node, rules::sink::Findings, suggest};

const TYPES: [&str; 3] = ["Resource", "External", "PodMetric"];
const MEBI: i128 = (1 << 20) * 1_000_000_000;

pub(super) fn check(node: &Node<'_>, out: &mut Findings<'_>) {
    let metric = node.at("scaleMetric");
    if metric.exists() {
        let message = format!("KEDA does not read `scaleMetric`; found `{}`", metric.text());
        out.push(&KEDA, &metric, message)
            .advise("describe the metric in `autoScaling.metrics`");
    }
    for entry in node.at("autoScaling").at("metrics").items() {
        check_metric(&entry, out);
    }
}

fn check_metric(entry: &Node<'_>, out: &mut Findings<'_>) {
    let kind = entry.at("type");
    let block = match kind.text() {
        "Resource" => entry.at("resource"),
        "External" => entry.at("external"),
        "PodMetric" => entry.at("podmetric"),
        other => {
            out.push(&KEDA, &kind, format!("`{other}` is no type of metric"))
                .hint(suggest::hint(other, TYPES));
            return;
        }
    };
    if !block.exists() {
        let name = if kind.text() == "PodMetric" {
            "podmetric"
        } else {
            kind.text()
        }
        .to_ascii_lowercase();
        out.push(
            &KEDA,
            &block,
            format!("a metric of type `{}` needs the block `{name}`", kind.text()),
        );
        return;
    }
    let target = block.at("target");
    if kind.text() == "Resource" {
        resource(&block, &target, out);
    } else {
        let query = block.at("metric").at("query");
        if query.text().is_empty() {
            out.push(&KEDA, &query, "a metric needs a `query`");
        }
        if !target.at("value").exists() {
            out.push(&KEDA, &target.at("value"), "a metric needs a `target.value`");
        }
    }
    target_of_its_type(&target, out);
}

fn resource(block: &Node<'_>, target: &Node<'_>, out: &mut Findings<'_>) {
    let (name, kind) = (block.at("name"), target.at("type"));
    match (name.text(), kind.text()) {
        ("cpu" | "memory", "Utilization") => {}
        ("memory", "AverageValue") => {
            let amount = target.at("averageValue");
            let nanos = amount
                .exists()
                .then(|| Quantity(amount.value().clone()).nanos().ok())
                .flatten()
                .unwrap_or(0);
            if nanos < MEBI {
                let found = Quantity(amount.value().clone());
                out.push(
                    &KEDA,
                    &amount,
                    format!("an average of memory must be at least `1Mi`; found `{found}`"),
                );
            }
        }
        ("cpu", other) => {
            let message = format!("a target of `cpu` is of type `Utilization`; found `{other}`");
            out.push(&KEDA, &kind, message);
        }
        ("memory", other) => {
            let message =
                format!("a target of `memory` is of type `Utilization` or `AverageValue`; found `{other}`");
            out.push(&KEDA, &kind, message);
        }
        (other, _) => {
            out.push(&KEDA, &name, format!("`{other}` is no resource to scale on"))
                .hint(suggest::hint(other, ["cpu", "memory"]));
        }
    }
}

fn target_of_its_type(target: &Node<'_>, out: &mut Findings<'_>) {
    let (field, utilization) = match target.at("type").text() {
        "Utilization" => ("averageUtilization", true),
        "AverageValue" => ("averageValue", false),
        "Value" => ("value", false),
        _ => return,
    };
    let value = target.at(field);
    if !value.exists() {
        out.push(
            &KEDA,
            &value,
            format!("a target of type `{}` needs `{field}`", target.at("type").text()),
        );
    } else if let Some(percent) = value
        .int()
        .filter(|percent| utilization && !(1..=100).contains(percent))
    {
        out.push(
            &KEDA,
            &value,
            format!("`averageUtilization` is a percentage from 1 to 100; found {percent}"),
        );
    }
}
