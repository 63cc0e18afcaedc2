//! What rules may know of the cluster: plain data, filled by watches or from files, shared by `Arc`.
//!
//! A snapshot is cheap to clone; writers change a clone and publish it. A part that nobody has filled, or that may be
//! out of date, says so, and the rules that need it say that they could not look.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use regex::Regex;

use crate::{config::Config, node::Node};

mod runtime;

pub use runtime::{Format, Runtime};

/// What can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `ConfigMap` `inferenceservice-config`.
    Config,
    /// `ServingRuntime` objects.
    ServingRuntimes,
    /// `ClusterServingRuntime` objects.
    ClusterServingRuntimes,
    /// `InferenceService` objects.
    InferenceServices,
    /// `LLMInferenceService` objects, by their labels only.
    LlmInferenceServices,
    /// Secrets with storage credentials: names and keys, never values.
    StorageSecrets,
    /// `LocalModelCache` and `LocalModelNamespaceCache` objects.
    LocalModels,
    /// `LocalModelNodeGroup` objects.
    NodeGroups,
    /// `ClusterStorageContainer` objects.
    StorageContainers,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 9] = [
        Self::Config,
        Self::ServingRuntimes,
        Self::ClusterServingRuntimes,
        Self::InferenceServices,
        Self::LlmInferenceServices,
        Self::StorageSecrets,
        Self::LocalModels,
        Self::NodeGroups,
        Self::StorageContainers,
    ];

    /// The words for a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Config => "the ConfigMap `inferenceservice-config`",
            Self::ServingRuntimes => "ServingRuntimes",
            Self::ClusterServingRuntimes => "ClusterServingRuntimes",
            Self::InferenceServices => "InferenceServices",
            Self::LlmInferenceServices => "LLMInferenceServices",
            Self::StorageSecrets => "storage Secrets",
            Self::LocalModels => "local model caches",
            Self::NodeGroups => "LocalModelNodeGroups",
            Self::StorageContainers => "ClusterStorageContainers",
        }
    }
}

/// How far a part can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Freshness {
    /// Nobody looked: an offline check without `--context`. Rules stay silent.
    #[default]
    Absent,
    /// It was filled once, and may be out of date, or is still being filled. Rules warn that they did not look.
    Stale,
    /// It is what the API server says.
    Synced,
}

/// The runtimes of one namespace, or of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtimes {
    by_name: BTreeMap<String, Arc<Runtime>>,
    /// Names by format in lower case.
    by_format: HashMap<String, BTreeSet<String>>,
}

impl Runtimes {
    fn insert(&mut self, runtime: Runtime) {
        self.remove(&runtime.name);
        for format in &runtime.formats {
            self.by_format
                .entry(format.name.to_ascii_lowercase())
                .or_default()
                .insert(runtime.name.clone());
        }
        self.by_name.insert(runtime.name.clone(), Arc::new(runtime));
    }

    fn remove(&mut self, name: &str) {
        let Some(old) = self.by_name.remove(name) else {
            return;
        };
        for format in &old.formats {
            let key = format.name.to_ascii_lowercase();
            if let Some(names) = self.by_format.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.by_format.remove(&key);
                }
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Runtime>> {
        self.by_name.get(name)
    }

    fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether there is one of another name.
    pub(crate) fn has_other(&self, than: &str) -> bool {
        self.by_name.keys().any(|name| name != than)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().map(String::as_str)
    }

    /// Those that list the format, whatever its case.
    pub(crate) fn with_format(&self, format: &str) -> impl Iterator<Item = &Arc<Runtime>> {
        let names = self.by_format.get(&format.to_ascii_lowercase());
        names
            .into_iter()
            .flatten()
            .filter_map(|name| self.by_name.get(name))
    }

    /// Every format that some runtime lists, in lower case.
    pub(crate) fn formats(&self) -> impl Iterator<Item = &str> {
        self.by_format.keys().map(String::as_str)
    }
}

/// A `LocalModelCache` or `LocalModelNamespaceCache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalModel {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) source: String,
    pub(crate) node_groups: Vec<String>,
}

/// A `ClusterStorageContainer`.
#[derive(Debug, Clone)]
pub(crate) struct StorageContainer {
    pub(crate) disabled: bool,
    pub(crate) init_container: bool,
    patterns: Vec<UriPattern>,
}

#[derive(Debug, Clone)]
enum UriPattern {
    Prefix(String),
    Regex(Regex),
}

impl StorageContainer {
    /// Whether it takes `uri`.
    pub(crate) fn supports(&self, uri: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            UriPattern::Prefix(prefix) => uri.starts_with(prefix.as_str()),
            UriPattern::Regex(regex) => regex.is_match(uri),
        })
    }

    fn read(root: &Node<'_>) -> Self {
        let spec = root.at("spec");
        let pattern = |format: Node<'_>| {
            // The prefix wins when both are given, as upstream.
            match (format.at("prefix").text(), format.at("regex").text()) {
                ("", "") => None,
                ("", regex) => uri_regex(regex).map(UriPattern::Regex),
                (prefix, _) => Some(UriPattern::Prefix(prefix.to_owned())),
            }
        };
        Self {
            disabled: root.at("disabled").is_true(),
            init_container: matches!(spec.at("workloadType").text(), "" | "initContainer"),
            patterns: spec
                .at("supportedUriFormats")
                .items()
                .filter_map(pattern)
                .collect(),
        }
    }
}

/// Compiles a storage container's pattern within a bound of memory.
pub(crate) fn uri_regex(pattern: &str) -> Option<Regex> {
    const SIZE: usize = 1 << 20;
    regex::RegexBuilder::new(pattern).size_limit(SIZE).build().ok()
}

/// The two labels by which an inference service names the cache that it reads from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CacheUse {
    pub(crate) cache: Option<String>,
    pub(crate) namespace: Option<String>,
}

type Namespaced<T> = HashMap<String, HashMap<String, T>>;

/// Everything that rules may look up.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    config: Arc<Config>,
    pub(crate) serving_runtimes: Arc<HashMap<String, Runtimes>>,
    pub(crate) cluster_runtimes: Arc<Runtimes>,
    pub(crate) services: Arc<Namespaced<CacheUse>>,
    pub(crate) llm_services: Arc<Namespaced<CacheUse>>,
    storage_secrets: Arc<Namespaced<BTreeSet<String>>>,
    local_models: Arc<BTreeMap<String, LocalModel>>,
    local_namespace_models: Arc<HashMap<String, BTreeMap<String, LocalModel>>>,
    /// Cluster caches by source.
    local_sources: Arc<HashMap<String, BTreeSet<String>>>,
    node_groups: Arc<BTreeSet<String>>,
    storage_containers: Arc<BTreeMap<String, StorageContainer>>,
    freshness: BTreeMap<Part, Freshness>,
}

mod write;

pub use write::Seen;

impl Snapshot {
    /// The configuration; what upstream ships until one was read.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How far `part` can be trusted.
    pub fn freshness(&self, part: Part) -> Freshness {
        self.freshness.get(&part).copied().unwrap_or_default()
    }

    /// The runtime that `name` means in `namespace`: a namespaced one hides a cluster one.
    pub fn runtime(&self, namespace: &str, name: &str) -> Option<&Arc<Runtime>> {
        let namespaced = self
            .serving_runtimes
            .get(namespace)
            .and_then(|runtimes| runtimes.get(name));
        namespaced.or_else(|| self.cluster_runtimes.get(name))
    }

    /// Keys of the storage Secret of a namespace, if it exists: of the name that the configuration gives. A server watches
    /// no others, so rules conclude nothing from others that a file may hold.
    pub(crate) fn storage_keys(&self, namespace: &str) -> Option<&BTreeSet<String>> {
        self.storage_secrets
            .get(namespace)?
            .get(&self.config.storage_secret)
    }

    /// Caches that a service of `namespace` may use, in the order in which they are tried.
    pub(crate) fn local_models(&self, namespace: &str) -> impl Iterator<Item = &LocalModel> {
        let namespaced = self
            .local_namespace_models
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values);
        namespaced.chain(self.local_models.values())
    }

    /// Names of the cluster caches with exactly this source.
    pub(crate) fn caches_of(&self, source: &str) -> impl Iterator<Item = &str> {
        self.local_sources
            .get(source)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    pub(crate) fn node_groups(&self) -> &BTreeSet<String> {
        &self.node_groups
    }

    pub(crate) fn storage_containers(&self) -> &BTreeMap<String, StorageContainer> {
        &self.storage_containers
    }
}
