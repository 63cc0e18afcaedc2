//! Runtimes for models that span nodes.

use super::{KINDS, RuntimeObject};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, Rule, gpu, service::multi_node, sink::Findings},
    snapshot::Part,
};

pub(crate) static STAYS: Rule = Rule {
    id: "SR-V03",
    title: "worker spec stays",
    scope: KINDS,
    stateless: true,
    change: true,
    doc: "`workerSpec` is not removed from a runtime.",
    why: "Services that span nodes would lose their workers.",
    fix: "Create another runtime without workers.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || oldObject == null || !has(oldObject.spec.workerSpec) || \
         has(variables.spec.workerSpec)",
    ),
    ..DENY
};

pub(crate) static ONE_CONTAINER: Rule = Rule {
    id: "SR-V04a",
    title: "one worker container",
    scope: KINDS,
    stateless: true,
    doc: "`workerSpec.containers` has exactly one container.",
    why: "There is one process in each worker pod.",
    fix: "Keep one container and call it `worker-container`.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !has(variables.spec.workerSpec) || \
         variables.spec.workerSpec.?containers.orValue([]).size() == 1",
    ),
    ..DENY
};

pub(crate) static SIZE_ENV: Rule = Rule {
    id: "SR-V04b",
    title: "parallel sizes are fields",
    scope: KINDS,
    stateless: true,
    doc: "With a `workerSpec`, `kserve-container` does not set `PIPELINE_PARALLEL_SIZE` or `TENSOR_PARALLEL_SIZE`.",
    why: "The controller writes both from `workerSpec`.",
    fix: "Set `workerSpec.pipelineParallelSize` and `workerSpec.tensorParallelSize`.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !has(variables.spec.workerSpec) || \
         variables.spec.?containers.orValue([]).all(k, k.?name.orValue('') != 'kserve-container' || \
         k.?env.orValue([]).all(e, !(e.?name.orValue('') in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE'])))",
    ),
    ..DENY
};

pub(crate) static GPU: Rule = Rule {
    id: "SR-V04c",
    title: "known GPUs",
    scope: KINDS,
    needs: &[Part::Config],
    doc: "With a `workerSpec`, `kserve-container` and `worker-container` ask for CPU, memory, storage and known GPUs.",
    why: "The controller counts GPUs, and cannot count a resource that it does not know.",
    fix: "Name further GPU resources in `spec.annotations`, `serving.kserve.io/gpu-resource-types`, a JSON list.",
    ..DENY
};

pub(crate) static SIZE: Rule = Rule {
    id: "SR-V04d",
    title: "parallel sizes",
    scope: KINDS,
    stateless: true,
    doc: "`workerSpec.pipelineParallelSize` and `workerSpec.tensorParallelSize` are at least 1.",
    why: "They are numbers of pods and of GPUs in each.",
    fix: "Use 1 or more, or leave the field out, which means 1.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || (variables.spec.?workerSpec.?pipelineParallelSize.orValue(1) >= 1 && \
         variables.spec.?workerSpec.?tensorParallelSize.orValue(1) >= 1)",
    ),
    ..DENY
};

pub(super) fn check(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let workers = runtime.spec.at("workerSpec");
    if !workers.exists() {
        removed(runtime, &workers, out);
        return;
    }
    let containers = workers.at("containers");
    if containers.len() != 1 {
        let message = format!(
            "`workerSpec` has exactly one container; found {}",
            containers.len()
        );
        out.push(&ONE_CONTAINER, &containers, message);
    }
    let annotations = runtime.spec.at("annotations");
    let named = |name: &'static str| move |node: &Node<'_>| node.at("name").str() == Some(name);
    let head = runtime
        .spec
        .at("containers")
        .items()
        .find(named(names::containers::KSERVE));
    if let Some(head) = head {
        multi_node::size_variables(&SIZE_ENV, &head, out);
        gpu::check(&GPU, &head, &annotations, out);
    }
    let worker = containers.index(0);
    if named(names::containers::WORKER)(&worker) {
        gpu::check(&GPU, &worker, &annotations, out);
    }
    multi_node::sizes(&SIZE, &workers, out);
}

fn removed(runtime: &RuntimeObject<'_>, workers: &Node<'_>, out: &mut Findings<'_>) {
    let review = runtime.review;
    let had = match review.request.old {
        Some(old) => Node::root(old).path(&["spec", "workerSpec"]).exists(),
        // Files that are checked against a cluster come without their old version.
        None => existing(runtime).is_some_and(|stored| stored.multi_node),
    };
    if had {
        out.push(&STAYS, workers, "`workerSpec` cannot be removed from a runtime");
    }
}

/// The stored runtime of this kind and name.
fn existing<'a>(runtime: &RuntimeObject<'a>) -> Option<&'a std::sync::Arc<crate::snapshot::Runtime>> {
    let review = runtime.review;
    if review.request.kind == Kind::ClusterServingRuntime {
        return review.snapshot.cluster_runtimes.get(review.name());
    }
    review
        .snapshot
        .serving_runtimes
        .get(review.namespace())?
        .get(review.name())
}
