//! What each framework asks of its model, and custom servers of their container. Blocks that defaulting turns into
//! `model` are still looked at by these rules in ModelMesh mode, where nothing is turned.

use super::{Component, Role, Service, blocks, env};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, Rule, WARN, sink::Findings},
    suggest,
};

pub(crate) static ONNX: Rule = Rule {
    id: "IS-V10a",
    title: "ONNX file",
    scope: &[Kind::InferenceService],
    doc: "The `storageUri` of an `onnx` block ends with `.onnx` or has no extension.",
    why: "The server loads a file of that name, or a folder.",
    fix: "Point at the folder, or rename the file.",
    ..DENY
};

pub(crate) static GPU_VERSION: Rule = Rule {
    id: "IS-V10b",
    title: "GPU version",
    scope: &[Kind::InferenceService],
    doc: "`runtimeVersion` of `tensorflow` and `pytorch` has `-gpu` exactly if the block asks for a GPU.",
    why: "The CPU image does not see the GPU, and the GPU image does not start without one.",
    fix: "Add `-gpu` to the version and the GPU to `resources.limits`, or neither.",
    ..DENY
};

pub(crate) static STORAGE_TYPE: Rule = Rule {
    id: "IS-V10c",
    title: "type of the storage entry",
    scope: &[Kind::InferenceService],
    doc: "With `storage`, the URI or `storage.parameters.type` is of `s3`, `hdfs` or `webhdfs`.",
    why: "Credentials from the storage Secret are understood for these only.",
    fix: "Use one of the three, or remove `storage` and use a service account's credentials.",
    ..DENY
};

pub(crate) static CUSTOM_PROTOCOL: Rule = Rule {
    id: "IS-V10d",
    title: "protocol of a custom server",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The variable `PROTOCOL` of a custom predictor is `v1` or `v2`.",
    why: "It says how requests are passed to the server; gRPC is not passed by this way.",
    fix: "Use `v1` or `v2`, or remove the variable, which means `v1`.",
    cel: Some(
        "variables.predictors.all(p, variables.frameworks.exists(b, b in p) || p.?containers[?0].?env.orValue([])\
         .filter(e, e.?name.orValue('') == 'PROTOCOL').all(e, e.?value.orValue('') in ['v1', 'v2']))",
    ),
    ..DENY
};

pub(crate) static CONVERTED: Rule = Rule {
    id: "IS-C22",
    title: "framework rules for a model",
    scope: &[Kind::InferenceService],
    doc: "What holds for `onnx`, `tensorflow` and `pytorch` blocks holds for a `model` of that format.",
    why: "Upstream turns the blocks into `model` before it looks, so these checks are never made there.",
    fix: "As for the block of that framework.",
    ..WARN
};

const STORAGE_SCHEMES: [&str; 3] = ["s3", "hdfs", "webhdfs"];

pub(crate) fn check(service: &Service<'_>, component: &Component<'_>, out: &mut Findings<'_>) {
    match component.role {
        Role::Predictor => check_predictor(service, &component.node, out),
        Role::Explainer => storage_type(&component.node.at("art"), out),
        Role::Transformer => {}
    }
}

pub(crate) fn check_predictor(service: &Service<'_>, predictor: &Node<'_>, out: &mut Findings<'_>) {
    let mut custom = true;
    for (framework, block) in blocks(predictor) {
        custom = false;
        if framework == "model" {
            let format = block.at("modelFormat").at("name").text();
            if !service.model_mesh() {
                onnx_file(&CONVERTED, format, &block, out);
                gpu_version(&CONVERTED, format, &block, out);
            }
            continue;
        }
        onnx_file(&ONNX, framework, &block, out);
        gpu_version(&GPU_VERSION, framework, &block, out);
        if matches!(
            framework,
            "onnx" | "huggingface" | "pmml" | "tensorflow" | "pytorch"
        ) {
            storage_type(&block, out);
        }
    }
    if custom {
        custom_protocol(predictor, out);
    }
}

/// What follows the last dot of the last segment, as Go sees it.
fn extension(uri: &str) -> Option<&str> {
    let name = uri.rsplit('/').next()?;
    name.rfind('.').and_then(|dot| name.get(dot..))
}

fn onnx_file(rule: &'static Rule, framework: &str, block: &Node<'_>, out: &mut Findings<'_>) {
    if framework != "onnx" {
        return;
    }
    let uri = block.at("storageUri");
    let wrong = uri
        .str()
        .and_then(extension)
        .filter(|extension| *extension != ".onnx");
    if let Some(extension) = wrong {
        out.push(
            rule,
            &uri,
            format!("an ONNX model is a `.onnx` file or a folder; found `{extension}`"),
        );
    }
}

fn gpu_version(rule: &'static Rule, framework: &str, block: &Node<'_>, out: &mut Findings<'_>) {
    if !matches!(framework, "tensorflow" | "pytorch") {
        return;
    }
    let version = block.at("runtimeVersion");
    let Some(text) = version.str() else { return };
    let limits = block.at("resources").at("limits");
    let gpu = limits
        .members()
        .any(|(name, _)| name == "nvidia.com/gpu" || name.starts_with("nvidia.com/mig"));
    let message = match (text.contains("-gpu"), gpu) {
        (true, false) => format!("version `{text}` needs a GPU, and `resources.limits` has none"),
        (false, true) => format!("`resources.limits` has a GPU, and version `{text}` is for CPUs"),
        _ => return,
    };
    out.push(rule, &version, message).about(&limits);
}

fn storage_type(block: &Node<'_>, out: &mut Findings<'_>) {
    let storage = block.at("storage");
    if !storage.exists() {
        return;
    }
    let (uri, kind) = (block.at("storageUri"), storage.at("parameters").at("type"));
    if let Some(text) = uri.str().filter(|text| !text.is_empty()) {
        if !names::scheme(text).is_some_and(|scheme| STORAGE_SCHEMES.contains(&scheme)) {
            let message = format!(
                "with `storage`, the URI starts with `s3://`, `hdfs://` or `webhdfs://`; found `{text}`"
            );
            out.push(&STORAGE_TYPE, &uri, message);
        }
    } else if let Some(text) = kind.str().filter(|text| !STORAGE_SCHEMES.contains(text)) {
        out.push(
            &STORAGE_TYPE,
            &kind,
            format!("`{text}` is no type of storage here"),
        )
        .hint(suggest::hint(text, STORAGE_SCHEMES));
    }
}

fn custom_protocol(predictor: &Node<'_>, out: &mut Findings<'_>) {
    let container = predictor.at("containers").index(0);
    let Some(protocol) = env(&container, "PROTOCOL") else {
        return;
    };
    if !matches!(protocol.text(), "v1" | "v2") {
        let message = format!(
            "`PROTOCOL` of a custom server is `v1` or `v2`; found `{}`",
            protocol.text()
        );
        out.push(&CUSTOM_PROTOCOL, &protocol, message);
    }
}
