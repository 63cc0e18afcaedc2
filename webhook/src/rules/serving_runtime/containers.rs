//! The containers of a runtime, and what it offers.

use std::collections::BTreeSet;

use super::{KINDS, RuntimeObject};
use crate::{
    names,
    node::Node,
    rules::{
        DENY, LATER, Rule,
        service::{env, runtime as protocols},
        sink::Findings,
    },
};

pub(crate) static PYTHONPATH: Rule = Rule {
    id: "SR-V05",
    title: "no PYTHONPATH",
    scope: KINDS,
    stateless: true,
    doc: "No container of a runtime sets the environment variable `PYTHONPATH`.",
    why: "It lets a manifest replace the modules of a model server with other code.",
    fix: "Remove it; put modules into the image.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || \
         (variables.spec.?containers.orValue([]) + variables.spec.?workerSpec.?containers.orValue([]))\
         .all(k, k.?env.orValue([]).all(e, e.?name.orValue('') != 'PYTHONPATH'))",
    ),
    ..DENY
};

pub(crate) static SERVER: Rule = Rule {
    id: "SR-C02",
    title: "server container",
    scope: KINDS,
    stateless: true,
    doc: "A runtime for one model per pod has a container `kserve-container`.",
    why: "A model's settings are merged into it; services that get such a runtime are invalid.",
    fix: "Call the server's container `kserve-container`.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || variables.spec.?multiModel.orValue(false) || \
         variables.spec.?containers.orValue([]).exists(k, k.?name.orValue('') == 'kserve-container')",
    ),
    ..LATER
};

pub(crate) static DISTINCT: Rule = Rule {
    id: "SR-C03",
    title: "container names",
    scope: KINDS,
    stateless: true,
    doc: "Containers of a runtime have distinct names.",
    why: "Pods with two containers of one name are refused.",
    fix: "Rename one of them.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || \
         variables.spec.?containers.orValue([]).all(k, variables.spec.containers\
         .filter(l, l.?name.orValue('') == k.?name.orValue('')).size() == 1)",
    ),
    ..LATER
};

pub(crate) static PROTOCOL: Rule = Rule {
    id: "SR-C04",
    title: "known protocols",
    scope: KINDS,
    stateless: true,
    doc: "`protocolVersions` are `v1`, `v2`, `grpc-v1` or `grpc-v2`.",
    why: "No model asks for another one.",
    fix: "Correct the spelling.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || \
         variables.spec.?protocolVersions.orValue([]).all(p, p in ['v1', 'v2', 'grpc-v1', 'grpc-v2'])",
    ),
    ..LATER
};

pub(crate) static PLACEHOLDER: Rule = Rule {
    id: "SR-C05",
    title: "placeholders",
    scope: KINDS,
    doc: "Placeholders in containers are `{{.Name}}`, `{{.Namespace}}`, `{{.Labels.key}}` or `{{.Annotations.key}}`.",
    why: "They are filled in from the service's metadata; services that get a runtime with another one are invalid.",
    fix: "Correct the placeholder, or write a brace otherwise.",
    ..LATER
};

pub(super) fn check(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let containers = runtime.spec.at("containers");
    for container in containers
        .items()
        .chain(runtime.spec.path(&["workerSpec", "containers"]).items())
    {
        env::python_path(&PYTHONPATH, &container, out);
    }
    for protocol in runtime.spec.at("protocolVersions").items() {
        protocols::check_protocol(&PROTOCOL, &protocol, out);
    }
    let mut seen = BTreeSet::new();
    for container in containers.items() {
        let name = container.at("name");
        if !seen.insert(name.text()) {
            out.push(
                &DISTINCT,
                &name,
                format!("another container is called `{}` too", name.text()),
            );
        }
    }
    if runtime.spec.at("multiModel").is_true() {
        return;
    }
    if !seen.contains(names::containers::KSERVE) {
        out.push(
            &SERVER,
            &containers,
            format!("none of the containers is called `{}`", names::containers::KSERVE),
        );
    }
    for container in containers.items() {
        placeholders(&container, out);
    }
}

/// Looks into every text of the container.
fn placeholders(node: &Node<'_>, out: &mut Findings<'_>) {
    if let Some(text) = node.str() {
        if let Some(wrong) = wrong_placeholder(text) {
            out.push(&PLACEHOLDER, node, format!("`{wrong}` is no placeholder"))
                .advise("write `{{.Name}}`, `{{.Namespace}}`, `{{.Labels.key}}` or `{{.Annotations.key}}`");
        }
        return;
    }
    for child in node.items() {
        placeholders(&child, out);
    }
    for (_, child) in node.members() {
        placeholders(&child, out);
    }
}

/// The first placeholder that the service's metadata cannot fill in.
fn wrong_placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let tail = rest.get(start..)?;
        let Some(end) = tail.find("}}") else {
            return Some(tail);
        };
        let inner = tail
            .get(2..end)?
            .trim_matches(|letter: char| letter == '-' || letter.is_whitespace());
        if !is_placeholder(inner) {
            return tail.get(..end + 2);
        }
        rest = tail.get(end + 2..)?;
    }
    None
}

fn is_placeholder(inner: &str) -> bool {
    /// Fields of the metadata that are text.
    const FIELDS: [&str; 6] = [
        ".Name",
        ".Namespace",
        ".GenerateName",
        ".UID",
        ".ResourceVersion",
        ".Generation",
    ];
    let key = |prefix: &str| inner.strip_prefix(prefix).is_some_and(|key| !key.is_empty());
    // Functions such as `index .Labels "a/b"` are Go's to judge.
    FIELDS.contains(&inner)
        || key(".Labels.")
        || key(".Annotations.")
        || !inner.starts_with('.') && inner.contains(' ')
}
