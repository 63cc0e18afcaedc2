//! The kinds, by name.

use super::GROUP;

/// A kind of custom resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A model or program that answers inference calls.
    InferenceService,
    /// How a model server is run, in a namespace.
    ServingRuntime,
    /// How a model server is run, in every namespace.
    ClusterServingRuntime,
    /// A model for a runtime of many models.
    Predictor,
    /// A model that is added to an InferenceService.
    TrainedModel,
    /// Calls that pass through several services.
    InferenceGraph,
    /// A model on the disks of nodes, for every namespace.
    LocalModelCache,
    /// A model on the disks of nodes, for a namespace.
    LocalModelNamespaceCache,
    /// The container that fetches models of some URIs.
    ClusterStorageContainer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::InferenceService,
        Self::ServingRuntime,
        Self::ClusterServingRuntime,
        Self::Predictor,
        Self::TrainedModel,
        Self::InferenceGraph,
        Self::LocalModelCache,
        Self::LocalModelNamespaceCache,
        Self::ClusterStorageContainer,
    ];

    /// Name as in `kind` of an object.
    pub fn name(self) -> &'static str {
        match self {
            Self::InferenceService => "InferenceService",
            Self::ServingRuntime => "ServingRuntime",
            Self::ClusterServingRuntime => "ClusterServingRuntime",
            Self::Predictor => "Predictor",
            Self::TrainedModel => "TrainedModel",
            Self::InferenceGraph => "InferenceGraph",
            Self::LocalModelCache => "LocalModelCache",
            Self::LocalModelNamespaceCache => "LocalModelNamespaceCache",
            Self::ClusterStorageContainer => "ClusterStorageContainer",
        }
    }

    /// Name as in URLs and RBAC rules.
    pub fn plural(self) -> &'static str {
        match self {
            Self::InferenceService => "inferenceservices",
            Self::ServingRuntime => "servingruntimes",
            Self::ClusterServingRuntime => "clusterservingruntimes",
            Self::Predictor => "predictors",
            Self::TrainedModel => "trainedmodels",
            Self::InferenceGraph => "inferencegraphs",
            Self::LocalModelCache => "localmodelcaches",
            Self::LocalModelNamespaceCache => "localmodelnamespacecaches",
            Self::ClusterStorageContainer => "clusterstoragecontainers",
        }
    }

    /// The version that is stored and served.
    pub fn version(self) -> &'static str {
        match self {
            Self::InferenceService => "v1beta1",
            _ => "v1alpha1",
        }
    }

    /// Group and version as in `apiVersion` of an object.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::InferenceService => "serving.kserve.io/v1beta1",
            _ => "serving.kserve.io/v1alpha1",
        }
    }

    /// Whether objects are in a namespace.
    pub fn namespaced(self) -> bool {
        !matches!(
            self,
            Self::ClusterServingRuntime | Self::LocalModelCache | Self::ClusterStorageContainer
        )
    }

    /// The kind of an object with these `apiVersion` and `kind`; any version of the group.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, _) = api_version.split_once('/')?;
        Self::ALL
            .into_iter()
            .find(|known| group == GROUP && known.name() == kind)
    }
}
