//! Where models come from. Upstream moved these checks from its webhook to its controller, which sets no status.

use std::collections::BTreeSet;

use super::{Component, Role, Service, blocks, storage_uri};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{LATER, Rule, sink::Findings},
    snapshot::{Freshness, Part},
    suggest,
};

pub(crate) static SCHEME: Rule = Rule {
    id: "IS-C01",
    title: "storage scheme",
    scope: &[Kind::InferenceService],
    needs: &[Part::StorageContainers],
    doc: "A storage URI has a scheme that the storage initializer or a ClusterStorageContainer understands.",
    why: "The model is never downloaded, and the object's status does not say so.",
    fix: "Use `s3://`, `gs://`, `hf://`, `pvc://`, `oci://`, `https://` or another known scheme.",
    ..LATER
};

pub(crate) static BOTH: Rule = Rule {
    id: "IS-C02",
    title: "storageUri or storage.path",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A model has `storageUri` or `storage.path`, not both.",
    why: "Both say where the model is, and the controller refuses to choose.",
    fix: "Remove one of them.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') == 'ModelMesh' || \
         variables.predictors.all(p, variables.frameworks.filter(b, b in p).all(b, \
         p[b].?storageUri.orValue('') == '' || p[b].?storage.?path.orValue('') == ''))",
    ),
    ..LATER
};

pub(crate) static KEY: Rule = Rule {
    id: "IS-C16",
    title: "storage key",
    scope: &[Kind::InferenceService],
    needs: &[Part::StorageSecrets, Part::Config],
    doc: "`storage.key` is a key of the storage Secret of the namespace. A service that names a Secret of its own \
          (`serving.kserve.io/storageSecretName`) is not checked.",
    why: "The pod is not created without the credentials that the key names.",
    fix: "Correct the key, or add it to the Secret (`storage-config` unless configured otherwise).",
    ..LATER
};

pub(crate) static CONTAINER: Rule = Rule {
    id: "IS-C23",
    title: "storage container",
    scope: &[Kind::InferenceService],
    needs: &[Part::StorageContainers],
    doc: "`storageContainerName` is an enabled ClusterStorageContainer for init containers that takes the model's URI.",
    why: "The pod is not created otherwise.",
    fix: "Correct the name, or leave the field out: a container that takes the URI is found by itself.",
    ..LATER
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    for component in service.components() {
        // ModelMesh has fewer schemes, and rules of its own for them.
        if !(service.model_mesh() && component.role == Role::Predictor) {
            check_uris(&component, out);
        }
    }
    for canary in service.spec.at("canary").items() {
        check_uris(
            &Component {
                role: Role::Predictor,
                node: canary.at("predictor"),
            },
            out,
        );
    }
    for predictor in service.predictors() {
        for (_, block) in blocks(&predictor) {
            check_block(service, &block, out);
        }
        check_container(
            &Component {
                role: Role::Predictor,
                node: predictor,
            },
            out,
        );
    }
}

fn check_uris(component: &Component<'_>, out: &mut Findings<'_>) {
    if let Some(uri) = storage_uri(component) {
        check_scheme(&uri, out);
    }
    for entry in component.node.at("storageUris").items() {
        check_scheme(&entry.at("uri"), out);
    }
}

fn check_scheme(uri: &Node<'_>, out: &mut Findings<'_>) {
    let Some(scheme) = word_before_separator(uri.text()) else {
        return;
    };
    if names::scheme(uri.text()).is_some_and(|own| names::STORAGE_SCHEMES.contains(&own)) {
        return;
    }
    let containers = out.review.snapshot.storage_containers();
    if containers
        .values()
        .any(|one| !one.disabled && one.init_container && one.supports(uri.text()))
    {
        return;
    }
    let unknown = out.review.snapshot.freshness(Part::StorageContainers) != Freshness::Synced;
    let message = format!("`{scheme}://` is no scheme that models are downloaded from");
    let hint = suggest::hint(scheme, names::STORAGE_SCHEMES);
    out.push(&SCHEME, uri, message).hint(hint).uncertain(unknown);
}

/// The word before some `://`; a URI without one is a local path. A word is letters, digits and `_`.
fn word_before_separator(uri: &str) -> Option<&str> {
    uri.match_indices("://").find_map(|(at, _)| {
        let head = uri.get(..at)?;
        let start = head
            .rfind(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .map_or(0, |i| i + 1);
        let plain = head.get(start..).filter(|word| !word.is_empty());
        plain.map(|_| head)
    })
}

fn check_block(service: &Service<'_>, block: &Node<'_>, out: &mut Findings<'_>) {
    let (uri, storage) = (block.at("storageUri"), block.at("storage"));
    let path = storage.at("path");
    // ModelMesh's own rule asks for exactly one of them.
    if !service.model_mesh() && !uri.text().is_empty() && !path.text().is_empty() {
        let message = format!(
            "`storageUri` is set too (`{}`); a model has one place",
            uri.text()
        );
        out.push(&BOTH, &path, message).advise("keep one of them");
    }

    let secret = service.annotations.at(names::STORAGE_SECRET_NAME).str();
    if secret.is_none_or(|secret| secret == out.review.snapshot.config().storage_secret) {
        check_key(&KEY, &storage.at("key"), out);
    }
}

/// Reports a key that the storage Secret of the namespace does not have.
pub(crate) fn check_key(rule: &'static Rule, key: &Node<'_>, out: &mut Findings<'_>) {
    if key.text().is_empty() || !out.can_look_up(rule) {
        return;
    }
    let review = out.review;
    let secret = review.snapshot.config().storage_secret.as_str();
    match review.snapshot.storage_keys(review.namespace()) {
        None => {
            let message = format!(
                "there is no Secret `{secret}` in the namespace to look `{}` up in",
                key.text()
            );
            out.push(rule, key, message);
        }
        Some(keys) if !keys.contains(key.text()) => {
            let message = format!("the Secret `{secret}` has no key `{}`", key.text());
            out.push(rule, key, message).hint(suggest_key(key.text(), keys));
        }
        Some(_) => {}
    }
}

fn suggest_key(key: &str, keys: &BTreeSet<String>) -> Option<String> {
    suggest::hint(key, keys.iter().map(String::as_str))
}

fn check_container(component: &Component<'_>, out: &mut Findings<'_>) {
    let node = component.node.at("storageContainerName");
    let name = node.text();
    if name.is_empty() || !out.can_look_up(&CONTAINER) {
        return;
    }
    let containers = out.review.snapshot.storage_containers();
    let Some(container) = containers.get(name) else {
        let hint = suggest::hint(name, containers.keys().map(String::as_str));
        out.push(
            &CONTAINER,
            &node,
            format!("there is no ClusterStorageContainer `{name}`"),
        )
        .hint(hint);
        return;
    };
    let uri = storage_uri(component);
    let wrong = if container.disabled {
        "is disabled".to_owned()
    } else if !container.init_container {
        "is not for init containers".to_owned()
    } else if let Some(uri) = uri.filter(|uri| !container.supports(uri.text())) {
        format!("does not take `{}`", uri.text())
    } else {
        return;
    };
    out.push(
        &CONTAINER,
        &node,
        format!("the ClusterStorageContainer `{name}` {wrong}"),
    );
}
