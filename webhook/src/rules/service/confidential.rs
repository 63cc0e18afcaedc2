//! Models that are stored encrypted.

use super::{Service, blocks};
use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, Rule, WARN, sink::Findings},
};

pub(crate) static STORAGE: Rule = Rule {
    id: "IS-V08a",
    title: "confidential storage",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A confidential model has a `storageUri`.",
    why: "There is nothing to decrypt otherwise.",
    fix: "Set `storageUri`, or remove `confidential`.",
    cel: Some(
        "variables.blocks.all(b, !variables.predictor[b].?confidential.?enabled.orValue(false) || \
         variables.predictor[b].?storageUri.orValue('') != '')",
    ),
    ..DENY
};

pub(crate) static RESOURCE: Rule = Rule {
    id: "IS-V08b",
    title: "key of a confidential model",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`confidential.resourceId` looks like `kbs:///repository/type/tag`.",
    why: "It is asked of a key broker, which knows only such names.",
    fix: "Write three parts of letters, digits, `_`, `.` and `-` after `kbs:///`, or leave the field out.",
    cel: Some(
        "variables.blocks.all(b, !variables.predictor[b].?confidential.?enabled.orValue(false) || \
         variables.predictor[b].confidential.?resourceId.orValue('') == '' || \
         variables.predictor[b].confidential.resourceId.matches(\
         '^kbs:///[a-zA-Z0-9_.-]+/[a-zA-Z0-9_.-]+/[a-zA-Z0-9_.-]+$'))",
    ),
    ..DENY
};

pub(crate) static NO_EFFECT: Rule = Rule {
    id: "IS-V08c",
    title: "confidential without effect",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A confidential model is downloaded, so not from `oci://` or `pvc://`.",
    why: "Models from images and volumes are mounted as they are; nothing decrypts them.",
    fix: "Store the model in a bucket, or remove `confidential`.",
    cel: Some(
        "variables.blocks.all(b, !variables.predictor[b].?confidential.?enabled.orValue(false) || \
         !variables.predictor[b].?storageUri.orValue('').matches('^(oci|pvc)://'))",
    ),
    ..WARN
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    for (_, block) in blocks(&service.predictor) {
        let confidential = block.at("confidential");
        if confidential.at("enabled").is_true() {
            check_block(&block, &confidential, out);
        }
    }
}

fn check_block(block: &Node<'_>, confidential: &Node<'_>, out: &mut Findings<'_>) {
    let (uri, resource) = (block.at("storageUri"), confidential.at("resourceId"));
    if uri.text().is_empty() {
        out.push(&STORAGE, &uri, "a confidential model needs a `storageUri`");
    }
    if !resource.text().is_empty() && !is_key_name(resource.text()) {
        let message = format!("`{}` is no name of a key", resource.text());
        out.push(&RESOURCE, &resource, message)
            .advise("write `kbs:///repository/type/tag`");
    }
    if let Some(scheme) = ["oci://", "pvc://"]
        .into_iter()
        .find(|scheme| uri.text().starts_with(scheme))
    {
        let message =
            format!("`confidential` has no effect on a model from `{scheme}`: it is mounted, not downloaded");
        out.push(&NO_EFFECT, confidential, message);
    }
}

fn is_key_name(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("kbs:///") else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    parts.len() == 3 && parts.iter().all(plain)
}
