//! Filling a snapshot: one object at a time, from watches or files.

use std::sync::Arc;

use api::names::config::INFERENCE_SERVICE_CONFIG;
use serde_json::Value;

use super::{CacheUse, Freshness, LocalModel, Namespaced, Part, Runtime, Snapshot, StorageContainer};
use crate::{
    config::{Config, ConfigError},
    node::Node,
};

/// What an object was to the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is part of the snapshot now.
    Stored(Part),
    /// Nothing that rules look up.
    Irrelevant,
}

impl Snapshot {
    /// A snapshot in which every part is what the API server says, with nothing in it.
    pub fn synced() -> Self {
        let freshness = Part::ALL
            .into_iter()
            .map(|part| (part, Freshness::Synced))
            .collect();
        Self {
            freshness,
            ..Self::default()
        }
    }

    /// Says how far `part` can be trusted.
    pub fn set_freshness(&mut self, part: Part, freshness: Freshness) {
        self.freshness.insert(part, freshness);
    }

    /// Takes over a parsed configuration.
    pub fn set_config(&mut self, config: Config) {
        self.config = Arc::new(config);
    }

    /// Takes in the names of the keys of a storage Secret. Values never come here.
    pub fn set_secret_keys(&mut self, namespace: &str, name: &str, keys: impl IntoIterator<Item = String>) {
        let namespace = Arc::make_mut(&mut self.storage_secrets)
            .entry(namespace.to_owned())
            .or_default();
        namespace.insert(name.to_owned(), keys.into_iter().collect());
    }

    /// Takes in an object of any kind that rules look up. Of a Secret only the names of its keys are kept. Objects of
    /// namespaced kinds without a namespace are taken to be in `namespace`.
    pub fn observe(&mut self, object: &Value, namespace: &str) -> Result<Seen, ConfigError> {
        let root = Node::root(object);
        let metadata = root.at("metadata");
        let name = metadata.at("name").text();
        let namespace = metadata
            .at("namespace")
            .str()
            .filter(|text| !text.is_empty())
            .unwrap_or(namespace);
        let part = match root.at("kind").text() {
            "ConfigMap" if name == INFERENCE_SERVICE_CONFIG => {
                let empty = serde_json::Map::new();
                self.set_config(Config::parse(root.at("data").object().unwrap_or(&empty))?);
                Part::Config
            }
            "ServingRuntime" => {
                let runtime = Runtime {
                    namespace: Some(namespace.to_owned()),
                    ..Runtime::read(object)
                };
                Arc::make_mut(&mut self.serving_runtimes)
                    .entry(namespace.to_owned())
                    .or_default()
                    .insert(runtime);
                Part::ServingRuntimes
            }
            "ClusterServingRuntime" => {
                let runtime = Runtime {
                    namespace: None,
                    ..Runtime::read(object)
                };
                Arc::make_mut(&mut self.cluster_runtimes).insert(runtime);
                Part::ClusterServingRuntimes
            }
            "InferenceService" => {
                insert(&mut self.services, namespace, name, CacheUse::read(&metadata));
                Part::InferenceServices
            }
            "LLMInferenceService" => {
                insert(&mut self.llm_services, namespace, name, CacheUse::read(&metadata));
                Part::LlmInferenceServices
            }
            "Secret" => {
                let keys = [root.at("data"), root.at("stringData")];
                let keys = keys
                    .iter()
                    .flat_map(Node::members)
                    .map(|(key, _)| key.to_owned())
                    .collect::<Vec<_>>();
                self.set_secret_keys(namespace, name, keys);
                Part::StorageSecrets
            }
            "LocalModelCache" => {
                self.forget_cache(name);
                let cache = LocalModel::read(&root, None);
                let sources = Arc::make_mut(&mut self.local_sources);
                sources
                    .entry(cache.source.clone())
                    .or_default()
                    .insert(cache.name.clone());
                Arc::make_mut(&mut self.local_models).insert(name.to_owned(), cache);
                Part::LocalModels
            }
            "LocalModelNamespaceCache" => {
                let cache = LocalModel::read(&root, Some(namespace));
                let caches = Arc::make_mut(&mut self.local_namespace_models);
                caches
                    .entry(namespace.to_owned())
                    .or_default()
                    .insert(name.to_owned(), cache);
                Part::LocalModels
            }
            "LocalModelNodeGroup" => {
                Arc::make_mut(&mut self.node_groups).insert(name.to_owned());
                Part::NodeGroups
            }
            "ClusterStorageContainer" => {
                let container = StorageContainer::read(&root);
                Arc::make_mut(&mut self.storage_containers).insert(name.to_owned(), container);
                Part::StorageContainers
            }
            _ => return Ok(Seen::Irrelevant),
        };
        Ok(Seen::Stored(part))
    }

    /// Drops an object that is gone, named by the field `kind`.
    pub fn forget(&mut self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "ConfigMap" if name == INFERENCE_SERVICE_CONFIG => self.config = Arc::default(),
            "ServingRuntime" => {
                let scopes = Arc::make_mut(&mut self.serving_runtimes);
                if let Some(runtimes) = scopes.get_mut(namespace) {
                    runtimes.remove(name);
                    if runtimes.is_empty() {
                        scopes.remove(namespace);
                    }
                }
            }
            "ClusterServingRuntime" => Arc::make_mut(&mut self.cluster_runtimes).remove(name),
            "InferenceService" => remove(&mut self.services, namespace, name),
            "LLMInferenceService" => remove(&mut self.llm_services, namespace, name),
            "Secret" => remove(&mut self.storage_secrets, namespace, name),
            "LocalModelCache" => self.forget_cache(name),
            "LocalModelNamespaceCache" => {
                if let Some(caches) = Arc::make_mut(&mut self.local_namespace_models).get_mut(namespace) {
                    caches.remove(name);
                }
            }
            "LocalModelNodeGroup" => {
                Arc::make_mut(&mut self.node_groups).remove(name);
            }
            "ClusterStorageContainer" => {
                Arc::make_mut(&mut self.storage_containers).remove(name);
            }
            _ => {}
        }
    }

    fn forget_cache(&mut self, name: &str) {
        let Some(old) = Arc::make_mut(&mut self.local_models).remove(name) else {
            return;
        };
        let sources = Arc::make_mut(&mut self.local_sources);
        if let Some(names) = sources.get_mut(&old.source) {
            names.remove(name);
            if names.is_empty() {
                sources.remove(&old.source);
            }
        }
    }
}

impl LocalModel {
    fn read(root: &Node<'_>, namespace: Option<&str>) -> Self {
        let spec = root.at("spec");
        let node_groups = spec
            .at("nodeGroups")
            .items()
            .filter_map(|node| node.str())
            .map(str::to_owned)
            .collect();
        Self {
            name: root.path(&["metadata", "name"]).text().to_owned(),
            namespace: namespace.map(str::to_owned),
            source: spec.at("sourceModelUri").text().to_owned(),
            node_groups,
        }
    }
}

impl CacheUse {
    fn read(metadata: &Node<'_>) -> Self {
        let labels = metadata.at("labels");
        let label = |key: &'static str| labels.at(key).str().map(str::to_owned);
        Self {
            cache: label(crate::names::LOCAL_MODEL),
            namespace: label(crate::names::LOCAL_MODEL_NAMESPACE),
        }
    }
}

fn insert<T: Clone>(map: &mut Arc<Namespaced<T>>, namespace: &str, name: &str, value: T) {
    Arc::make_mut(map)
        .entry(namespace.to_owned())
        .or_default()
        .insert(name.to_owned(), value);
}

fn remove<T: Clone>(map: &mut Arc<Namespaced<T>>, namespace: &str, name: &str) {
    let map = Arc::make_mut(map);
    if let Some(inner) = map.get_mut(namespace) {
        inner.remove(name);
        if inner.is_empty() {
            map.remove(namespace);
        }
    }
}
