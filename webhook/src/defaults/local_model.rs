//! Labels that tie a service to a cached copy of its model.

use super::{Changes, caches_known};
use crate::{
    config::Config,
    names,
    rules::{
        service::{Component, Role, Service, storage_uri},
        sink::Findings,
    },
    snapshot::{Freshness, LocalModel, Part},
};

/// Writes the labels of the cache that holds the model, or takes stale ones off. A service without a storage URI keeps
/// what it has, as upstream.
pub(super) fn label(service: &Service<'_>, config: &Config, changes: &mut Changes, out: &mut Findings<'_>) {
    let component = Component {
        role: Role::Predictor,
        node: service.predictor,
    };
    let Some(uri) = storage_uri(&component) else {
        return;
    };
    let enabled = config.local_model && !service.annotations.at(names::DISABLE_LOCAL_MODEL).exists();
    let review = service.review;
    if enabled && !caches_known(review.snapshot) {
        // Labels made from an old list would be wrong in both directions.
        if review.snapshot.freshness(Part::LocalModels) == Freshness::Stale {
            out.tell_stale(Part::LocalModels);
        }
        return;
    }

    let group = service.annotations.at(names::NODE_GROUP).str();
    let found = enabled
        .then(|| {
            review
                .snapshot
                .local_models(review.namespace())
                .find_map(|cache| matches(cache, uri.text(), group))
        })
        .flatten();
    let Some((cache, group)) = found else {
        changes.drop_label(names::LOCAL_MODEL);
        changes.drop_label(names::LOCAL_MODEL_NAMESPACE);
        changes.drop_annotation(names::LOCAL_MODEL_SOURCE_URI);
        changes.drop_annotation(names::LOCAL_MODEL_PVC_NAME);
        return;
    };
    changes.label(names::LOCAL_MODEL, &cache.name);
    match &cache.namespace {
        Some(namespace) => changes.label(names::LOCAL_MODEL_NAMESPACE, namespace),
        None => changes.drop_label(names::LOCAL_MODEL_NAMESPACE),
    }
    changes.annotate(names::LOCAL_MODEL_SOURCE_URI, &cache.source);
    changes.annotate(names::LOCAL_MODEL_PVC_NAME, &format!("{}-{group}", cache.name));
}

/// Whether the cache holds `uri`, and the node group whose volume is used.
fn matches<'c>(
    cache: &'c LocalModel,
    uri: &str,
    group: Option<&'c str>,
) -> Option<(&'c LocalModel, &'c str)> {
    let (source, uri) = (cache.source.trim_end_matches('/'), uri.trim_end_matches('/'));
    let held = uri
        .strip_prefix(source)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let group = match group {
        Some(group) => cache
            .node_groups
            .iter()
            .any(|known| known == group)
            .then_some(group),
        None => cache.node_groups.first().map(String::as_str),
    };
    held.then_some(cache).zip(group)
}
