//! ClusterStorageContainer `v1alpha1`: the container that fetches models of some URIs. Source: KServe
//! `pkg/apis/serving/v1alpha1/storage_container_types.go`.
//!
//! The object is written by hand: `disabled` stands beside `spec`, which the derive macro does not know.

use std::borrow::Cow;

use kube::core::{ClusterResourceScope, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::pod::Container;
use super::{GROUP, Object, ObjectMeta, null_is_empty};

/// What a container can be used for.
pub const WORKLOAD_TYPES: [&str; 2] = ["initContainer", "localModelDownloadJob"];

/// The container that fetches models of some URIs.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStorageContainer {
    /// Group and version.
    pub api_version: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Metadata.
    #[schemars(skip)]
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The container and its URIs.
    #[serde(default, deserialize_with = "null_is_empty")]
    #[schemars(!default)]
    pub spec: StorageContainerSpec,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
}

/// The container and its URIs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageContainerSpec {
    /// The container; it gets the URI and a folder as arguments.
    #[schemars(required)]
    pub container: Option<Container>,
    /// URIs that it can fetch.
    #[schemars(required)]
    pub supported_uri_formats: Option<Vec<SupportedUriFormat>>,
    /// What it is used for: `initContainer` or `localModelDownloadJob`.
    #[schemars(extend("default" = "initContainer"))]
    pub workload_type: Option<String>,
    /// Whether it takes several pairs of URI and folder.
    #[schemars(extend("default" = false))]
    pub supports_multi_model_download: Option<bool>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// URIs by their beginning or by a regular expression.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SupportedUriFormat {
    /// Beginning of the URI.
    pub prefix: Option<String>,
    /// Regular expression for the URI.
    pub regex: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ClusterStorageContainer {
    /// Whether it is switched off; absent is no.
    pub fn is_disabled(&self) -> bool {
        self.disabled == Some(true)
    }
}

impl Resource for ClusterStorageContainer {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ClusterStorageContainer".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "clusterstoragecontainers".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
