//! A `ServingRuntime` or `ClusterServingRuntime`, reduced to what selection and rules ask.

use serde_json::Value;

use crate::{names, node::Node};

/// One entry of `supportedModelFormats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The format's name; case matters to selection.
    pub name: String,
    /// The exact version, or any.
    pub version: Option<String>,
    /// Whether models without a runtime of their own may get this one.
    pub auto_select: bool,
    /// Rank among the runtimes of a format, highest first.
    pub priority: Option<i64>,
}

impl Format {
    /// `name` or `name:version`.
    pub fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{}:{version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Its name.
    pub name: String,
    /// Its namespace; `None` for a cluster runtime.
    pub namespace: Option<String>,
    /// `creationTimestamp` as it is written, which sorts by time; empty when unknown.
    pub created: String,
    /// `spec.disabled`.
    pub disabled: bool,
    /// `spec.multiModel`: for ModelMesh rather than for one model per pod.
    pub multi_model: bool,
    /// Whether it has a `workerSpec`, for models that span nodes.
    pub multi_node: bool,
    /// What it serves.
    pub formats: Vec<Format>,
    /// What it speaks.
    pub protocols: Vec<String>,
    /// Names of its containers.
    pub containers: Vec<String>,
}

impl Runtime {
    /// Reads the object; fields of a wrong type read as absent.
    pub fn read(object: &Value) -> Self {
        let root = Node::root(object);
        let (metadata, spec) = (root.at("metadata"), root.at("spec"));
        let format = |entry: Node<'_>| Format {
            name: entry.at("name").text().to_owned(),
            version: entry.at("version").str().map(str::to_owned),
            auto_select: entry.at("autoSelect").is_true(),
            priority: entry.at("priority").int(),
        };
        Self {
            name: metadata.at("name").text().to_owned(),
            namespace: metadata
                .at("namespace")
                .str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            created: metadata.at("creationTimestamp").text().to_owned(),
            disabled: spec.at("disabled").is_true(),
            multi_model: spec.at("multiModel").is_true(),
            multi_node: spec.at("workerSpec").exists(),
            formats: spec.at("supportedModelFormats").items().map(format).collect(),
            protocols: spec
                .at("protocolVersions")
                .items()
                .filter_map(|node| node.str())
                .map(str::to_owned)
                .collect(),
            containers: spec
                .at("containers")
                .items()
                .map(|node| node.at("name").text().to_owned())
                .collect(),
        }
    }

    /// Whether it lists `protocol`. One that lists nothing speaks anything.
    pub fn speaks(&self, protocol: &str) -> bool {
        self.protocols.is_empty() || self.protocols.iter().any(|known| known == protocol)
    }

    /// Place of its simplest protocol among the known ones, 5 when there is none: the first key of selection.
    pub(crate) fn protocol_rank(&self) -> usize {
        let rank = |protocol: &String| match protocol.as_str() {
            "v1" => 1,
            "v2" => 2,
            "grpc-v1" => 3,
            "grpc-v2" => 4,
            _ => 5,
        };
        self.protocols.iter().map(rank).min().unwrap_or(5)
    }

    /// `ServingRuntime` or `ClusterServingRuntime`.
    pub fn kind(&self) -> &'static str {
        if self.namespace.is_some() {
            "ServingRuntime"
        } else {
            "ClusterServingRuntime"
        }
    }

    /// Whether it has the container that a model server for one model must have.
    pub(crate) fn has_server_container(&self) -> bool {
        self.containers
            .iter()
            .any(|name| name == names::containers::KSERVE)
    }
}
