//! The `ConfigMap` `inferenceservice-config`, as far as rules and defaults depend on it.
//!
//! Its values are JSON documents in strings. Go reads their keys whatever their case is, so we do.

use serde_json::{Map, Value};

use api::{names::config::STORAGE_SECRET, resources::Quantity};

/// Where a model is deployed to when the object does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeploymentMode {
    /// Knative Services; once called `Serverless`.
    #[default]
    Knative,
    /// Plain Deployments; once called `RawDeployment`.
    Standard,
    /// The shared pods of ModelMesh, which is what Stowage replaces.
    ModelMesh,
}

impl DeploymentMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Knative, Self::Standard, Self::ModelMesh];

    /// Reads the present names and the two old ones.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Knative" | "Serverless" => Some(Self::Knative),
            "Standard" | "RawDeployment" => Some(Self::Standard),
            "ModelMesh" => Some(Self::ModelMesh),
            _ => None,
        }
    }

    /// The present name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Knative => "Knative",
            Self::Standard => "Standard",
            Self::ModelMesh => "ModelMesh",
        }
    }
}

/// Quantities that a container gets for what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceDefaults {
    /// `requests.cpu`.
    pub cpu_request: Option<String>,
    /// `requests.memory`.
    pub memory_request: Option<String>,
    /// `limits.cpu`.
    pub cpu_limit: Option<String>,
    /// `limits.memory`.
    pub memory_limit: Option<String>,
}

/// The parsed `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Mode of objects without the annotation.
    pub default_deployment_mode: DeploymentMode,
    /// What custom containers get.
    pub resources: ResourceDefaults,
    /// `runtimeVersion` of ART explainers that name none.
    pub art_version: Option<String>,
    /// Whether models are cached on nodes.
    pub local_model: bool,
    /// Whether pods get the token of their service account; when not, that is written into the object.
    pub automount_token: bool,
    /// Resource names that count as GPUs besides the well-known ones.
    pub gpu_resources: Vec<String>,
    /// Name of the Secret with storage credentials in each namespace.
    pub storage_secret: String,
}

/// What upstream ships.
impl Default for Config {
    fn default() -> Self {
        let quantity = |text: &str| Some(text.to_owned());
        Self {
            default_deployment_mode: DeploymentMode::Knative,
            resources: ResourceDefaults {
                cpu_request: quantity("1"),
                memory_request: quantity("2Gi"),
                cpu_limit: quantity("1"),
                memory_limit: quantity("2Gi"),
            },
            art_version: quantity("latest"),
            local_model: false,
            automount_token: true,
            gpu_resources: Vec::new(),
            storage_secret: STORAGE_SECRET.to_owned(),
        }
    }
}

/// Why the `ConfigMap` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value is not JSON.
    #[error("inferenceservice-config: `{key}` is not JSON: {reason}")]
    Json {
        /// Key of the `ConfigMap`.
        key: String,
        /// What the parser says.
        reason: String,
    },
    /// A value is JSON of the wrong type, or out of its range.
    #[error("inferenceservice-config: `{key}.{field}` must be {expected}")]
    Value {
        /// Key of the `ConfigMap`.
        key: &'static str,
        /// Path inside its document.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

impl Config {
    /// Parses the `data` of the `ConfigMap`. A key that is absent means what it means upstream: no resource defaults,
    /// no local models, and no token in pods.
    pub fn parse(data: &Map<String, Value>) -> Result<Self, ConfigError> {
        let deploy = Section::read(data, "deploy")?;
        let service = Section::read(data, "inferenceService")?;
        let explainers = Section::read(data, "explainers")?;
        let local_model = Section::read(data, "localModel")?;
        let security = Section::read(data, "security")?;
        let multi_node = Section::read(data, "multiNode")?;
        let credentials = Section::read(data, "credentials")?;
        Ok(Self {
            default_deployment_mode: deploy.mode()?,
            resources: ResourceDefaults {
                cpu_request: service.quantity("resource.cpuRequest")?,
                memory_request: service.quantity("resource.memoryRequest")?,
                cpu_limit: service.quantity("resource.cpuLimit")?,
                memory_limit: service.quantity("resource.memoryLimit")?,
            },
            art_version: explainers.text("art.defaultImageVersion")?,
            local_model: local_model.flag("enabled")?,
            automount_token: security.flag("autoMountServiceAccountToken")?,
            gpu_resources: multi_node.texts("customGPUResourceTypeList")?,
            storage_secret: credentials
                .text("storageSpecSecretName")?
                .unwrap_or_else(|| STORAGE_SECRET.to_owned()),
        })
    }
}

/// One key's document with keys in lower case.
struct Section {
    key: &'static str,
    present: bool,
    document: Value,
}

impl Section {
    fn read(data: &Map<String, Value>, key: &'static str) -> Result<Self, ConfigError> {
        let document = match data.get(key) {
            None | Some(Value::Null) => {
                return Ok(Self {
                    key,
                    present: false,
                    document: Value::Null,
                });
            }
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|err| ConfigError::Json {
                key: key.to_owned(),
                reason: err.to_string(),
            })?,
            Some(parsed) => parsed.clone(),
        };
        if !document.is_object() {
            return Err(ConfigError::Json {
                key: key.to_owned(),
                reason: "not an object".to_owned(),
            });
        }
        Ok(Self {
            key,
            present: true,
            document: lower_keys(document),
        })
    }

    /// The value at a dotted path; `null` is absent.
    fn get(&self, field: &str) -> Option<&Value> {
        let found = field
            .split('.')
            .try_fold(&self.document, |value, key| value.get(key.to_ascii_lowercase()))?;
        (!found.is_null()).then_some(found)
    }

    fn wrong(&self, field: &'static str, expected: &'static str) -> ConfigError {
        ConfigError::Value {
            key: self.key,
            field,
            expected,
        }
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, ConfigError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
            Some(_) => Err(self.wrong(field, "a string")),
        }
    }

    fn quantity(&self, field: &'static str) -> Result<Option<String>, ConfigError> {
        let text = self.text(field)?;
        match text.as_deref().map(|text| Quantity::from(text).nanos()) {
            Some(Err(_)) => Err(self.wrong(field, "a quantity such as `500m` or `2Gi`")),
            _ => Ok(text),
        }
    }

    fn flag(&self, field: &'static str) -> Result<bool, ConfigError> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(field, "true or false")),
        }
    }

    fn texts(&self, field: &'static str) -> Result<Vec<String>, ConfigError> {
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| {
                    value
                        .as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| self.wrong(field, "a list of strings"))
                })
                .collect(),
            Some(_) => Err(self.wrong(field, "a list of strings")),
        }
    }

    fn mode(&self) -> Result<DeploymentMode, ConfigError> {
        const FIELD: &str = "defaultDeploymentMode";
        if !self.present {
            return Ok(DeploymentMode::default());
        }
        self.text(FIELD)?
            .and_then(|text| DeploymentMode::parse(&text))
            .ok_or_else(|| self.wrong(FIELD, "`Knative`, `Standard` or `ModelMesh`"))
    }
}

fn lower_keys(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), lower_keys(value)))
            .collect(),
        Value::Array(elements) => Value::Array(elements.into_iter().map(lower_keys).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests;
