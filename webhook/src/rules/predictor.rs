//! `Predictor`: a model of a mesh. ModelMesh Serving checks all of this in its controller.

use super::sink::{Findings, Review};
use crate::{
    node::Node,
    review::Kind,
    rules::{
        LATER, Rule, WARN,
        service::{runtime, storage},
    },
    select::{self, Wish},
    snapshot::Part,
};

const KINDS: &[Kind] = &[Kind::Predictor];

pub(crate) static TWINS: Rule = Rule {
    id: "PR-C01",
    title: "one spelling of a path",
    scope: KINDS,
    stateless: true,
    doc: "`path` and `storage.path` are not both set, nor `schemaPath` and `storage.schemaPath`.",
    why: "The first of each is the old spelling of the second (`InvalidPredictorSpec`).",
    fix: "Keep the one below `storage`.",
    cel: Some(
        "!(has(variables.spec.path) && has(variables.spec.storage) && has(variables.spec.storage.path)) && \
         !(has(variables.spec.schemaPath) && has(variables.spec.storage) && has(variables.spec.storage.schemaPath))",
    ),
    ..LATER
};

pub(crate) static CLAIM: Rule = Rule {
    id: "PR-C02",
    title: "no claim in a predictor",
    scope: KINDS,
    stateless: true,
    doc: "`storage.persistentVolumeClaim` is not set.",
    why: "It was never implemented (`InvalidPredictorSpec`).",
    fix: "Use `storage.parameters` with `type: pvc` and `name`.",
    cel: Some("!has(variables.spec.storage) || !has(variables.spec.storage.persistentVolumeClaim)"),
    ..LATER
};

pub(crate) static S3: Rule = Rule {
    id: "PR-C03",
    title: "old S3 block",
    scope: KINDS,
    stateless: true,
    doc: "`storage.s3` stands without `path`, `schemaPath`, `key` and `parameters` beside it.",
    why: "It is the old spelling of `key` and `parameters` (`InvalidPredictorSpec`).",
    fix: "Write `storage.key` for `secretKey` and `storage.parameters.bucket` for `bucket`.",
    cel: Some(
        "!has(variables.spec.storage) || !has(variables.spec.storage.s3) || (!has(variables.spec.storage.key) && \
         !has(variables.spec.storage.parameters) && !has(variables.spec.storage.path) && \
         !has(variables.spec.storage.schemaPath))",
    ),
    ..LATER
};

pub(crate) static RUNTIME: Rule = Rule {
    id: "PR-C04",
    title: "runtime of a predictor",
    scope: KINDS,
    needs: &[Part::ServingRuntimes, Part::ClusterServingRuntimes],
    doc: "`runtime.name` is an enabled multi-model runtime.",
    why: "The model stays in the state `FailedToLoad` (`RuntimeNotRecognized`).",
    fix: "Correct the name, or leave `runtime` out.",
    ..LATER
};

pub(crate) static NONE: Rule = Rule {
    id: "PR-C05",
    title: "some runtime fits",
    scope: KINDS,
    needs: &[Part::ServingRuntimes, Part::ClusterServingRuntimes],
    doc: "Some enabled multi-model runtime serves the model's type, version and protocol.",
    why: "The model is not loaded anywhere (`NoSupportingRuntime`).",
    fix: "The message lists the runtimes that were looked at and why each was left out.",
    ..LATER
};

pub(crate) static PROTOCOL: Rule = Rule {
    id: "PR-C06",
    title: "known protocol",
    scope: KINDS,
    stateless: true,
    doc: "`protocolVersion` is `v1`, `v2`, `grpc-v1` or `grpc-v2`.",
    why: "No runtime speaks another one.",
    fix: "Correct the spelling.",
    cel: Some("variables.spec.?protocolVersion.orValue('v1') in ['v1', 'v2', 'grpc-v1', 'grpc-v2']"),
    ..LATER
};

pub(crate) static KEY: Rule = Rule {
    id: "PR-C07",
    title: "storage key",
    scope: KINDS,
    needs: &[Part::StorageSecrets, Part::Config],
    doc: "`storage.key` (or `storage.s3.secretKey`) is a key of the storage Secret of the namespace.",
    why: "The model is not loaded without the credentials that the key names.",
    fix: "Correct the key, or add it to the Secret.",
    ..LATER
};

pub(crate) static TYPE: Rule = Rule {
    id: "PR-C08",
    title: "type of the model",
    scope: KINDS,
    stateless: true,
    doc: "`modelType.name` is set.",
    why: "The runtime is found by it.",
    fix: "Add it, for example `modelType: {name: sklearn}`.",
    cel: Some("variables.spec.?modelType.?name.orValue('') != ''"),
    ..LATER
};

pub(crate) static IGNORED: Rule = Rule {
    id: "PR-C09",
    title: "ignored fields",
    scope: KINDS,
    stateless: true,
    doc: "`gpu` and `serviceAccountName` are not set.",
    why: "Nothing reads them: both belong to the runtime, whose pods all models share.",
    fix: "Remove them, and set up the runtime.",
    cel: Some("!has(variables.spec.gpu) && !has(variables.spec.serviceAccountName)"),
    ..WARN
};

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    let spec = review.object().at("spec");
    let store = spec.at("storage");
    for field in ["path", "schemaPath"] {
        let (old, new) = (spec.at(field), store.at(field));
        if old.exists() && new.exists() {
            out.push(&TWINS, &old, format!("`{field}` is set here and in `storage`"))
                .advise("keep the one in `storage`");
        }
    }
    let claim = store.at("persistentVolumeClaim");
    if claim.exists() {
        out.push(&CLAIM, &claim, "`persistentVolumeClaim` is not supported")
            .advise("use `parameters: {type: pvc, name: CLAIM}`");
    }
    let s3 = store.at("s3");
    if s3.exists() {
        for field in ["path", "schemaPath", "key", "parameters"] {
            if store.at(field).exists() {
                out.push(&S3, &s3, format!("`s3` and `{field}` exclude each other"));
            }
        }
    }
    for field in ["gpu", "serviceAccountName"] {
        let node = spec.at(field);
        if node.exists() {
            out.push(&IGNORED, &node, format!("`{field}` of a predictor has no effect"));
        }
    }
    runtime::check_protocol(&PROTOCOL, &spec.at("protocolVersion"), out);
    for key in [store.at("key"), s3.at("secretKey")] {
        storage::check_key(&KEY, &key, out);
    }
    check_runtime(&spec, out);
}

fn check_runtime(spec: &Node<'_>, out: &mut Findings<'_>) {
    let format = spec.path(&["modelType", "name"]);
    if format.text().is_empty() {
        out.push(&TYPE, &format, "a predictor needs `modelType.name`")
            .advise("for example `sklearn`");
        return;
    }
    let wish = Wish {
        namespace: out.review.namespace(),
        format: format.text(),
        version: spec.path(&["modelType", "version"]).str(),
        protocol: spec.at("protocolVersion").str(),
        multi_model: true,
        multi_node: false,
    };
    let name = spec.path(&["runtime", "name"]);
    if let Some(text) = name.str() {
        let Some(found) = runtime::named(&RUNTIME, &wish, text, &name, out) else {
            return;
        };
        if let Some(objection) = runtime::not_in_mesh(found) {
            out.push(
                &RUNTIME,
                &name,
                format!("the {} `{text}` {objection}", found.kind()),
            );
        }
    } else if out.can_look_up(&NONE) {
        let snapshot = out.review.snapshot;
        let selection = select::model_mesh(&wish, snapshot);
        if selection.candidates.is_empty() {
            runtime::nothing_fits(&NONE, &wish, &selection, &format, out);
        }
    }
}
