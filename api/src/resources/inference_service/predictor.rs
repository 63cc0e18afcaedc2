//! The predictor: a model, one of the older framework blocks, or containers of the user's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::super::pod::{Container, PodSpec};
use super::super::{Object, StringMap};
use super::component::ComponentExtension;
use super::storage::{Confidential, MAX_STORAGE_URIS, ModelStorage, StorageUri};

/// Names of the older framework blocks, in the order in which KServe turns them into `model`.
pub const FRAMEWORKS: [&str; 10] = [
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
];

/// What answers inference calls.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Predictor {
    /// Part of the workload's name: `{service}-{name}-predictor`.
    #[schemars(length(max = MAX_NAME), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// The model, served by a serving runtime.
    pub model: Option<ModelSpec>,
    /// Old form of `model` with format `sklearn`.
    pub sklearn: Option<PredictorExtension>,
    /// Old form of `model` with format `xgboost`.
    pub xgboost: Option<PredictorExtension>,
    /// Old form of `model` with format `tensorflow`.
    pub tensorflow: Option<PredictorExtension>,
    /// Old form of `model` with format `pytorch`.
    pub pytorch: Option<PredictorExtension>,
    /// Old form of `model` with format `triton`.
    pub triton: Option<PredictorExtension>,
    /// Old form of `model` with format `onnx`.
    pub onnx: Option<PredictorExtension>,
    /// Old form of `model` with format `huggingface`.
    pub huggingface: Option<PredictorExtension>,
    /// Old form of `model` with format `pmml`.
    pub pmml: Option<PredictorExtension>,
    /// Old form of `model` with format `lightgbm`.
    pub lightgbm: Option<PredictorExtension>,
    /// Old form of `model` with format `paddle`.
    pub paddle: Option<PredictorExtension>,
    /// Several sources of model files, each with its place in the container.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic", "maxItems" = MAX_STORAGE_URIS))]
    pub storage_uris: Option<Vec<StorageUri>>,
    /// ClusterStorageContainer that fetches the files, instead of the one that the URI selects.
    pub storage_container_name: Option<String>,
    /// Pods beside the head pod, for a model that needs several nodes.
    pub worker_spec: Option<WorkerSpec>,
    /// Scaling, logging and batching.
    #[serde(flatten)]
    pub component: ComponentExtension,
    /// The pod's own settings.
    #[serde(flatten)]
    pub pod: PodSpec,
}

impl Predictor {
    /// One of the older framework blocks by its name in [`FRAMEWORKS`].
    pub fn framework(&self, name: &str) -> Option<&PredictorExtension> {
        match name {
            "sklearn" => self.sklearn.as_ref(),
            "tensorflow" => self.tensorflow.as_ref(),
            "xgboost" => self.xgboost.as_ref(),
            "pytorch" => self.pytorch.as_ref(),
            "triton" => self.triton.as_ref(),
            "onnx" => self.onnx.as_ref(),
            "huggingface" => self.huggingface.as_ref(),
            "pmml" => self.pmml.as_ref(),
            "lightgbm" => self.lightgbm.as_ref(),
            "paddle" => self.paddle.as_ref(),
            _ => None,
        }
    }

    /// The older framework blocks that are there, by name, in the order of [`FRAMEWORKS`].
    pub fn frameworks(&self) -> impl Iterator<Item = (&'static str, &PredictorExtension)> {
        FRAMEWORKS
            .into_iter()
            .filter_map(|name| Some((name, self.framework(name)?)))
    }

    /// `model`, else the first older framework block, with its name.
    pub fn implementation(&self) -> Option<(&'static str, &PredictorExtension)> {
        let model = self.model.as_ref().map(|model| ("model", &model.extension));
        model.or_else(|| self.frameworks().next())
    }

    /// `storageUris`; none if absent.
    pub fn storage_uris(&self) -> &[StorageUri] {
        self.storage_uris.as_deref().unwrap_or_default()
    }
}

/// A model and what serves it.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// Format of the model's files.
    pub model_format: Option<ModelFormat>,
    /// Serving runtime by name, instead of one that supports the format.
    pub runtime: Option<String>,
    /// Where the model is, and the model server's container.
    #[serde(flatten)]
    pub extension: PredictorExtension,
}

impl ModelSpec {
    /// The format's name, if it is there and not empty.
    pub fn format_name(&self) -> Option<&str> {
        self.model_format
            .as_ref()?
            .name
            .as_deref()
            .filter(|name| !name.is_empty())
    }
}

/// Longest name of a predictor: a bound that lets the API server accept rules that compare names, and what any object's
/// name is bounded by.
pub const MAX_NAME: u32 = 253;

/// Format of a model's files.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFormat {
    /// Name, such as `onnx`.
    #[schemars(required)]
    pub name: Option<String>,
    /// Version of the format.
    pub version: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where the model is, how it is asked, and the model server's container in line.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PredictorExtension {
    /// URI of the model's files.
    pub storage_uri: Option<String>,
    /// Tag of the model server's image.
    pub runtime_version: Option<String>,
    /// Protocol of the model server: `v1`, `v2`, `grpc-v1` or `grpc-v2`.
    pub protocol_version: Option<String>,
    /// The model by path and storage key, instead of `storageUri`.
    pub storage: Option<ModelStorage>,
    /// How an encrypted model is opened.
    pub confidential: Option<Confidential>,
    /// Settings of the container, over those of the serving runtime.
    #[serde(flatten)]
    pub container: Container,
}

/// Pods beside the head pod.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// Nodes that the layers of the model are spread over.
    pub pipeline_parallel_size: Option<i64>,
    /// Accelerators in each node that a layer is spread over.
    pub tensor_parallel_size: Option<i64>,
    /// The pod's own settings.
    #[serde(flatten)]
    pub pod: PodSpec,
}

/// Explainer of the Adversarial Robustness Toolbox.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtExplainer {
    /// Kind of explainer, such as `SquareAttack`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// URI of the explainer's files.
    pub storage_uri: Option<String>,
    /// Tag of the explainer's image.
    pub runtime_version: Option<String>,
    /// Parameters of the explainer.
    pub config: Option<StringMap>,
    /// The explainer's files by path and storage key.
    pub storage: Option<ModelStorage>,
    /// Settings of the container.
    #[serde(flatten)]
    pub container: Container,
}
