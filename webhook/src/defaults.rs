//! Defaulting of `InferenceService` objects, as a minimal patch on the raw JSON.
//!
//! The patch adds what upstream's webhook would add and nothing else: no zero values, no reordering. Applying it and
//! defaulting again gives no patch.

use serde_json::{Map, Value, json};

use crate::{
    config::{Config, DeploymentMode},
    finding::Finding,
    names,
    node::Node,
    patch::{Patch, PatchOperation},
    review::{Kind, Operation, Options, Request},
    rules::{
        ratchet,
        service::{Component, Role, Service, blocks},
        sink::{Findings, Review},
        suppress,
    },
    snapshot::{Freshness, Part, Snapshot},
};

mod containers;
mod local_model;
mod metadata;
mod model;

use metadata::Changes;

/// What defaulting makes of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaulted {
    /// What to change; empty when nothing is.
    pub patch: Vec<PatchOperation>,
    /// What a person should know about it. With a denial the object is refused, and the patch only shows what would have
    /// become of it.
    pub findings: Vec<Finding>,
}

/// Defaults the object of a create or update. Objects of other kinds, and objects that cannot be decoded, stay as
/// they are: validation says what is wrong with them.
pub fn default(request: &Request<'_>, snapshot: &Snapshot, options: &Options) -> Defaulted {
    let (Kind::InferenceService, Some(object)) = (request.kind, request.object) else {
        return Defaulted::default();
    };
    let root = Node::root(object);
    let deleting = root.path(&["metadata", "deletionTimestamp"]).exists();
    if request.operation == Operation::Delete || deleting || !decodes(&root) {
        return Defaulted::default();
    }
    let review = Review {
        request: *request,
        root: object,
        snapshot,
        options,
    };
    let (patch, mut findings) = run(review);
    if let Some(old) = ratchet::stored(request, options, &findings) {
        let stored = Review {
            request: Request {
                object: Some(old),
                ..*request
            },
            root: old,
            ..review
        };
        ratchet::soften(&mut findings, &run(stored).1);
    }
    if options.suppressions {
        suppress::apply(&root.path(&["metadata", "annotations"]), &mut findings);
    }
    Defaulted {
        patch: patch.into_operations(),
        findings,
    }
}

fn run(review: Review<'_>) -> (Patch, Vec<Finding>) {
    let mut out = Findings::new(review);
    let patch = Defaulting {
        service: Service::of(review),
        config: review.snapshot.config(),
    }
    .run(&mut out);
    (patch, out.list)
}

/// Whether the places that patches go to have the types that they need.
fn decodes(root: &Node<'_>) -> bool {
    let object = |node: Node<'_>| !node.exists() || node.object().is_some();
    let spec = root.at("spec");
    let metadata = root.at("metadata");
    metadata.object().is_some()
        && spec.object().is_some()
        && [metadata.at("annotations"), metadata.at("labels")]
            .into_iter()
            .all(|map| object(map) && map.members().all(|(_, value)| value.str().is_some()))
        && ["predictor", "transformer", "explainer"]
            .into_iter()
            .all(|key| object(spec.at(key)))
}

struct Defaulting<'a> {
    service: Service<'a>,
    config: &'a Config,
}

impl Defaulting<'_> {
    fn run(&self, out: &mut Findings<'_>) -> Patch {
        let mut patch = Patch::default();
        let mut changes = Changes::default();
        self.mode(&mut changes);
        // The guard is the annotation as it was sent: with ModelMesh as the cluster's default, the first pass still
        // turns blocks into `model`, as upstream.
        if !self.service.model_mesh() {
            model::convert(&self.service, &mut patch, &mut changes, out);
        }
        self.containers(&mut patch);
        local_model::label(&self.service, self.config, &mut changes, out);
        self.token(&mut patch);
        changes.write(&self.service.review.metadata(), &mut patch);
        patch
    }

    /// The mode's old names become the new ones, and a default other than Knative is written down: not for a service that
    /// runs in another mode already, whose update would then be refused for a change that nobody asked for. Upstream does
    /// that, and so do we without ratcheting.
    fn mode(&self, changes: &mut Changes) {
        let annotation = self.service.annotations.at(names::DEPLOYMENT_MODE);
        let mode = match annotation.str() {
            Some("RawDeployment") => DeploymentMode::Standard,
            Some("Serverless") => DeploymentMode::Knative,
            None if self.config.default_deployment_mode != DeploymentMode::Knative
                && !self.runs_otherwise() =>
            {
                self.config.default_deployment_mode
            }
            _ => return,
        };
        changes.annotate(names::DEPLOYMENT_MODE, mode.as_str());
    }

    /// Whether the stored service runs in another mode than the configured one.
    fn runs_otherwise(&self) -> bool {
        let Review { request, options, .. } = self.service.review;
        let stored = request
            .old
            .filter(|_| options.ratchet && request.operation == Operation::Update);
        let running = stored.and_then(|old| {
            let mode = Node::root(old).path(&["status", "deploymentMode"]).text();
            DeploymentMode::parse(mode)
        });
        running.is_some_and(|mode| mode != self.config.default_deployment_mode)
    }

    /// Custom containers get the name that everybody looks for, and resources.
    fn containers(&self, patch: &mut Patch) {
        for component in self.service.components() {
            if self.custom(&component) {
                containers::default(&component, &self.config.resources, patch);
            }
        }
        let explainer = self.service.spec.at("explainer");
        let art = explainer.at("art");
        if art.object().is_some() && explainer.at("containers").is_empty() {
            containers::default_art(&art, self.config, patch);
        }
    }

    fn custom(&self, component: &Component<'_>) -> bool {
        let node = &component.node;
        if node.at("containers").index(0).object().is_none() {
            return false;
        }
        match component.role {
            // Upstream leaves a predictor alone in ModelMesh mode, and one with two servers.
            Role::Predictor => {
                let named = |node: &Node<'_>| node.at("name").str() == Some(names::containers::KSERVE);
                !self.service.model_mesh()
                    && blocks(node).next().is_none()
                    && node.at("containers").items().filter(named).count() <= 1
            }
            Role::Transformer => true,
            Role::Explainer => !node.at("art").exists(),
        }
    }

    /// A cluster that gives pods no token says so in the object.
    fn token(&self, patch: &mut Patch) {
        const FIELD: &str = "automountServiceAccountToken";
        if self.config.automount_token {
            return;
        }
        for component in self.service.components() {
            let Some(members) = component.node.object() else {
                continue;
            };
            if !component.node.at(FIELD).exists() {
                patch.set(
                    &component.node.field().pointer(),
                    FIELD,
                    members.get(FIELD),
                    json!(false),
                );
            }
        }
    }
}

/// Adds `additions` to the object at `parent` that are absent there; makes the object if need be.
fn fill(patch: &mut Patch, parent: &Node<'_>, key: &'static str, additions: Map<String, Value>) {
    if additions.is_empty() {
        return;
    }
    let Some(members) = parent.object() else { return };
    let pointer = parent.field().pointer();
    match members.get(key) {
        Some(Value::Object(present)) => {
            for (name, value) in additions {
                let current = present.get(&name);
                patch.set(&format!("{pointer}/{key}"), &name, current, value);
            }
        }
        current => patch.set(&pointer, key, current, Value::Object(additions)),
    }
}

/// Whether the caches may be trusted to add and to remove labels.
fn caches_known(snapshot: &Snapshot) -> bool {
    snapshot.freshness(Part::LocalModels) == Freshness::Synced
}

#[cfg(test)]
mod tests;
