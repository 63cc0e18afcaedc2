//! Names of what the controller makes from an object, which are longer than the object's own.

use super::{Role, Service};
use crate::{
    config::DeploymentMode,
    review::Kind,
    rules::{LATER, Rule, sink::Findings},
};

pub(crate) static LENGTH: Rule = Rule {
    id: "IS-C10",
    title: "length of names",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Names of the objects and hosts made from the service have at most 63 characters: `{name}-predictor`, \
          `{name}-transformer`, `{name}-explainer`, `{name}-{namespace}`.",
    why: "They become Services and host labels, which cannot be longer; the controller fails on them later.",
    fix: "Shorten the name of the service, of its predictor, or of the namespace.",
    cel: Some(
        "variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') == 'ModelMesh' || \
         (size(object.metadata.name) + size(object.metadata.?namespace.orValue('')) < 63 && \
         size(object.metadata.name) + 10 + (has(variables.predictor.name) && variables.predictor.name != '' ? \
         size(variables.predictor.name) + 1 : 0) <= 63 && \
         (!has(variables.spec.transformer) || size(object.metadata.name) + 12 <= 63) && \
         (!has(variables.spec.explainer) || size(object.metadata.name) + 10 <= 63))",
    ),
    ..LATER
};

/// Longest DNS label.
const LIMIT: usize = 63;

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    // Models of a mesh share the mesh's own Service.
    if service.model_mesh() || service.mode() == DeploymentMode::ModelMesh {
        return;
    }
    let metadata = service.review.metadata();
    let (name, namespace) = (service.review.name(), service.review.namespace());
    if name.len() > LIMIT {
        // Then the name itself is refused by the API server.
        return;
    }
    let too_long = |made: &str| made.len() > LIMIT;
    let say = |made: &str, what: &str| {
        format!(
            "`{made}`, {what}, would have {} characters; {LIMIT} fit",
            made.len()
        )
    };

    for component in service.components() {
        let made = match (component.role, component.node.at("name").text()) {
            (Role::Predictor, "") => format!("{name}-predictor"),
            (Role::Predictor, own) => format!("{name}-{own}-predictor"),
            (Role::Transformer, _) => format!("{name}-transformer"),
            (Role::Explainer, _) => format!("{name}-explainer"),
        };
        if too_long(&made) {
            out.push(
                &LENGTH,
                &metadata.at("name"),
                say(&made, "the Service of a component"),
            );
        }
    }
    for canary in service.spec.at("canary").items() {
        let own = canary.path(&["predictor", "name"]);
        let made = format!("{name}-{}-predictor", own.text());
        if !own.text().is_empty() && too_long(&made) {
            out.push(&LENGTH, &own, say(&made, "the Service of a canary"));
        }
    }
    if !namespace.is_empty() {
        let host = format!("{name}-{namespace}");
        if too_long(&host) {
            out.push(&LENGTH, &metadata.at("name"), say(&host, "the host name"));
        }
    }
}
