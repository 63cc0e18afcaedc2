//! What may not change.

use super::{Component, Role, Service, storage_uri};
use crate::{
    config::DeploymentMode,
    names,
    node::Node,
    review::{Kind, Operation},
    rules::{DENY, Rule, sink::Findings},
};

pub(crate) static MODE: Rule = Rule {
    id: "IS-U02",
    title: "deployment mode stays",
    scope: &[Kind::InferenceService],
    stateless: true,
    change: true,
    doc: "The annotation `serving.kserve.io/deploymentMode` does not differ from the mode that the service runs in.",
    why: "Nothing removes the objects of the old mode.",
    fix: "Delete the service and create it again, or create one with another name.",
    cel: Some(
        "oldObject == null || !('serving.kserve.io/deploymentMode' in variables.annotations) || \
         oldObject.?status.?deploymentMode.orValue('') == '' || \
         (oldObject.status.deploymentMode == 'RawDeployment' ? 'Standard' : \
         oldObject.status.deploymentMode == 'Serverless' ? 'Knative' : oldObject.status.deploymentMode) == \
         variables.annotations['serving.kserve.io/deploymentMode']",
    ),
    ..DENY
};

pub(crate) static NAME: Rule = Rule {
    id: "IS-U03",
    title: "predictor name stays",
    scope: &[Kind::InferenceService],
    change: true,
    doc: "`predictor.name` changes only together with the model's storage URI.",
    why: "The name stands for a version of the model; the same model under a new name would be deployed twice.",
    fix: "Keep the name, or point at the new model in the same change.",
    ..DENY
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    let request = service.review.request;
    let (Operation::Update, Some(old)) = (request.operation, request.old) else {
        return;
    };
    let old = Node::root(old);
    check_mode(service, &old, out);
    check_name(service, &old, out);
}

fn check_mode(service: &Service<'_>, old: &Node<'_>, out: &mut Findings<'_>) {
    let annotation = service.annotations.at(names::DEPLOYMENT_MODE);
    let running = old.path(&["status", "deploymentMode"]).text();
    let (Some(wanted), false) = (annotation.str(), running.is_empty()) else {
        return;
    };
    let present = DeploymentMode::parse(running).map_or(running, |mode| mode.as_str());
    if wanted != present {
        let message = format!("the service runs in the mode `{present}`, which cannot become `{wanted}`");
        out.push(&MODE, &annotation, message).hint(format!(
            "keep `{present}`, or delete the service and create it again"
        ));
    }
}

fn check_name(service: &Service<'_>, old: &Node<'_>, out: &mut Findings<'_>) {
    let before = Component {
        role: Role::Predictor,
        node: old.path(&["spec", "predictor"]),
    };
    let now = Component {
        role: Role::Predictor,
        node: service.predictor,
    };
    let (old_name, name) = (before.node.at("name"), now.node.at("name"));
    if old_name.text() == name.text() {
        return;
    }
    let uri = |component: &Component<'_>| storage_uri(component).map(|node| node.text().to_owned());
    if uri(&before) == uri(&now) {
        let message = format!(
            "the name changes from `{}` to `{}` and the model does not",
            old_name.text(),
            name.text()
        );
        out.push(&NAME, &name, message);
    }
}
