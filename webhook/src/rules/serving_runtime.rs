//! `ServingRuntime` and `ClusterServingRuntime`, which share their `spec`.

use super::sink::{Findings, Review};
use crate::{node::Node, review::Kind};

pub(crate) mod autoscaling;
pub(crate) mod containers;
pub(crate) mod model_mesh;
pub(crate) mod priority;
pub(crate) mod workers;

const KINDS: &[Kind] = &[Kind::ServingRuntime, Kind::ClusterServingRuntime];

/// The object, with the place that most rules look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuntimeObject<'a> {
    pub(crate) review: Review<'a>,
    pub(crate) spec: Node<'a>,
}

/// Every rule of both kinds.
pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    let runtime = RuntimeObject {
        review,
        spec: review.object().at("spec"),
    };
    let multi_model = runtime.spec.at("multiModel").is_true();
    if multi_model {
        // ModelMesh Serving's own webhook looks at disabled runtimes too.
        autoscaling::check(&runtime, out);
    }
    if runtime.spec.at("disabled").is_true() {
        return;
    }
    priority::check(&runtime, out);
    workers::check(&runtime, out);
    containers::check(&runtime, out);
    if multi_model {
        model_mesh::check(&runtime, out);
    }
}
