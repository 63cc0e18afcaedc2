//! A framework's block (`sklearn: ...`), the older way to write a model, becomes `model`.

use serde_json::{Map, Value, json};

use super::Changes;
use crate::{
    names,
    node::Node,
    patch::Patch,
    review::Kind,
    rules::{defaulting::REPLACED, service::Service, sink::Findings},
    runtime_defaults::assumed_protocol,
    schema::complete,
    suggest,
};

const PREDICTOR: &str = "/spec/predictor";
/// Where `kubectl apply` keeps the manifest that was applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Converts the block; formats that only speak v2 get that protocol; the format is noted.
pub(super) fn convert(
    service: &Service<'_>,
    patch: &mut Patch,
    changes: &mut Changes,
    out: &mut Findings<'_>,
) {
    let predictor = &service.predictor;
    let mut older = names::FRAMEWORKS
        .into_iter()
        .map(|key| (key, predictor.at(key)))
        .filter(|(_, node)| node.exists());
    let model = predictor.at("model");
    let block = older.next();
    if older.next().is_some() {
        // Two of them are refused by validation, in the words of the manifest if it is left alone.
        return;
    }
    let Some((framework, block)) = block else {
        let format = model.path(&["modelFormat", "name"]).text();
        if matches!(format, "triton" | "vLLM") && !model.at("protocolVersion").exists() {
            let current = model.object().and_then(|members| members.get("protocolVersion"));
            patch.set("/spec/predictor/model", "protocolVersion", current, json!("v2"));
        }
        if !format.is_empty() {
            note_format(service, format, changes);
        }
        return;
    };
    let Some(members) = block.object() else { return };
    let converted = converted(framework, members);
    if model.exists() {
        tell(service, framework, &block, &converted, out);
    }
    patch.remove(PREDICTOR, framework);
    let current = predictor.object().and_then(|members| members.get("model"));
    patch.set(PREDICTOR, "model", current, converted);
    note_format(service, framework, changes);
}

fn converted(framework: &str, block: &Map<String, Value>) -> Value {
    let mut members = block.clone();
    members.insert("modelFormat".to_owned(), json!({"name": framework}));
    if let Some(protocol) = assumed_protocol(framework)
        && block.get("protocolVersion").is_none_or(Value::is_null)
    {
        members.insert("protocolVersion".to_owned(), json!(protocol));
    }
    Value::Object(members)
}

fn note_format(service: &Service<'_>, format: &str, changes: &mut Changes) {
    if !service.annotations.at(names::MODEL_FORMAT).exists() {
        changes.annotate(names::MODEL_FORMAT, format);
    }
}

/// Says what is lost with the `model` that the block replaces.
///
/// A manifest with a block alone gets here too, when it is applied again: what was made of it the first time is stored,
/// and applying leaves fields that the manifest does not name. So a stored `model` that the request leaves as it is was
/// not written by its author. It is replaced in silence where it comes from a block, and with a warning about what it
/// has besides where it may come from one.
fn tell(service: &Service<'_>, framework: &str, block: &Node<'_>, converted: &Value, out: &mut Findings<'_>) {
    let model = service.predictor.at("model");
    if plain(model.value()) == plain(converted) {
        return;
    }
    let old = service.review.request.old.map(Node::root);
    let stored = old
        .map(|old| old.path(&["spec", "predictor", "model"]))
        .filter(Node::exists);
    let untouched = stored.is_some_and(|stored| plain(stored.value()) == plain(model.value()));
    if !untouched {
        out.push(
            &REPLACED,
            &model,
            format!("`{framework}` replaces `model`, which is dropped"),
        )
        .advise("keep one of the two");
        return;
    }
    if old.is_some_and(|old| is_applied(&old, model.value())) {
        return;
    }
    if !may_be_converted(framework, &model) {
        let message = format!("`{framework}` replaces the stored `model`, which is dropped");
        out.push(&REPLACED, &model, message)
            .advise("change `model` instead, or remove it in the same request")
            .about(&model)
            .about(block);
        return;
    }
    let lost = lost(&plain(model.value()), converted);
    if !lost.is_empty() {
        let lost = suggest::list(lost.iter().map(String::as_str));
        let message = format!("`{framework}` replaces the stored `model`, which also has {lost}");
        out.push(&REPLACED, &model, message)
            .hint(format!("write what is to stay into `{framework}`"))
            .uncertain(true);
    }
}

/// Whether `model` is what the manifest that was applied last becomes.
fn is_applied(old: &Node<'_>, model: &Value) -> bool {
    let text = old.path(&["metadata", "annotations", LAST_APPLIED]).text();
    let manifest: Value = serde_json::from_str(text).unwrap_or_default();
    let predictor = &manifest["spec"]["predictor"];
    names::FRAMEWORKS
        .into_iter()
        .filter_map(|framework| Some((framework, predictor.get(framework)?.as_object()?)))
        .any(|(framework, block)| completed(converted(framework, block)) == completed(model.clone()))
}

/// With the defaults that the API server fills in, and plain.
fn completed(model: Value) -> Value {
    let kind = Kind::InferenceService;
    let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.name()});
    object["spec"]["predictor"]["model"] = model;
    complete(kind, &mut object);
    plain(&object["spec"]["predictor"]["model"])
}

/// A block knows neither a runtime nor the version of its format.
fn may_be_converted(framework: &str, model: &Node<'_>) -> bool {
    plain(model.at("modelFormat").value()) == json!({"name": framework}) && !model.at("runtime").exists()
}

/// Without what is empty: upstream's webhook writes such members, and they mean nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| (key.clone(), plain(member)))
            .filter(|(_, member)| !is_empty(member))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Members of `before` that are not in `after`, at every depth outside of lists.
fn lost(before: &Value, after: &Value) -> Vec<String> {
    let Value::Object(members) = before else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, member) in members {
        match after.get(key) {
            None | Some(Value::Null) => found.push(key.clone()),
            Some(kept) => found.extend(
                lost(member, kept)
                    .into_iter()
                    .map(|below| format!("{key}.{below}")),
            ),
        }
    }
    found
}

#[cfg(test)]
mod tests;
