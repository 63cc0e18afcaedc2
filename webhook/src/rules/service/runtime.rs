//! Which runtime will serve the model. Upstream finds out in its controller, and tries for ever.

use super::{Service, blocks};
use crate::{
    config::DeploymentMode,
    names,
    node::Node,
    review::Kind,
    rules::{LATER, Rule, sink::Findings},
    runtime_defaults::assumed_protocol,
    select::{self, Objection, Wish},
    snapshot::Part,
    suggest,
};

const RUNTIMES: &[Part] = &[Part::ServingRuntimes, Part::ClusterServingRuntimes];

pub(crate) static MISSING: Rule = Rule {
    id: "IS-C03",
    title: "runtime exists",
    scope: &[Kind::InferenceService],
    needs: RUNTIMES,
    doc: "`model.runtime` is a ServingRuntime of the namespace or a ClusterServingRuntime.",
    why: "The service waits for it for ever (`RuntimeNotRecognized`).",
    fix: "Correct the name, create the runtime, or leave `runtime` out so that one is chosen.",
    ..LATER
};

pub(crate) static UNFIT: Rule = Rule {
    id: "IS-C04",
    title: "runtime fits",
    scope: &[Kind::InferenceService],
    needs: RUNTIMES,
    doc: "The runtime that a model names is enabled and serves its format, version and protocol.",
    why: "The service never becomes ready (`RuntimeDisabled`, `NoSupportingRuntime`).",
    fix: "Name another runtime, change the model, or leave `runtime` out so that one is chosen.",
    ..LATER
};

pub(crate) static NONE: Rule = Rule {
    id: "IS-C05",
    title: "some runtime fits",
    scope: &[Kind::InferenceService],
    needs: RUNTIMES,
    doc: "For a model that names no runtime, one can be chosen by its format, version and protocol.",
    why: "The service never becomes ready (`NoSupportingRuntime`). A model without `protocolVersion` asks for `v1`, \
          which many runtimes do not speak.",
    fix: "The message lists the runtimes that were looked at and why each was left out.",
    ..LATER
};

pub(crate) static FORMAT: Rule = Rule {
    id: "IS-C09",
    title: "model format",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A `model` has `modelFormat.name`.",
    why: "The runtime is found by the format.",
    fix: "Add it, for example `modelFormat: {name: sklearn}`.",
    cel: Some("variables.predictors.all(p, !has(p.model) || p.model.?modelFormat.?name.orValue('') != '')"),
    ..LATER
};

pub(crate) static PROTOCOL: Rule = Rule {
    id: "IS-C14",
    title: "known protocol",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`protocolVersion` is `v1`, `v2`, `grpc-v1` or `grpc-v2`.",
    why: "No runtime speaks another one.",
    fix: "Correct the spelling.",
    cel: Some(
        "variables.predictors.all(p, variables.frameworks.filter(b, b in p).all(b, \
         p[b].?protocolVersion.orValue('v1') in ['v1', 'v2', 'grpc-v1', 'grpc-v2']))",
    ),
    ..LATER
};

pub(crate) static CONTAINER: Rule = Rule {
    id: "IS-C21",
    title: "runtime has a server",
    scope: &[Kind::InferenceService],
    needs: RUNTIMES,
    doc: "The runtime that serves a model has a container `kserve-container`.",
    why: "The model's settings are merged into that container; without it the spec is invalid.",
    fix: "Name another runtime, or correct that one.",
    ..LATER
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    for predictor in service.predictors() {
        for (framework, block) in blocks(&predictor) {
            check_protocol(&PROTOCOL, &block.at("protocolVersion"), out);
            check_block(service, &predictor, framework, &block, out);
        }
    }
}

/// Reports a protocol that nobody speaks.
pub(crate) fn check_protocol(rule: &'static Rule, protocol: &Node<'_>, out: &mut Findings<'_>) {
    if let Some(text) = protocol
        .str()
        .filter(|text| !names::PROTOCOL_VERSIONS.contains(text))
    {
        out.push(rule, protocol, format!("`{text}` is no protocol version"))
            .hint(suggest::hint(text, names::PROTOCOL_VERSIONS));
    }
}

fn check_block(
    service: &Service<'_>,
    predictor: &Node<'_>,
    framework: &'static str,
    block: &Node<'_>,
    out: &mut Findings<'_>,
) {
    let model = framework == "model";
    let format = block.path(&["modelFormat", "name"]);
    let wish = Wish {
        namespace: service.review.namespace(),
        format: if model { format.text() } else { framework },
        version: block.path(&["modelFormat", "version"]).str().filter(|_| model),
        protocol: block
            .at("protocolVersion")
            .str()
            .or_else(|| assumed_protocol(framework)),
        multi_model: false,
        multi_node: predictor.at("workerSpec").exists(),
    };
    if wish.format.is_empty() {
        let message = "a model needs `modelFormat.name`: its runtime is found by it";
        out.push(&FORMAT, &format, message)
            .advise("for example `sklearn`");
        return;
    }
    // An unknown protocol has its own finding, and no runtime would do.
    if wish
        .protocol
        .is_some_and(|protocol| !names::PROTOCOL_VERSIONS.contains(&protocol))
    {
        return;
    }
    let (runtime, at) = (block.at("runtime"), if model { format } else { *block });
    if service.model_mesh() || service.mode() == DeploymentMode::ModelMesh {
        let pin = [runtime, service.annotations.at(names::SERVING_RUNTIME)];
        let pin = if model { pin[0] } else { pin[1] };
        model_mesh(
            &Wish {
                multi_model: true,
                ..wish
            },
            &pin,
            &at,
            out,
        );
    } else {
        kserve(&wish, &runtime, &at, out);
    }
}

fn kserve(wish: &Wish<'_>, runtime: &Node<'_>, at: &Node<'_>, out: &mut Findings<'_>) {
    let snapshot = out.review.snapshot;
    if let Some(name) = runtime.str() {
        let Some(found) = named(&MISSING, wish, name, runtime, out) else {
            return;
        };
        let objections = select::named(wish, found);
        if !objections.is_empty() {
            out.push(
                &UNFIT,
                runtime,
                format!("the {} `{name}` {}", found.kind(), all(&objections)),
            )
            .about(at);
        } else if !found.has_server_container() {
            let message = format!(
                "the {} `{name}` has no container `{}`",
                found.kind(),
                names::containers::KSERVE
            );
            out.push(&CONTAINER, runtime, message);
        }
        return;
    }
    if !out.can_look_up(&NONE) {
        return;
    }
    let selection = select::kserve(wish, snapshot);
    match selection.chosen() {
        Some(chosen) if !chosen.has_server_container() => {
            let message = format!(
                "`{}`, which would be chosen, has no container `{}`",
                chosen.name,
                names::containers::KSERVE
            );
            out.push(&CONTAINER, at, message);
        }
        Some(_) => {}
        None => nothing_fits(&NONE, wish, &selection, at, out),
    }
}

/// The runtime called `name`, or a finding when there is none.
pub(crate) fn named<'s>(
    rule: &'static Rule,
    wish: &Wish<'_>,
    name: &str,
    node: &Node<'_>,
    out: &mut Findings<'s>,
) -> Option<&'s crate::snapshot::Runtime> {
    if !out.can_look_up(rule) {
        return None;
    }
    let snapshot = out.review.snapshot;
    let found = snapshot.runtime(wish.namespace, name);
    if found.is_none() {
        let message = format!("there is no runtime `{name}`, in the namespace or for the cluster");
        let hint = suggest::hint(name, select::known_names(wish.namespace, snapshot));
        out.push(rule, node, message).hint(hint);
    }
    found.map(|runtime| &**runtime)
}

/// How many runtimes a message tells about.
const NEAREST: usize = 3;

/// Says which runtimes were looked at and what would help.
pub(crate) fn nothing_fits(
    rule: &'static Rule,
    wish: &Wish<'_>,
    selection: &select::Selection<'_>,
    at: &Node<'_>,
    out: &mut Findings<'_>,
) {
    let label = wish.label();
    let message = if selection.rejected.is_empty() {
        format!("no runtime serves `{label}`; looked at {}", selection.looked_at)
    } else {
        format!("no runtime serves `{label}`: {}", selection.explain(NEAREST))
    };
    let hint = remedy(wish, selection, out);
    out.push(rule, at, message).hint(hint);
}

fn remedy(wish: &Wish<'_>, selection: &select::Selection<'_>, out: &Findings<'_>) -> Option<String> {
    if selection.rejected.is_empty() {
        return suggest::hint(
            wish.format,
            select::known_formats(wish.namespace, out.review.snapshot),
        );
    }
    let only = |test: fn(&Objection) -> bool| {
        selection
            .rejected
            .iter()
            .find(|(_, objections)| matches!(objections.as_slice(), [one] if test(one)))
    };
    if let Some((runtime, objections)) = only(|one| matches!(one, Objection::Protocol { .. }))
        && let [Objection::Protocol { offered, .. }] = objections.as_slice()
    {
        let protocol = offered
            .iter()
            .find(|protocol| names::PROTOCOL_VERSIONS.contains(&protocol.as_str()))?;
        return Some(format!(
            "`protocolVersion: {protocol}` would select `{}`",
            runtime.name
        ));
    }
    if let Some((runtime, objections)) = only(|one| matches!(one, Objection::Format { near: Some(_) }))
        && let [Objection::Format { near: Some(near) }] = objections.as_slice()
    {
        return Some(format!("write `{near}` to select `{}`", runtime.name));
    }
    if let Some((runtime, _)) = only(|one| matches!(one, Objection::NotAutoSelect)) {
        return Some(format!("`runtime: {}` would select it by name", runtime.name));
    }
    only(|one| matches!(one, Objection::Version { .. }))
        .map(|(runtime, _)| format!("leave `modelFormat.version` out to select `{}`", runtime.name))
}

fn all(objections: &[Objection]) -> String {
    objections
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// ModelMesh asks of a named runtime only that it is there; otherwise any of a pool will do.
fn model_mesh(wish: &Wish<'_>, runtime: &Node<'_>, at: &Node<'_>, out: &mut Findings<'_>) {
    if let Some(name) = runtime.str() {
        let Some(found) = named(&MISSING, wish, name, runtime, out) else {
            return;
        };
        if let Some(objection) = not_in_mesh(found) {
            out.push(
                &UNFIT,
                runtime,
                format!("the {} `{name}` {objection}", found.kind()),
            );
        }
        return;
    }
    if !out.can_look_up(&NONE) {
        return;
    }
    let snapshot = out.review.snapshot;
    let selection = select::model_mesh(wish, snapshot);
    if selection.candidates.is_empty() {
        nothing_fits(&NONE, wish, &selection, at, out);
    }
}

/// What keeps a named runtime from having pods in the mesh.
pub(crate) fn not_in_mesh(runtime: &crate::snapshot::Runtime) -> Option<Objection> {
    if runtime.disabled {
        Some(Objection::Disabled)
    } else if runtime.multi_model {
        None
    } else {
        Some(Objection::MultiModel { offered: false })
    }
}
