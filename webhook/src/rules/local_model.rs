//! `LocalModelCache` and `LocalModelNamespaceCache`: models that are kept on nodes.

use super::sink::{Findings, Review};
use crate::{
    node::Node,
    review::{Kind, Operation},
    rules::{DENY, LATER, Rule},
    snapshot::{CacheUse, Part},
    suggest,
};

pub(crate) static SAME_SOURCE: Rule = Rule {
    id: "LM-V01",
    title: "one cache of a source",
    scope: &[Kind::LocalModelCache],
    needs: &[Part::LocalModels],
    doc: "No other LocalModelCache has the same `sourceModelUri`.",
    why: "Nodes would hold the model twice, and a service would get one of the two by chance.",
    fix: "Use the cache that is there, and add node groups to it.",
    ..DENY
};

pub(crate) static IN_USE: Rule = Rule {
    id: "LM-V02",
    title: "cache in use",
    scope: &[Kind::LocalModelCache, Kind::LocalModelNamespaceCache],
    needs: &[Part::InferenceServices, Part::LlmInferenceServices],
    doc: "A cache is deleted when no service reads from it.",
    why: "Pods of the service would find an empty folder.",
    fix: "Delete the service first, or give it the annotation `serving.kserve.io/disable-localmodel`.",
    ..DENY
};

pub(crate) static SOURCE_STAYS: Rule = Rule {
    id: "LM-U01",
    title: "source stays",
    scope: &[Kind::LocalModelCache, Kind::LocalModelNamespaceCache],
    stateless: true,
    change: true,
    doc: "`sourceModelUri` does not change.",
    why: "Volumes and jobs of the cache are made for the old source.",
    fix: "Create another cache.",
    cel: Some(
        "oldObject == null || oldObject.spec.?sourceModelUri.orValue('') == variables.spec.?sourceModelUri.orValue('')",
    ),
    ..DENY
};

pub(crate) static NODE_GROUP: Rule = Rule {
    id: "LN-V01",
    title: "node groups exist",
    scope: &[Kind::LocalModelNamespaceCache],
    needs: &[Part::NodeGroups],
    doc: "Each of `nodeGroups` is a LocalModelNodeGroup.",
    why: "There would be no volume to keep the model in.",
    fix: "Correct the name, or create the node group first.",
    ..DENY
};

pub(crate) static NODE_GROUP_LATER: Rule = Rule {
    id: "LM-C02",
    title: "node groups of a cluster cache exist",
    scope: &[Kind::LocalModelCache],
    needs: &[Part::NodeGroups],
    doc: "Each of `nodeGroups` is a LocalModelNodeGroup.",
    why: "There would be no volume to keep the model in.",
    fix: "Correct the name, or create the node group first.",
    ..LATER
};

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    if review.request.operation == Operation::Delete {
        return in_use(review, out);
    }
    let spec = review.object().at("spec");
    let source = spec.at("sourceModelUri");
    if review.request.kind == Kind::LocalModelCache {
        if out.can_look_up(&SAME_SOURCE) {
            for other in review
                .snapshot
                .caches_of(source.text())
                .filter(|name| *name != review.name())
            {
                out.push(
                    &SAME_SOURCE,
                    &source,
                    format!("the cache `{other}` holds `{}` already", source.text()),
                );
            }
        }
        node_groups(&NODE_GROUP_LATER, review, out);
    } else {
        node_groups(&NODE_GROUP, review, out);
    }
    if let (Operation::Update, Some(old)) = (review.request.operation, review.request.old) {
        let old = Node::root(old);
        let before = old.path(&["spec", "sourceModelUri"]);
        // An object of another name is not this one before the change. No API server sends that; upstream's tests do.
        let same = old.path(&["metadata", "name"]).text() == review.metadata().at("name").text();
        if same && before.text() != source.text() {
            let message = format!(
                "the source cannot change from `{}` to `{}`",
                before.text(),
                source.text()
            );
            out.push(&SOURCE_STAYS, &source, message);
        }
    }
}

fn node_groups(rule: &'static Rule, review: Review<'_>, out: &mut Findings<'_>) {
    let groups = review.object().path(&["spec", "nodeGroups"]);
    if groups.is_empty() || !out.can_look_up(rule) {
        return;
    }
    let known = review.snapshot.node_groups();
    for group in groups.items().filter(|group| !known.contains(group.text())) {
        out.push(
            rule,
            &group,
            format!("there is no LocalModelNodeGroup `{}`", group.text()),
        )
        .hint(suggest::hint(group.text(), known.iter().map(String::as_str)));
    }
}

/// A service that the status lists and that is gone refuses the deletion too, as upstream; one of an LLM does not.
fn in_use(review: Review<'_>, out: &mut Findings<'_>) {
    let status = review.object().at("status");
    let (services, llm_services) = (status.at("inferenceServices"), status.at("llmInferenceServices"));
    if services.is_empty() && llm_services.is_empty() || !out.can_look_up(&IN_USE) {
        return;
    }
    let namespace = (review.request.kind == Kind::LocalModelNamespaceCache).then(|| review.namespace());
    let uses = |entry: &CacheUse| {
        entry.cache.as_deref() == Some(review.name())
            && namespace.is_none_or(|namespace| entry.namespace.as_deref() == Some(namespace))
    };
    let place = |entry: &Node<'_>| {
        (
            entry.at("namespace").text().to_owned(),
            entry.at("name").text().to_owned(),
        )
    };
    for entry in services.items() {
        let (namespace, name) = place(&entry);
        let message = match review
            .snapshot
            .services
            .get(&namespace)
            .and_then(|services| services.get(&name))
        {
            None => format!("the InferenceService `{namespace}/{name}` may read from it, and was not found"),
            Some(service) if uses(service) => {
                format!("the InferenceService `{namespace}/{name}` reads from it")
            }
            Some(_) => continue,
        };
        out.push(&IN_USE, &entry, message);
    }
    for entry in llm_services.items() {
        let (namespace, name) = place(&entry);
        if review
            .snapshot
            .llm_services
            .get(&namespace)
            .and_then(|services| services.get(&name))
            .is_some_and(uses)
        {
            out.push(
                &IN_USE,
                &entry,
                format!("the LLMInferenceService `{namespace}/{name}` reads from it"),
            );
        }
    }
}
