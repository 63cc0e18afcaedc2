//! Which resources a multi-node container may ask for: the known GPUs and nothing exotic.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Rule;
use super::sink::Findings;
use crate::{
    names,
    node::Node,
    snapshot::{Freshness, Part},
    suggest,
};

const PLAIN: [&str; 4] = ["cpu", "memory", "storage", "ephemeral-storage"];
const GPUS: [&str; 4] = [
    "nvidia.com/gpu",
    "amd.com/gpu",
    "intel.com/gpu",
    "habana.ai/gaudi",
];

const EXPECTED: &str = "must be a JSON list of resource names that are not empty";

/// What the annotation `serving.kserve.io/gpu-resource-types` adds; an error is what is wrong with it.
pub(crate) fn annotated(annotation: &Node<'_>) -> Result<Vec<String>, &'static str> {
    let Some(text) = annotation.str() else {
        return Ok(Vec::new());
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(names)) if !names.is_empty() => names
            .into_iter()
            .map(|name| {
                name.as_str()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .ok_or(EXPECTED)
            })
            .collect(),
        _ => Err(EXPECTED),
    }
}

/// Reports every resource of `container` that is neither plain nor a known GPU.
pub(crate) fn check(
    rule: &'static Rule,
    container: &Node<'_>,
    annotations: &Node<'_>,
    out: &mut Findings<'_>,
) {
    let asked = || {
        ["limits", "requests"]
            .map(|side| container.at("resources").at(side))
            .into_iter()
            .flat_map(|side| side.members())
    };
    if asked().all(|(name, _)| PLAIN.contains(&name)) {
        return;
    }
    let annotation = annotations.at(names::GPU_RESOURCE_TYPES);
    let more = match annotated(&annotation) {
        Ok(more) => more,
        Err(expected) => {
            out.push(
                rule,
                &annotation,
                format!("`{}` {expected}", names::GPU_RESOURCE_TYPES),
            )
            .advise(r#"for example `["example.com/gpu"]`"#);
            return;
        }
    };
    // Further GPUs may have been configured meanwhile.
    let stale = out.review.snapshot.freshness(Part::Config) == Freshness::Stale;
    let configured = &out.review.snapshot.config().gpu_resources;
    let more = more.iter().map(String::as_str);
    let known: BTreeSet<&str> = GPUS
        .into_iter()
        .chain(more)
        .chain(configured.iter().map(String::as_str))
        .collect();
    for (name, node) in asked().filter(|(name, _)| !PLAIN.contains(name) && !known.contains(name)) {
        let message = format!("`{name}` is no known GPU resource, and multi-node pods may ask for no other");
        out.push(rule, &node, message)
            .hint(suggest::hint(name, GPUS))
            .uncertain(stale);
    }
}
