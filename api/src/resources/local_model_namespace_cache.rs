//! LocalModelNamespaceCache `v1alpha1`: a LocalModelCache for one namespace. Source: KServe
//! `pkg/apis/serving/v1alpha1/local_model_namespace_cache_types.go`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local_model_cache::{LocalModelCacheSpec, LocalModelCacheStatus};

/// Spec of a LocalModelNamespaceCache, which is that of a LocalModelCache.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "serving.kserve.io",
    version = "v1alpha1",
    kind = "LocalModelNamespaceCache",
    plural = "localmodelnamespacecaches",
    namespaced,
    status = "LocalModelCacheStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Source", "type":"string", "jsonPath":".spec.sourceModelUri"}"#,
    printcolumn = r#"{"name":"Size", "type":"string", "jsonPath":".spec.modelSize"}"#,
    printcolumn = r#"{"name":"Copies", "type":"integer", "jsonPath":".status.copies.available"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(transparent)]
pub struct LocalModelNamespaceCacheSpec(pub LocalModelCacheSpec);

impl std::ops::Deref for LocalModelNamespaceCacheSpec {
    type Target = LocalModelCacheSpec;

    fn deref(&self) -> &LocalModelCacheSpec {
        &self.0
    }
}
