//! Names and resources of custom containers.

use serde_json::{Map, Value, json};

use super::fill;
use crate::{
    config::{Config, ResourceDefaults},
    names,
    node::Node,
    patch::Patch,
    rules::service::{Component, Role},
};

/// Defaults the first container of a custom component.
pub(super) fn default(component: &Component<'_>, resources: &ResourceDefaults, patch: &mut Patch) {
    let containers = component.node.at("containers");
    let first = containers.index(0);
    let name = first.at("name");
    // A predictor with several named containers keeps their names.
    let rename = component.role != Role::Predictor || containers.len() == 1 || name.text().is_empty();
    if rename {
        call(&first, patch);
    }
    fill_resources(&first, resources, patch);
}

/// Defaults an ART explainer: its image's version too.
pub(super) fn default_art(art: &Node<'_>, config: &Config, patch: &mut Patch) {
    const VERSION: &str = "runtimeVersion";
    call(art, patch);
    if let Some(version) = config
        .art_version
        .as_deref()
        .filter(|_| !art.at(VERSION).exists())
    {
        let current = art.object().and_then(|members| members.get(VERSION));
        patch.set(&art.field().pointer(), VERSION, current, json!(version));
    }
    fill_resources(art, &config.resources, patch);
}

fn call(container: &Node<'_>, patch: &mut Patch) {
    if container.at("name").text() != names::containers::KSERVE {
        let current = container.object().and_then(|members| members.get("name"));
        patch.set(
            &container.field().pointer(),
            "name",
            current,
            json!(names::containers::KSERVE),
        );
    }
}

fn fill_resources(container: &Node<'_>, defaults: &ResourceDefaults, patch: &mut Patch) {
    let resources = container.at("resources");
    let sides = [
        ("requests", &defaults.cpu_request, &defaults.memory_request),
        ("limits", &defaults.cpu_limit, &defaults.memory_limit),
    ];
    let missing = |side: &'static str, cpu: &Option<String>, memory: &Option<String>| {
        let present = resources.at(side);
        [("cpu", cpu), ("memory", memory)]
            .into_iter()
            .filter(|(name, _)| {
                present
                    .object()
                    .is_none_or(|members| !members.contains_key(*name))
            })
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_deref()?))))
            .collect::<Map<String, Value>>()
    };
    if resources.object().is_some() {
        for (side, cpu, memory) in sides {
            fill(patch, &resources, side, missing(side, cpu, memory));
        }
    } else {
        let whole = sides
            .into_iter()
            .map(|(side, cpu, memory)| (side.to_owned(), Value::Object(missing(side, cpu, memory))))
            .filter(|(_, side)| side.as_object().is_some_and(|members| !members.is_empty()))
            .collect();
        fill(patch, container, "resources", whole);
    }
}
