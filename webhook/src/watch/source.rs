//! What is watched.

use kube::api::{ApiResource, GroupVersionKind};

use crate::Part;

/// How much of an object is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// The whole object.
    Whole,
    /// Its metadata; the API server sends nothing else.
    Metadata,
    /// The names of its keys. Values are dropped where the answer is decoded.
    Keys,
}

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All in the cluster.
    All,
    /// The one `ConfigMap` in our namespace.
    Configuration,
    /// Those of the name that the configuration gives, in every namespace.
    StorageSecrets,
}

/// One kind that is watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Plural, for the path, logs and metrics.
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) part: Part,
    pub(super) take: Take,
    pub(super) which: Which,
}

impl Source {
    pub(super) fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.name)
    }
}

const fn whole(name: &'static str, kind: &'static str, part: Part) -> Source {
    Source {
        name,
        group: "serving.kserve.io",
        version: "v1alpha1",
        kind,
        part,
        take: Take::Whole,
        which: Which::All,
    }
}

/// Everything that rules look up. Two sources may fill one part.
pub(super) static SOURCES: [Source; 10] = [
    Source {
        group: "",
        version: "v1",
        which: Which::Configuration,
        ..whole("configmaps", "ConfigMap", Part::Config)
    },
    whole("servingruntimes", "ServingRuntime", Part::ServingRuntimes),
    whole(
        "clusterservingruntimes",
        "ClusterServingRuntime",
        Part::ClusterServingRuntimes,
    ),
    Source {
        version: "v1beta1",
        take: Take::Metadata,
        ..whole("inferenceservices", "InferenceService", Part::InferenceServices)
    },
    Source {
        take: Take::Metadata,
        ..whole(
            "llminferenceservices",
            "LLMInferenceService",
            Part::LlmInferenceServices,
        )
    },
    Source {
        group: "",
        version: "v1",
        take: Take::Keys,
        which: Which::StorageSecrets,
        ..whole("secrets", "Secret", Part::StorageSecrets)
    },
    whole("localmodelcaches", "LocalModelCache", Part::LocalModels),
    whole(
        "localmodelnamespacecaches",
        "LocalModelNamespaceCache",
        Part::LocalModels,
    ),
    whole("localmodelnodegroups", "LocalModelNodeGroup", Part::NodeGroups),
    whole(
        "clusterstoragecontainers",
        "ClusterStorageContainer",
        Part::StorageContainers,
    ),
];
