//! Each component is implemented exactly once.

use super::{Component, Role, blocks};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule, sink::Findings},
    suggest,
};

pub(crate) static ONE: Rule = Rule {
    id: "IS-V09",
    title: "exactly one implementation",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Predictor, transformer and explainer each have exactly one model or custom container.",
    why: "A component is one server: with none there is nothing to run, and two contradict each other.",
    fix: "Keep one of the blocks. A custom server is one entry of `containers`, called `kserve-container`.",
    cel: Some(
        "variables.predictors.all(p, variables.frameworks.filter(b, b in p).size() + p.?containers.orValue([])\
         .filter(k, k.?name.orValue('') == 'kserve-container').size() == 1 || \
         (variables.frameworks.all(b, !(b in p)) && p.?containers.orValue([]).size() > 0 && \
         p.containers.all(k, k.?name.orValue('') != 'kserve-container'))) && \
         (!has(variables.spec.transformer) || variables.spec.transformer.?containers.orValue([]).size() > 0) && \
         (!has(variables.spec.explainer) || has(variables.spec.explainer.art) != \
         (variables.spec.explainer.?containers.orValue([]).size() > 0))",
    ),
    ..DENY
};

pub(crate) static MAIN_CONTAINER: Rule = Rule {
    id: "IS-C11",
    title: "main container",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "When a custom component has several containers, one of them is called `kserve-container`.",
    why: "The controller cannot tell the server from its companions, and stops working on the object.",
    fix: "Call the server's container `kserve-container`.",
    cel: Some(
        "variables.components.all(c, c.?containers.orValue([]).size() < 2 || \
         c.containers.exists(k, k.?name.orValue('') == 'kserve-container')) || variables.blocks.size() > 0",
    ),
    ..LATER
};

/// What implements a component, in the words of the manifest.
pub(crate) fn implementations(component: &Component<'_>) -> Vec<String> {
    let node = &component.node;
    let containers = node.at("containers");
    match component.role {
        Role::Predictor => {
            let mut found: Vec<String> = blocks(node).map(|(key, _)| key.to_owned()).collect();
            let named = |container: &Node<'_>| container.at("name").str() == Some(names::containers::KSERVE);
            found.extend(
                containers
                    .items()
                    .filter(named)
                    .map(|_| names::containers::KSERVE.to_owned()),
            );
            if found.is_empty() && !containers.is_empty() {
                found.push("containers".to_owned());
            }
            found
        }
        Role::Transformer => {
            if containers.is_empty() {
                vec![]
            } else {
                vec!["containers".to_owned()]
            }
        }
        Role::Explainer => {
            let art = node.at("art").exists().then(|| "art".to_owned());
            art.into_iter()
                .chain((!containers.is_empty()).then(|| "containers".to_owned()))
                .collect()
        }
    }
}

pub(crate) fn check(component: &Component<'_>, out: &mut Findings<'_>) {
    let found = implementations(component);
    if found.len() != 1 {
        let what = match component.role {
            Role::Predictor => "model",
            Role::Transformer | Role::Explainer => "implementation",
        };
        let found_text = if found.is_empty() {
            "none".to_owned()
        } else {
            suggest::list(found.iter().map(String::as_str))
        };
        let message = format!(
            "`{}` must have exactly one {what}; found {found_text}",
            component.node.field()
        );
        out.push(&ONE, &component.node, message)
            .hint(found.is_empty().then(|| absent(component.role).to_owned()));
    }
    let containers = component.node.at("containers");
    let custom = component.role != Role::Predictor || blocks(&component.node).next().is_none();
    let named = containers
        .items()
        .any(|container| container.at("name").str() == Some(names::containers::KSERVE));
    if custom && containers.len() > 1 && !named {
        out.push(
            &MAIN_CONTAINER,
            &containers,
            "none of the containers is called `kserve-container`",
        )
        .advise("give that name to the one that serves the model");
    }
}

fn absent(role: Role) -> &'static str {
    match role {
        Role::Predictor => {
            "set `model` with `modelFormat.name` and `storageUri`, or a container `kserve-container`"
        }
        Role::Transformer => "set `containers`",
        Role::Explainer => "set `art` or `containers`",
    }
}
