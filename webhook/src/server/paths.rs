//! Which webhook is served where: `KServe`'s paths, ModelMesh Serving's, and in the same way one for each other kind.

use crate::review::Kind;

/// What a webhook does with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Defaults it.
    Mutate,
    /// Allows or denies it.
    Validate,
}

impl Purpose {
    /// The first word of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

/// One webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Path of its URL.
    pub path: &'static str,
    /// What it does.
    pub purpose: Purpose,
    /// Kinds that it takes.
    pub kinds: &'static [Kind],
}

const fn validate(path: &'static str, kinds: &'static [Kind]) -> Endpoint {
    Endpoint {
        path,
        purpose: Purpose::Validate,
        kinds,
    }
}

/// Every webhook.
pub const ENDPOINTS: [Endpoint; 11] = [
    Endpoint {
        path: "/mutate-serving-kserve-io-v1beta1-inferenceservice",
        purpose: Purpose::Mutate,
        kinds: &[Kind::InferenceService],
    },
    validate(
        "/validate-serving-kserve-io-v1beta1-inferenceservice",
        &[Kind::InferenceService],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-servingruntime",
        &[Kind::ServingRuntime],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-clusterservingruntime",
        &[Kind::ClusterServingRuntime],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-trainedmodel",
        &[Kind::TrainedModel],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-inferencegraph",
        &[Kind::InferenceGraph],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-localmodelcache",
        &[Kind::LocalModelCache],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-localmodelnamespacecache",
        &[Kind::LocalModelNamespaceCache],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-clusterstoragecontainer",
        &[Kind::ClusterStorageContainer],
    ),
    validate(
        "/validate-serving-kserve-io-v1alpha1-predictor",
        &[Kind::Predictor],
    ),
    // ModelMesh Serving's only webhook.
    validate(
        "/validate-serving-modelmesh-io-v1alpha1-servingruntime",
        &[Kind::ServingRuntime, Kind::ClusterServingRuntime],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_validated_at_a_path_that_names_it() {
        for kind in Kind::ALL {
            let (group, version) = kind.api_version().split_once('/').unwrap();
            let name = kind.name().to_lowercase();
            let path = format!("/validate-{}-{version}-{name}", group.replace('.', "-"));
            let found: Vec<_> = ENDPOINTS
                .iter()
                .filter(|endpoint| endpoint.path == path)
                .collect();
            assert_eq!(found.len(), 1, "{path}");
            assert_eq!(
                (found[0].purpose, found[0].kinds),
                (Purpose::Validate, &[kind][..])
            );
        }
    }

    #[test]
    fn paths_differ() {
        let mut paths: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), ENDPOINTS.len());
    }
}
