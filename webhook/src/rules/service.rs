//! `InferenceService`.

use super::sink::{Findings, Review};
use crate::{config::DeploymentMode, names, node::Node};

pub(crate) mod autoscaling;
pub(crate) mod canary;
pub(crate) mod confidential;
pub(crate) mod env;
pub(crate) mod framework;
pub(crate) mod implementation;
pub(crate) mod later;
pub(crate) mod length;
pub(crate) mod logger;
pub(crate) mod metadata;
pub(crate) mod model_mesh;
pub(crate) mod multi_node;
pub(crate) mod paths;
pub(crate) mod replicas;
pub(crate) mod runtime;
pub(crate) mod storage;
pub(crate) mod update;

/// The parts of a service that pods are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Predictor,
    Transformer,
    Explainer,
}

/// One part and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component<'a> {
    pub(crate) role: Role,
    pub(crate) node: Node<'a>,
}

/// The object, with the places that many rules look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) review: Review<'a>,
    pub(crate) annotations: Node<'a>,
    pub(crate) spec: Node<'a>,
    pub(crate) predictor: Node<'a>,
}

impl<'a> Service<'a> {
    pub(crate) fn of(review: Review<'a>) -> Self {
        let spec = review.object().at("spec");
        Self {
            review,
            annotations: review.metadata().at("annotations"),
            spec,
            predictor: spec.at("predictor"),
        }
    }

    /// The annotation as it stands. Upstream's webhook compares it raw.
    pub(crate) fn raw_mode(&self) -> &'a str {
        self.annotations.at(names::DEPLOYMENT_MODE).text()
    }

    pub(crate) fn model_mesh(&self) -> bool {
        self.raw_mode() == DeploymentMode::ModelMesh.as_str()
    }

    /// The mode that the controller will use: an unknown annotation falls through to the default, silently.
    pub(crate) fn mode(&self) -> DeploymentMode {
        DeploymentMode::parse(self.raw_mode())
            .unwrap_or(self.review.snapshot.config().default_deployment_mode)
    }

    /// The predictor, and what else is present.
    pub(crate) fn components(&self) -> impl Iterator<Item = Component<'a>> + use<'a> {
        let optional = [(Role::Transformer, "transformer"), (Role::Explainer, "explainer")];
        let spec = self.spec;
        let optional = optional
            .into_iter()
            .map(move |(role, key)| Component {
                role,
                node: spec.at(key),
            })
            .filter(|component| component.node.exists());
        [Component {
            role: Role::Predictor,
            node: self.predictor,
        }]
        .into_iter()
        .chain(optional)
    }

    /// The predictors: the stable one and those of the canary list.
    pub(crate) fn predictors(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        [self.predictor].into_iter().chain(
            self.spec
                .at("canary")
                .items()
                .map(|canary| canary.at("predictor")),
        )
    }
}

/// The model blocks of a predictor that are present: `model` and the older one for each framework.
pub(crate) fn blocks<'a>(predictor: &Node<'a>) -> impl Iterator<Item = (&'static str, Node<'a>)> + use<'a> {
    let predictor = *predictor;
    ["model"]
        .into_iter()
        .chain(names::FRAMEWORKS)
        .map(move |key| (key, predictor.at(key)))
        .filter(|(_, block)| block.exists())
}

/// The value of an environment variable of a container.
pub(crate) fn env<'a>(container: &Node<'a>, name: &str) -> Option<Node<'a>> {
    container
        .at("env")
        .items()
        .find(|entry| entry.at("name").str() == Some(name))
        .map(|entry| entry.at("value"))
}

/// The one URI that the component's model comes from: of the model block, or of the container's environment.
pub(crate) fn storage_uri<'a>(component: &Component<'a>) -> Option<Node<'a>> {
    let node = &component.node;
    let own = match component.role {
        Role::Predictor => {
            if let Some((_, block)) = blocks(node).next() {
                return Some(block.at("storageUri")).filter(Node::exists);
            }
            node.at("containers")
                .items()
                .find(|container| container.at("name").str() == Some(names::containers::KSERVE))
        }
        Role::Transformer => Some(node.at("containers").index(0)),
        Role::Explainer => {
            let art = node.at("art");
            if art.exists() {
                return Some(art.at("storageUri")).filter(|uri| !uri.text().is_empty());
            }
            Some(node.at("containers").index(0))
        }
    };
    own.and_then(|container| env(&container, "STORAGE_URI"))
}

/// Every rule of the kind.
pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    let service = Service::of(review);
    metadata::check(&service, out);
    env::check(&service, out);
    multi_node::check(&service, out);
    paths::check(&service, out);
    confidential::check(&service, out);
    for component in service.components() {
        implementation::check(&component, out);
        framework::check(&service, &component, out);
        replicas::check(&component.node, out);
        logger::check(&component.node, out);
        autoscaling::check(&service, &component, out);
        later::check(&component, out);
    }
    canary::check(&service, out);
    storage::check(&service, out);
    runtime::check(&service, out);
    length::check(&service, out);
    model_mesh::check(&service, out);
    update::check(&service, out);
}
