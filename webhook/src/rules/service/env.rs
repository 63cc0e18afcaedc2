//! Environment variables that containers may not have.

use super::{Service, blocks};
use crate::{
    names,
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule, sink::Findings},
};

pub(crate) static PYTHONPATH: Rule = Rule {
    id: "IS-V03",
    title: "no PYTHONPATH",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "No container sets the environment variable `PYTHONPATH`.",
    why: "It lets a manifest replace the modules of a model server with other code.",
    fix: "Remove it; put modules into the image.",
    cel: Some(
        "(variables.components + (has(variables.predictor.workerSpec) ? [variables.predictor.workerSpec] : []))\
         .all(c, (c.?containers.orValue([]) + c.?initContainers.orValue([]))\
         .all(k, k.?env.orValue([]).all(e, e.?name.orValue('') != 'PYTHONPATH'))) && \
         variables.blocks.all(b, variables.predictor[b].?env.orValue([]).all(e, e.?name.orValue('') != 'PYTHONPATH')) && \
         variables.spec.?explainer.?art.?env.orValue([]).all(e, e.?name.orValue('') != 'PYTHONPATH')",
    ),
    ..DENY
};

pub(crate) static CANARY_PYTHONPATH: Rule = Rule {
    id: "IS-C24",
    title: "no PYTHONPATH in a canary",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "No container of a canary's predictor sets the environment variable `PYTHONPATH`.",
    why: "As IS-V03; upstream looks at the stable predictor only.",
    fix: "Remove it; put modules into the image.",
    cel: Some(
        "variables.spec.?canary.orValue([]).all(c, (c.?predictor.?containers.orValue([]) + \
         c.?predictor.?initContainers.orValue([]) + [c.?predictor.?model.orValue({})])\
         .all(k, k.?env.orValue([]).all(e, e.?name.orValue('') != 'PYTHONPATH')))",
    ),
    ..LATER
};

pub(crate) static TRANSFORMER_URI: Rule = Rule {
    id: "IS-V05",
    title: "collocated transformer",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The container `transformer-container` of a predictor does not set `STORAGE_URI`.",
    why: "The model belongs to the server beside it; a second download would go to the same folder.",
    fix: "Remove the variable; set `storageUri` of the model.",
    cel: Some(
        "variables.predictor.?containers.orValue([]).filter(k, k.?name.orValue('') == 'transformer-container')\
         .map(k, k.?env.orValue([]).all(e, e.?name.orValue('') != 'STORAGE_URI'))[?0].orValue(true)",
    ),
    ..DENY
};

pub(crate) static MODEL_NAME: Rule = Rule {
    id: "IS-V06",
    title: "no container name in a model",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`name` is not set inside `model` or a framework's block.",
    why: "The container is called `kserve-container`; another name would make a second container of it.",
    fix: "Remove `name`. The format's name is `modelFormat.name`, the object's is `metadata.name`.",
    cel: Some("variables.blocks.all(b, variables.predictor[b].?name.orValue('') == '')"),
    ..DENY
};

/// Reports every `PYTHONPATH` of a container.
pub(crate) fn python_path(rule: &'static Rule, container: &Node<'_>, out: &mut Findings<'_>) {
    for entry in container.at("env").items() {
        if entry.at("name").str() == Some("PYTHONPATH") {
            let message = match container.at("name").text() {
                "" => "`PYTHONPATH` may not be set".to_owned(),
                name => format!("`PYTHONPATH` may not be set in container `{name}`"),
            };
            out.push(rule, &entry.at("name"), message).about(&entry);
        }
    }
}

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    let explainer = service.spec.at("explainer");
    for pod in [
        service.predictor,
        service.predictor.at("workerSpec"),
        service.spec.at("transformer"),
        explainer,
    ] {
        for list in ["containers", "initContainers"] {
            for container in pod.at(list).items() {
                python_path(&PYTHONPATH, &container, out);
            }
        }
    }
    for (_, block) in blocks(&service.predictor) {
        python_path(&PYTHONPATH, &block, out);
        let name = block.at("name");
        if !name.text().is_empty() {
            let message = format!("a model has no container name; found `{}`", name.text());
            out.push(&MODEL_NAME, &name, message)
                .advise("remove it, or write `modelFormat.name` if that was meant");
        }
    }
    python_path(&PYTHONPATH, &explainer.at("art"), out);
    for canary in service.spec.at("canary").items() {
        let predictor = canary.at("predictor");
        for list in ["containers", "initContainers"] {
            for container in predictor.at(list).items() {
                python_path(&CANARY_PYTHONPATH, &container, out);
            }
        }
        python_path(&CANARY_PYTHONPATH, &predictor.at("model"), out);
    }

    for container in service.predictor.at("containers").items() {
        if container.at("name").str() != Some(names::containers::TRANSFORMER) {
            continue;
        }
        for entry in container
            .at("env")
            .items()
            .filter(|entry| entry.at("name").str() == Some("STORAGE_URI"))
        {
            let message = "a transformer beside a model has no `STORAGE_URI` of its own";
            out.push(&TRANSFORMER_URI, &entry.at("name"), message)
                .about(&entry);
        }
        break;
    }
}
