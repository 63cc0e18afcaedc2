//! `storageUris`: several sources, each at its own path in the container.

use std::collections::BTreeSet;

use super::{Component, Role, Service, storage_uri};
use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule, sink::Findings},
};

pub(crate) static EITHER: Rule = Rule {
    id: "IS-V07a",
    title: "storageUri or storageUris",
    scope: &[Kind::InferenceService],
    doc: "A component has `storageUris` or one `storageUri`, not both.",
    why: "Both say where the model comes from.",
    fix: "Move the single URI into the list.",
    ..DENY
};

pub(crate) static URI: Rule = Rule {
    id: "IS-V07b",
    title: "storage list URI",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Each entry of `storageUris` has a `uri`.",
    why: "There is nothing to download otherwise.",
    fix: "Fill in `uri`, or remove the entry.",
    cel: Some("variables.components.all(c, c.?storageUris.orValue([]).all(s, s.?uri.orValue('') != ''))"),
    ..DENY
};

pub(crate) static MOUNT: Rule = Rule {
    id: "IS-V07c",
    title: "storage list path",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Each `mountPath` of `storageUris` is absolute, not `/`, and has no `..`.",
    why: "Files are mounted there; `/` would hide the whole image, and `..` would leave the folder meant.",
    fix: "Use a folder below `/mnt`, for example `/mnt/models/base`.",
    cel: Some(
        "variables.components.all(c, c.?storageUris.orValue([]).all(s, s.?mountPath.orValue('').startsWith('/') && \
         !s.mountPath.matches('^/+$') && !s.mountPath.contains('..')))",
    ),
    ..DENY
};

pub(crate) static SAME_CLAIM_PATH: Rule = Rule {
    id: "IS-V07d",
    title: "distinct volume paths",
    scope: &[Kind::InferenceService],
    doc: "With several downloads, no two `pvc://` entries have the same `mountPath`.",
    why: "One volume would hide the other.",
    fix: "Give each entry its own path.",
    ..DENY
};

pub(crate) static SAME_PATH: Rule = Rule {
    id: "IS-C20",
    title: "distinct paths",
    scope: &[Kind::InferenceService],
    doc: "No two `pvc://` entries of `storageUris` have the same `mountPath`.",
    why: "One volume would hide the other; upstream looks only if there are two downloads as well.",
    fix: "Give each entry its own path.",
    ..LATER
};

pub(crate) static PARENT: Rule = Rule {
    id: "IS-V07e",
    title: "common parent",
    scope: &[Kind::InferenceService],
    doc: "The paths of several downloads have a common parent other than `/`.",
    why: "One volume for all of them is mounted there.",
    fix: "Use paths below one folder, for example `/mnt/models/a` and `/mnt/models/b`.",
    ..DENY
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    for component in service.components() {
        check_component(&component, out);
    }
}

fn check_component(component: &Component<'_>, out: &mut Findings<'_>) {
    let list = component.node.at("storageUris");
    if !list.exists() {
        return;
    }
    if let Some(single) = storage_uri(component) {
        let what = match component.role {
            Role::Predictor => "the predictor",
            Role::Transformer => "the transformer",
            Role::Explainer => "the explainer",
        };
        let message = format!(
            "{what} has `storageUris` and also the single URI `{}`",
            single.text()
        );
        out.push(&EITHER, &list, message).advise("keep one of them");
    }
    for entry in list.items() {
        check_entry(&entry, out);
    }
    check_together(&list, out);
}

fn check_entry(entry: &Node<'_>, out: &mut Findings<'_>) {
    let (uri, mount) = (entry.at("uri"), entry.at("mountPath"));
    if uri.text().is_empty() {
        out.push(&URI, &uri, "an entry of `storageUris` needs a `uri`");
    }
    let path = mount.text();
    let wrong = if path.is_empty() {
        Some("is empty".to_owned())
    } else if path.bytes().all(|byte| byte == b'/') {
        Some(format!("is `{path}`, the root of the container"))
    } else if !path.starts_with('/') {
        Some(format!("is `{path}`, which is not absolute"))
    } else if path.contains("..") {
        Some(format!("is `{path}`, which has `..`"))
    } else {
        None
    };
    if let Some(wrong) = wrong {
        out.push(&MOUNT, &mount, format!("`mountPath` {wrong}"))
            .advise("use a path such as `/mnt/models/base`");
    }
}

fn check_together(list: &Node<'_>, out: &mut Findings<'_>) {
    let (claims, downloads): (Vec<_>, Vec<_>) = list
        .items()
        .partition(|entry| entry.at("uri").text().starts_with("pvc://"));

    let rule = if downloads.len() > 1 {
        &SAME_CLAIM_PATH
    } else {
        &SAME_PATH
    };
    let mut seen = BTreeSet::new();
    for claim in &claims {
        let mount = claim.at("mountPath");
        if !seen.insert(mount.text()) {
            out.push(
                rule,
                &mount,
                format!("another volume is mounted at `{}` too", mount.text()),
            );
        }
    }

    if downloads.len() > 1 {
        let mounts: Vec<_> = downloads.iter().map(|entry| entry.at("mountPath")).collect();
        let absolute = mounts.iter().all(|mount| mount.text().starts_with('/'));
        if absolute && common_parent_is_root(mounts.iter().map(Node::text)) {
            let message = "the paths of the downloads have no common folder below `/`";
            out.push(&PARENT, list, message)
                .advise("put them below one folder, for example `/mnt/models`")
                .about(list);
        }
    }
}

/// Whether paths share no leading component.
fn common_parent_is_root<'p>(mut paths: impl Iterator<Item = &'p str>) -> bool {
    let first = |path: &'p str| path.split('/').find(|component| !component.is_empty());
    let Some(head) = paths.next().map(first) else {
        return false;
    };
    head.is_none() || paths.any(|path| first(path) != head)
}
