//! `InferenceGraph`: calls that pass through several services.

use std::collections::{BTreeMap, BTreeSet};

use super::sink::{Findings, Review};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule, WARN},
    suggest,
};

const KINDS: &[Kind] = &[Kind::InferenceGraph];
const ROOT: &str = "root";

pub(crate) static NAME: Rule = Rule {
    id: "IG-V01",
    title: "graph name",
    scope: KINDS,
    stateless: true,
    doc: "The name is lower-case letters, digits and `-`, starts with a letter and does not end with `-`.",
    why: "It becomes a host name and the name of a Service.",
    fix: "Rename the object.",
    cel: Some("object.metadata.?name.orValue('').matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"),
    ..DENY
};

pub(crate) static ROOT_NODE: Rule = Rule {
    id: "IG-V02",
    title: "root node",
    scope: KINDS,
    stateless: true,
    doc: "`nodes` has an entry `root`.",
    why: "Requests enter there.",
    fix: "Call the first node `root`.",
    cel: Some("'root' in variables.spec.?nodes.orValue({})"),
    ..DENY
};

pub(crate) static STEP_NAME: Rule = Rule {
    id: "IG-V03",
    title: "step names",
    scope: KINDS,
    stateless: true,
    doc: "Steps of one node have distinct names, or none.",
    why: "Answers of a Switch and an Ensemble are told apart by them.",
    fix: "Rename one of the steps.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?steps.orValue([])\
         .all(s, s.?name.orValue('') == '' || variables.spec.nodes[n].steps\
         .filter(t, t.?name.orValue('') == s.name).size() == 1))",
    ),
    ..DENY
};

pub(crate) static TARGET: Rule = Rule {
    id: "IG-V04",
    title: "one target",
    scope: KINDS,
    stateless: true,
    doc: "Each step has exactly one of `nodeName`, `serviceName` and `serviceUrl`.",
    why: "A step calls one thing.",
    fix: "Keep one of them; use several steps for several services.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?steps.orValue([])\
         .all(s, [s.?nodeName.orValue(''), s.?serviceName.orValue(''), s.?serviceUrl.orValue('')]\
         .filter(t, t != '').size() == 1))",
    ),
    ..DENY
};

pub(crate) static WEIGHTS: Rule = Rule {
    id: "IG-V05",
    title: "weights",
    scope: KINDS,
    stateless: true,
    doc: "Each step of a Splitter has a `weight`, and their sum is 100.",
    why: "They are percentages of the calls.",
    fix: "Adjust the weights.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?routerType.orValue('') != 'Splitter' || \
         (variables.spec.nodes[n].?steps.orValue([]).all(s, has(s.weight)) && \
         variables.spec.nodes[n].?steps.orValue([]).map(s, int(s.weight)).sum() == 100))",
    ),
    ..DENY
};

pub(crate) static DANGLING: Rule = Rule {
    id: "IG-C01",
    title: "steps lead somewhere",
    scope: KINDS,
    stateless: true,
    doc: "`nodeName` of a step is a node of the graph.",
    why: "Every call that takes the step fails.",
    fix: "Correct the name, or use `serviceName` for an InferenceService.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?steps.orValue([])\
         .all(s, s.?nodeName.orValue('') == '' || s.nodeName in variables.spec.nodes))",
    ),
    ..LATER
};

pub(crate) static CYCLE: Rule = Rule {
    id: "IG-C02",
    title: "no cycle",
    scope: KINDS,
    doc: "No node leads back to itself.",
    why: "A call would go round until it times out.",
    fix: "Remove one of the steps named in the message.",
    ..LATER
};

pub(crate) static UNREACHABLE: Rule = Rule {
    id: "IG-C03",
    title: "nodes are reached",
    scope: KINDS,
    doc: "Every node is `root` or is reached from it.",
    why: "A node that no step names does nothing.",
    fix: "Remove the node, or add the step that was forgotten.",
    ..WARN
};

pub(crate) static CONDITION: Rule = Rule {
    id: "IG-C04",
    title: "conditions of a Switch",
    scope: KINDS,
    stateless: true,
    doc: "Each step of a Switch but the last has a `condition`.",
    why: "A step without one takes every call that reaches it, so the steps after it are never taken.",
    fix: "Add the conditions, or move the step without one to the end.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?routerType.orValue('') != 'Switch' || \
         variables.spec.nodes[n].?steps.orValue([]).filter(s, s.?condition.orValue('') == '').size() == 0 || \
         (variables.spec.nodes[n].steps.filter(s, s.?condition.orValue('') == '').size() == 1 && \
         variables.spec.nodes[n].steps[size(variables.spec.nodes[n].steps) - 1].?condition.orValue('') == ''))",
    ),
    ..WARN
};

pub(crate) static NEGATIVE: Rule = Rule {
    id: "IG-C05",
    title: "weights are shares",
    scope: KINDS,
    stateless: true,
    doc: "Weights are from 0 to 100.",
    why: "Upstream looks at their sum only; a negative share cannot be drawn.",
    fix: "Use 0 for a step that gets no calls.",
    cel: Some(
        "variables.spec.?nodes.orValue({}).all(n, variables.spec.nodes[n].?steps.orValue([])\
         .all(s, s.?weight.orValue(0) >= 0 && s.?weight.orValue(0) <= 100))",
    ),
    ..LATER
};

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    let name = review.name();
    if !names::is_service_name(name) {
        let message = format!(
            "`{name}` is no name for a graph: lower-case letters, digits and `-`, starting with a letter"
        );
        out.push(&NAME, &review.metadata().at("name"), message);
    }
    let nodes = review.object().path(&["spec", "nodes"]);
    if !nodes.at(ROOT).exists() {
        let near = suggest::nearest(ROOT, nodes.members().map(|(name, _)| name));
        out.push(
            &ROOT_NODE,
            &nodes,
            "a graph needs a node `root`, where requests enter",
        )
        .hint(near.map(|near| format!("rename `{near}`?")));
    }
    for (_, node) in nodes.members() {
        check_node(&nodes, &node, out);
    }
    check_shape(&nodes, out);
}

fn check_node(nodes: &Node<'_>, node: &Node<'_>, out: &mut Findings<'_>) {
    let steps = node.at("steps");
    let kind = node.at("routerType").text();
    let mut seen = BTreeSet::new();
    for (position, step) in steps.items().enumerate() {
        let name = step.at("name");
        if !name.text().is_empty() && !seen.insert(name.text()) {
            out.push(
                &STEP_NAME,
                &name,
                format!("another step of the node is called `{}` too", name.text()),
            );
        }
        check_target(nodes, &step, out);

        let condition = step.at("condition");
        if kind == "Switch" && condition.text().is_empty() && position + 1 < steps.len() {
            out.push(
                &CONDITION,
                &condition,
                "a step without a condition hides the steps after it",
            );
        }
        let weight = step.at("weight");
        if let Some(value) = weight.int().filter(|value| !(0..=100).contains(value)) {
            out.push(
                &NEGATIVE,
                &weight,
                format!("a weight is from 0 to 100; found {value}"),
            );
        }
    }
    if kind == "Splitter" {
        check_weights(&steps, out);
    }
}

fn check_target(nodes: &Node<'_>, step: &Node<'_>, out: &mut Findings<'_>) {
    let fields = ["nodeName", "serviceName", "serviceUrl"];
    let set: Vec<&str> = fields
        .into_iter()
        .filter(|field| !step.at(field).text().is_empty())
        .collect();
    match set.as_slice() {
        [_] => {}
        [] => {
            out.push(&TARGET, step, "a step needs a target")
                .advise("set `nodeName`, `serviceName` or `serviceUrl`");
        }
        many => {
            let message = format!(
                "a step has exactly one target; found {}",
                suggest::list(many.iter().copied())
            );
            out.push(&TARGET, step, message);
        }
    }
    let target = step.at("nodeName");
    if !target.text().is_empty()
        && nodes
            .object()
            .is_none_or(|nodes| !nodes.contains_key(target.text()))
    {
        out.push(
            &DANGLING,
            &target,
            format!("the graph has no node `{}`", target.text()),
        )
        .hint(suggest::hint(
            target.text(),
            nodes.members().map(|(name, _)| name).collect::<Vec<_>>(),
        ));
    }
}

fn check_weights(steps: &Node<'_>, out: &mut Findings<'_>) {
    let mut sum = 0_i64;
    let mut complete = true;
    for step in steps.items() {
        let weight = step.at("weight");
        if let Some(value) = weight.int() {
            sum = sum.saturating_add(value);
        } else {
            complete = false;
            out.push(&WEIGHTS, &weight, "each step of a Splitter needs a `weight`");
        }
    }
    if complete && sum != 100 {
        out.push(
            &WEIGHTS,
            steps,
            format!("the weights of a Splitter add up to 100; found {sum}"),
        );
    }
}

/// Cycles, and nodes that are never reached. Each node is visited once, without recursion.
fn check_shape(nodes: &Node<'_>, out: &mut Findings<'_>) {
    let targets: BTreeMap<&str, Vec<&str>> = nodes
        .members()
        .map(|(name, node)| {
            (
                name,
                node.at("steps")
                    .items()
                    .map(|step| step.at("nodeName").text())
                    .collect(),
            )
        })
        .collect();

    if let Some(round) = find_cycle(&targets) {
        let node = nodes
            .members()
            .find(|(name, _)| Some(name) == round.first())
            .map_or(*nodes, |(_, node)| node);
        out.push(
            &CYCLE,
            &node,
            format!("the nodes {} lead back to the first", suggest::list(round)),
        );
    }

    let mut reached = BTreeSet::from([ROOT]);
    let mut next = vec![ROOT];
    while let Some(name) = next.pop() {
        for target in targets.get(name).into_iter().flatten() {
            if reached.insert(target) {
                next.push(target);
            }
        }
    }
    if targets.contains_key(ROOT) {
        for (name, node) in nodes.members().filter(|(name, _)| !reached.contains(name)) {
            out.push(&UNREACHABLE, &node, format!("no step leads to the node `{name}`"));
        }
    }
}

/// The nodes of one cycle, in order. Looks at each step once.
fn find_cycle<'a>(targets: &BTreeMap<&'a str, Vec<&'a str>>) -> Option<Vec<&'a str>> {
    let mut seen: BTreeSet<&'a str> = BTreeSet::new();
    for start in targets.keys() {
        if !seen.insert(start) {
            continue;
        }
        // The way from `start`, each node with the targets that are left to look at.
        let steps = |name: &str| targets.get(name).map(Vec::as_slice).unwrap_or_default().iter();
        let mut way: Vec<(&'a str, std::slice::Iter<'_, &'a str>)> = vec![(start, steps(start))];
        let mut on_way = BTreeSet::from([*start]);
        while let Some((name, left)) = way.last_mut() {
            let Some(target) = left.next() else {
                on_way.remove(name);
                way.pop();
                continue;
            };
            if on_way.contains(target) {
                return Some(
                    way.iter()
                        .map(|(name, _)| *name)
                        .skip_while(|name| name != target)
                        .collect(),
                );
            }
            if targets.contains_key(target) && seen.insert(target) {
                on_way.insert(target);
                way.push((target, steps(target)));
            }
        }
    }
    None
}
