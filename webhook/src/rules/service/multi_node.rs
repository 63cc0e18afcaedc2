//! Models that span nodes: a predictor with a `workerSpec`.

use super::{Service, env};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, Rule, gpu, sink::Findings},
    snapshot::Part,
};

pub(crate) static WORKERS: Rule = Rule {
    id: "IS-V04a",
    title: "one worker container",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`workerSpec` has at most one container.",
    why: "Its container is merged with the one of the runtime; there is no place for a second.",
    fix: "Keep `worker-container` only.",
    cel: Some("variables.predictor.?workerSpec.?containers.orValue([]).size() <= 1"),
    ..DENY
};

pub(crate) static SIZE_ENV: Rule = Rule {
    id: "IS-V04b",
    title: "parallel sizes are fields",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "With a `workerSpec`, `model.env` does not set `PIPELINE_PARALLEL_SIZE` or `TENSOR_PARALLEL_SIZE`.",
    why: "The controller writes both from `workerSpec`; two sources of one number contradict each other.",
    fix: "Set `workerSpec.pipelineParallelSize` and `workerSpec.tensorParallelSize`.",
    cel: Some(
        "!has(variables.predictor.workerSpec) || variables.predictor.?model.?env.orValue([])\
         .all(e, !(e.?name.orValue('') in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))",
    ),
    ..DENY
};

pub(crate) static GPU: Rule = Rule {
    id: "IS-V04c",
    title: "known GPUs",
    scope: &[Kind::InferenceService],
    needs: &[Part::Config],
    doc: "With a `workerSpec`, containers ask for CPU, memory, storage and known GPUs only.",
    why: "The controller counts GPUs to place the workers, and cannot count a resource that it does not know.",
    fix: "Name further GPU resources in the annotation `serving.kserve.io/gpu-resource-types`, a JSON list.",
    ..DENY
};

pub(crate) static STORAGE: Rule = Rule {
    id: "IS-V04d",
    title: "shared storage of workers",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "With a `workerSpec`, `model.storageUri` is set and starts with `pvc://` or `oci://`.",
    why: "Every worker needs the same files, so they come from a shared volume or an image.",
    fix: "Copy the model to a volume that many pods can read, and name it as `pvc://claim/path`.",
    cel: Some(
        "!has(variables.predictor.workerSpec) || !has(variables.predictor.model) || \
         variables.predictor.model.?storageUri.orValue('').split('://')[0] in ['pvc', 'oci']",
    ),
    ..DENY
};

pub(crate) static AUTOSCALER: Rule = Rule {
    id: "IS-V04e",
    title: "no autoscaler for workers",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "With a `workerSpec`, the annotation `serving.kserve.io/autoscalerClass` is `none`.",
    why: "Workers belong to one head; an autoscaler would add heads without workers.",
    fix: "Add the annotation `serving.kserve.io/autoscalerClass: none`.",
    cel: Some(
        "!has(variables.predictor.workerSpec) || !has(variables.predictor.model) || \
         ('serving.kserve.io/autoscalerClass' in variables.annotations && \
         variables.annotations['serving.kserve.io/autoscalerClass'] == 'none')",
    ),
    ..DENY
};

pub(crate) static SIZE: Rule = Rule {
    id: "IS-V04f",
    title: "parallel sizes",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`workerSpec.pipelineParallelSize` and `workerSpec.tensorParallelSize` are at least 1.",
    why: "They are numbers of pods and of GPUs in each.",
    fix: "Use 1 or more, or leave the field out, which means 1.",
    cel: Some(
        "variables.predictor.?workerSpec.?pipelineParallelSize.orValue(1) >= 1 && \
         variables.predictor.?workerSpec.?tensorParallelSize.orValue(1) >= 1",
    ),
    ..DENY
};

pub(crate) const SIZE_VARIABLES: [(&str, &str); 2] = [
    ("PIPELINE_PARALLEL_SIZE", "pipelineParallelSize"),
    ("TENSOR_PARALLEL_SIZE", "tensorParallelSize"),
];

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    let workers = service.predictor.at("workerSpec");
    if !workers.exists() {
        return;
    }
    let containers = workers.at("containers");
    if containers.len() > 1 {
        let message = format!(
            "`workerSpec` has one container at most; found {}",
            containers.len()
        );
        out.push(&WORKERS, &containers, message);
    }
    let model = service.predictor.at("model");
    if model.exists() {
        check_model(service, &model, out);
    }
    sizes(&SIZE, &workers, out);
    for container in containers.items() {
        gpu::check(&GPU, &container, &service.annotations, out);
    }
}

fn check_model(service: &Service<'_>, model: &Node<'_>, out: &mut Findings<'_>) {
    size_variables(&SIZE_ENV, model, out);
    gpu::check(&GPU, model, &service.annotations, out);

    let uri = model.at("storageUri");
    match uri.str().map(|uri| uri.split("://").next().unwrap_or_default()) {
        Some("pvc" | "oci") => {}
        Some(_) => {
            let message = format!(
                "a model with workers comes from `pvc://` or `oci://`; found `{}`",
                uri.text()
            );
            out.push(&STORAGE, &uri, message);
        }
        None => {
            out.push(&STORAGE, &uri, "a model with workers needs a `storageUri`")
                .advise("use `pvc://claim/path`");
        }
    }

    let class = service.annotations.at(names::AUTOSCALER_CLASS);
    if class.str() != Some("none") {
        let message = format!(
            "a model with workers has the annotation `{}: none`",
            names::AUTOSCALER_CLASS
        );
        out.push(&AUTOSCALER, &class, message);
    }
}

/// Reports both variables that the controller itself writes.
pub(crate) fn size_variables(rule: &'static Rule, container: &Node<'_>, out: &mut Findings<'_>) {
    for (variable, field) in SIZE_VARIABLES {
        if let Some(value) = env(container, variable) {
            out.push(rule, &value, format!("`{variable}` is written by the controller"))
                .hint(format!("set `workerSpec.{field}`"));
        }
    }
}

/// Reports sizes below one.
pub(crate) fn sizes(rule: &'static Rule, workers: &Node<'_>, out: &mut Findings<'_>) {
    for (_, field) in SIZE_VARIABLES {
        let size = workers.at(field);
        if let Some(value) = size.int().filter(|value| *value < 1) {
            out.push(
                rule,
                &size,
                format!("`{field}` must be at least 1; found {value}"),
            );
        }
    }
}
