//! `TrainedModel`: a model that an agent loads into a service that is already there.

use api::resources::Quantity;

use super::sink::{Findings, Review};
use crate::{
    names,
    node::Node,
    review::{Kind, Operation},
    rules::{DENY, LATER, Rule},
    snapshot::Part,
    suggest,
};

const KINDS: &[Kind] = &[Kind::TrainedModel];

pub(crate) static NAME: Rule = Rule {
    id: "TM-V01",
    title: "model name",
    scope: KINDS,
    stateless: true,
    doc: "The name is letters, digits, `-` and `_`.",
    why: "It becomes a folder and a part of URLs.",
    fix: "Rename the object without dots and spaces.",
    cel: Some("object.metadata.?name.orValue('').matches('^[a-zA-Z0-9_-]+$')"),
    ..DENY
};

pub(crate) static URI: Rule = Rule {
    id: "TM-V02",
    title: "model URI",
    scope: KINDS,
    stateless: true,
    doc: "`model.storageUri` starts with `s3://`, `gs://`, `https://` or `http://`.",
    why: "The agent in the pod downloads from these only.",
    fix: "Store the model in a bucket or behind a web server.",
    cel: Some("variables.spec.?model.?storageUri.orValue('').matches('^(s3|gs|https?)://')"),
    ..DENY
};

pub(crate) static MEMORY: Rule = Rule {
    id: "TM-U01",
    title: "memory stays",
    scope: KINDS,
    stateless: true,
    change: true,
    doc: "`model.memory` does not change.",
    why: "The model was placed by it.",
    fix: "Delete the object and create it again.",
    cel: Some(
        "oldObject == null || quantity(string(oldObject.spec.?model.?memory.orValue('0')))\
         .compareTo(quantity(string(variables.spec.?model.?memory.orValue('0')))) == 0",
    ),
    ..DENY
};

pub(crate) static PARENT: Rule = Rule {
    id: "TM-C01",
    title: "parent service",
    scope: KINDS,
    needs: &[Part::InferenceServices],
    doc: "`inferenceService` is an InferenceService of the namespace.",
    why: "There is no pod to load the model into.",
    fix: "Correct the name, or create the service first.",
    ..LATER
};

const SCHEMES: [&str; 4] = ["s3", "gs", "https", "http"];

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    let name = review.name();
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        let message = format!("`{name}` is no name for a model: letters, digits, `-` and `_`");
        out.push(&NAME, &review.metadata().at("name"), message);
    }
    let spec = review.object().at("spec");
    let uri = spec.path(&["model", "storageUri"]);
    if !names::scheme(uri.text()).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        let hint = names::scheme(uri.text()).and_then(|scheme| suggest::hint(scheme, SCHEMES));
        let message = format!(
            "a model comes from `s3://`, `gs://`, `https://` or `http://`; found `{}`",
            uri.text()
        );
        out.push(&URI, &uri, message).hint(hint);
    }
    if let (Operation::Update, Some(old)) = (review.request.operation, review.request.old) {
        check_memory(
            &Node::root(old).path(&["spec", "model", "memory"]),
            &spec.path(&["model", "memory"]),
            out,
        );
    }

    let parent = spec.at("inferenceService");
    if parent.text().is_empty() || !out.can_look_up(&PARENT) {
        return;
    }
    let services = review.snapshot.services.get(review.namespace());
    if !services.is_some_and(|services| services.contains_key(parent.text())) {
        let known = services
            .into_iter()
            .flat_map(|services| services.keys())
            .map(String::as_str);
        let hint = suggest::nearest(parent.text(), known).map(|near| format!("did you mean `{near}`?"));
        let message = format!(
            "there is no InferenceService `{}` in the namespace",
            parent.text()
        );
        out.push(&PARENT, &parent, message).hint(hint);
    }
}

fn check_memory(old: &Node<'_>, new: &Node<'_>, out: &mut Findings<'_>) {
    let amount = |node: &Node<'_>| {
        if node.exists() {
            Quantity(node.value().clone())
        } else {
            Quantity::from("0")
        }
    };
    let (before, now) = (amount(old), amount(new));
    // What is no quantity is a finding of the schema.
    if let (Ok(left), Ok(right)) = (before.nanos(), now.nanos())
        && left != right
    {
        out.push(
            &MEMORY,
            new,
            format!("`memory` cannot change from `{before}` to `{now}`"),
        );
    }
}
