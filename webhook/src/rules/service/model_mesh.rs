//! A service in ModelMesh mode: what ModelMesh Serving's controller finds wrong, and tells its log only.

use api::resources::inference_service::model_mesh::{
    FRAMEWORK_FIELDS, FRAMEWORKS, MODEL_FIELDS, PREDICTOR_FIELDS, STORAGE_FIELDS,
};
use serde_json::Value;

use super::{Service, blocks, storage};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{LATER, Rule, sink::Findings},
    suggest,
};

pub(crate) static MAPPED: Rule = Rule {
    id: "IS-M01",
    title: "models of a mesh",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "In ModelMesh mode the predictor has `model`, or a framework block other than `paddle` and `huggingface`.",
    why: "A mesh loads models into shared servers; it runs no containers of a service's own.",
    fix: "Use `model` with a format that a multi-model runtime serves.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') != 'ModelMesh' || \
         variables.blocks.exists(b, !(b in ['paddle', 'huggingface']))",
    ),
    ..LATER
};

pub(crate) static RUNTIME_ANNOTATION: Rule = Rule {
    id: "IS-M02",
    title: "runtime annotation",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "In ModelMesh mode, `model` does not come with the annotation `serving.kserve.io/servingRuntime`.",
    why: "The annotation belongs to framework blocks, and the controller refuses both together.",
    fix: "Use `model.runtime`.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') != 'ModelMesh' || \
         !has(variables.predictor.model) || !('serving.kserve.io/servingRuntime' in variables.annotations)",
    ),
    ..LATER
};

pub(crate) static ONE_PLACE: Rule = Rule {
    id: "IS-M03",
    title: "one place of the model",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "In ModelMesh mode a model has exactly one of `storageUri` and `storage.path`.",
    why: "Both say where the model is, and without either there is nothing to load.",
    fix: "Set one of them.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') != 'ModelMesh' || \
         variables.blocks.all(b, b in ['paddle', 'huggingface'] || (variables.predictor[b].?storageUri.orValue('') != '') != \
         (variables.predictor[b].?storage.?path.orValue('') != ''))",
    ),
    ..LATER
};

pub(crate) static SCHEME: Rule = Rule {
    id: "IS-M04",
    title: "storage scheme in a mesh",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "In ModelMesh mode, `storageUri` starts with `s3://`, `gs://`, `pvc://`, `http://` or `https://`.",
    why: "The puller in the pods of the mesh knows no others.",
    fix: "Use one of them, or `storage.key` with an entry of the storage Secret.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') != 'ModelMesh' || \
         variables.blocks.all(b, b in ['paddle', 'huggingface'] || \
         variables.predictor[b].?storageUri.orValue('') == '' || \
         variables.predictor[b].storageUri.matches('^(s3|gs|pvc|https?)://'))",
    ),
    ..LATER
};

pub(crate) static IGNORED: Rule = Rule {
    id: "IS-M05",
    title: "ignored in a mesh",
    scope: &[Kind::InferenceService],
    doc: "In ModelMesh mode, `spec` has only fields that the controller reads.",
    why: "What is ignored looks as if it were in effect: resources, loggers, node selectors and the like belong to \
          the runtime, whose pods all models share.",
    fix: "Remove the field; set it at the ServingRuntime if all of its models shall have it.",
    ..LATER
};

const SCHEMES: [&str; 5] = ["s3", "gs", "pvc", "http", "https"];

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    if !service.model_mesh() {
        return;
    }
    let mut any = false;
    for (framework, block) in blocks(&service.predictor) {
        if framework == "model" {
            any = true;
            let annotation = service.annotations.at(names::SERVING_RUNTIME);
            if annotation.exists() {
                let message = format!("`{}` is not read beside `model`", names::SERVING_RUNTIME);
                out.push(&RUNTIME_ANNOTATION, &annotation, message)
                    .advise("use `model.runtime`");
            }
        } else if FRAMEWORKS.contains(&framework) {
            any = true;
        } else {
            out.push(
                &MAPPED,
                &block,
                format!("`{framework}` is not mapped to a format in a mesh"),
            )
            .advise("use `model` with `modelFormat.name`");
            continue;
        }
        check_place(service, &block, out);
        let fields: &[&str] = if framework == "model" {
            &MODEL_FIELDS
        } else {
            &FRAMEWORK_FIELDS
        };
        ignored(&block, fields, out);
        ignored(&block.at("storage"), &STORAGE_FIELDS, out);
    }
    let containers = service.predictor.at("containers");
    if !any && !containers.is_empty() {
        out.push(
            &MAPPED,
            &containers,
            "a mesh runs no containers of a service's own",
        )
        .advise("use `model`, or another deployment mode");
    } else {
        ignored_of_predictor(service, out);
    }
    let explainer = service.spec.at("explainer");
    if explainer.exists() {
        out.push(
            &IGNORED,
            &explainer,
            "`explainer` has no effect in ModelMesh mode",
        );
    }
}

fn check_place(service: &Service<'_>, block: &Node<'_>, out: &mut Findings<'_>) {
    let (uri, path) = (block.at("storageUri"), block.path(&["storage", "path"]));
    match (uri.text(), path.text()) {
        ("", "") => {
            out.push(
                &ONE_PLACE,
                &uri,
                "a model in a mesh needs a `storageUri` or a `storage.path`",
            );
        }
        (uri_text, _) if !uri_text.is_empty() && !path.text().is_empty() => {
            let message = format!("`storageUri` is set too (`{uri_text}`); a model has one place");
            out.push(&ONE_PLACE, &path, message);
        }
        _ => {}
    }
    if !uri.text().is_empty() && !names::scheme(uri.text()).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        let scheme = names::scheme(uri.text()).unwrap_or_default();
        let message = format!("a mesh does not pull models from `{}`", uri.text());
        out.push(&SCHEME, &uri, message)
            .hint(suggest::hint(scheme, SCHEMES));
    }
    if !block.path(&["storage", "key"]).exists() {
        storage::check_key(&storage::KEY, &service.annotations.at(names::SECRET_KEY), out);
    }
}

fn ignored_of_predictor(service: &Service<'_>, out: &mut Findings<'_>) {
    let mut read: Vec<&str> = PREDICTOR_FIELDS.to_vec();
    // Defaulting itself writes the last one.
    read.extend(["model", "automountServiceAccountToken"]);
    read.extend(names::FRAMEWORKS);
    ignored(&service.predictor, &read, out);
}

/// Reports the members of an object that are not in `read` and say something.
fn ignored(object: &Node<'_>, read: &[&str], out: &mut Findings<'_>) {
    for (name, node) in object.members() {
        if !read.contains(&name) && says_something(node.value()) {
            out.push(
                &IGNORED,
                &node,
                format!("`{name}` has no effect in ModelMesh mode"),
            );
        }
    }
}

/// Upstream stores empty values that nobody wrote.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => members.values().any(says_something),
    }
}
