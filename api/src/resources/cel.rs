//! Rules in CEL that the definitions carry, so that the API server itself denies what no webhook would allow.
//!
//! Only what needs no other object and is denied in both modes of the webhook stands here; what depends on annotations
//! cannot, because CEL of definitions sees no metadata but the name. Objects that were stored before a rule existed can
//! still be updated: since Kubernetes 1.30 the API server lets an unchanged part pass.
//!
//! The API server refuses a definition whose rules could cost too much for the largest thinkable object. So no rule
//! compares texts of unknown length with each other, and lists that rules go through have bounds
//! far above what people write (constants `MAX_*` beside the types).
//! Ids are those of the webhook's rule table.

use super::Kind;

/// A rule of a definition.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Id in the webhook's rule table.
    pub id: &'static str,
    /// Definitions that have it.
    pub kinds: &'static [Kind],
    /// Where in the schema: names of fields with dots, `[]` for the items of a list, `{}` for the values of a map.
    pub paths: &'static [&'static str],
    /// The CEL expression.
    pub rule: &'static str,
    /// What a person reads when it is false.
    pub message: &'static str,
    /// The field at fault, as a path from where the rule stands.
    pub field: Option<&'static str>,
}

const SERVICE: &[Kind] = &[Kind::InferenceService];
const RUNTIMES: &[Kind] = &[Kind::ServingRuntime, Kind::ClusterServingRuntime];
const CACHES: &[Kind] = &[Kind::LocalModelCache, Kind::LocalModelNamespaceCache];

/// Components of an InferenceService, with canaries.
const COMPONENTS: &[&str] = &[
    "spec.predictor",
    "spec.transformer",
    "spec.explainer",
    "spec.canary.[].predictor",
];
/// Predictors of an InferenceService.
const PREDICTORS: &[&str] = &["spec.predictor", "spec.canary.[].predictor"];
/// Where a model and its container are described.
const MODELS: &[&str] = &[
    "spec.predictor.model",
    "spec.predictor.sklearn",
    "spec.predictor.tensorflow",
    "spec.predictor.xgboost",
    "spec.predictor.pytorch",
    "spec.predictor.triton",
    "spec.predictor.onnx",
    "spec.predictor.huggingface",
    "spec.predictor.pmml",
    "spec.predictor.lightgbm",
    "spec.predictor.paddle",
];

/// Loggers of the components of an InferenceService.
const LOGGERS: &[&str] = &[
    "spec.predictor.logger",
    "spec.transformer.logger",
    "spec.explainer.logger",
    "spec.canary.[].predictor.logger",
];

/// Every rule of every definition.
pub static RULES: &[Rule] = &[
    Rule {
        id: "IS-V01",
        kinds: SERVICE,
        paths: &[""],
        rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "metadata.name must be lower-case letters, digits and `-`, begin with a letter and end with a letter or digit",
        field: None,
    },
    Rule {
        id: "IG-V01",
        kinds: &[Kind::InferenceGraph],
        paths: &[""],
        rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "metadata.name must be lower-case letters, digits and `-`, begin with a letter and end with a letter or digit",
        field: None,
    },
    Rule {
        id: "IS-V04a",
        kinds: SERVICE,
        paths: &["spec.predictor.workerSpec"],
        rule: "!has(self.containers) || self.containers.size() <= 1",
        message: "workerSpec can have one container at most",
        field: Some(".containers"),
    },
    Rule {
        id: "IS-V04f",
        kinds: SERVICE,
        paths: &["spec.predictor.workerSpec"],
        rule: "!has(self.pipelineParallelSize) || self.pipelineParallelSize >= 1",
        message: "pipelineParallelSize must be 1 or more",
        field: Some(".pipelineParallelSize"),
    },
    Rule {
        id: "IS-V04f",
        kinds: SERVICE,
        paths: &["spec.predictor.workerSpec"],
        rule: "!has(self.tensorParallelSize) || self.tensorParallelSize >= 1",
        message: "tensorParallelSize must be 1 or more",
        field: Some(".tensorParallelSize"),
    },
    Rule {
        id: "IS-V06",
        kinds: SERVICE,
        paths: MODELS,
        rule: "!has(self.name) || self.name == ''",
        message: "the container of a model has no name of its own; leave `name` out",
        field: Some(".name"),
    },
    Rule {
        id: "IS-V07a",
        kinds: SERVICE,
        paths: &["spec.predictor"],
        rule: "!has(self.storageUris) || !has(self.model) || !has(self.model.storageUri)",
        message: "`storageUris` and `model.storageUri` exclude each other; use one of them",
        field: Some(".storageUris"),
    },
    Rule {
        id: "IS-V07c",
        kinds: SERVICE,
        paths: &[
            "spec.predictor.storageUris.[]",
            "spec.transformer.storageUris.[]",
            "spec.explainer.storageUris.[]",
        ],
        rule: "!has(self.mountPath) || (!self.mountPath.matches('^/*$') && !self.mountPath.contains('..'))",
        message: "mountPath must be a folder below `/`, without `..`",
        field: Some(".mountPath"),
    },
    Rule {
        id: "IS-V08a",
        kinds: SERVICE,
        paths: MODELS,
        rule: "!has(self.confidential) || !self.confidential.enabled || (has(self.storageUri) && self.storageUri != '')",
        message: "an encrypted model (`confidential.enabled`) needs `storageUri`",
        field: Some(".storageUri"),
    },
    Rule {
        id: "IS-V09",
        kinds: SERVICE,
        paths: PREDICTORS,
        rule: "(has(self.model) ? 1 : 0) + (has(self.sklearn) ? 1 : 0) + (has(self.tensorflow) ? 1 : 0) \
               + (has(self.xgboost) ? 1 : 0) + (has(self.pytorch) ? 1 : 0) + (has(self.triton) ? 1 : 0) \
               + (has(self.onnx) ? 1 : 0) + (has(self.huggingface) ? 1 : 0) + (has(self.pmml) ? 1 : 0) \
               + (has(self.lightgbm) ? 1 : 0) + (has(self.paddle) ? 1 : 0) <= 1",
        message: "a predictor has exactly one model; found more than one of `model` and the older framework blocks",
        field: None,
    },
    Rule {
        id: "IS-V09",
        kinds: SERVICE,
        paths: &["spec.predictor"],
        rule: "!has(self.containers) || self.containers.filter(c, c.name == 'kserve-container').size() \
               + (has(self.model) ? 1 : 0) <= 1",
        message: "a predictor has exactly one model; found `model` and a container named `kserve-container`, or two such \
                  containers",
        field: Some(".containers"),
    },
    Rule {
        id: "IS-V09",
        kinds: SERVICE,
        paths: PREDICTORS,
        rule: "has(self.model) || has(self.sklearn) || has(self.tensorflow) || has(self.xgboost) || has(self.pytorch) \
               || has(self.triton) || has(self.onnx) || has(self.huggingface) || has(self.pmml) || has(self.lightgbm) \
               || has(self.paddle) || (has(self.containers) && self.containers.size() > 0)",
        message: "a predictor has exactly one model; give `model`, or `containers` of your own",
        field: None,
    },
    Rule {
        id: "IS-V09",
        kinds: SERVICE,
        paths: &["spec.transformer"],
        rule: "has(self.containers) && self.containers.size() > 0",
        message: "a transformer needs `containers`",
        field: None,
    },
    Rule {
        id: "IS-V09",
        kinds: SERVICE,
        paths: &["spec.explainer"],
        rule: "has(self.art) != (has(self.containers) && self.containers.size() > 0)",
        message: "an explainer is either `art` or `containers` of your own",
        field: None,
    },
    Rule {
        id: "IS-V11",
        kinds: SERVICE,
        paths: COMPONENTS,
        rule: "!has(self.containerConcurrency) || self.containerConcurrency >= 0",
        message: "containerConcurrency must be 0 (no limit) or more",
        field: Some(".containerConcurrency"),
    },
    Rule {
        id: "IS-V12",
        kinds: SERVICE,
        paths: COMPONENTS,
        rule: "!has(self.minReplicas) || self.minReplicas >= 0",
        message: "minReplicas must be 0 or more",
        field: Some(".minReplicas"),
    },
    Rule {
        id: "IS-V12",
        kinds: SERVICE,
        paths: COMPONENTS,
        rule: "!has(self.maxReplicas) || self.maxReplicas >= 0",
        message: "maxReplicas must be 0 (no limit) or more",
        field: Some(".maxReplicas"),
    },
    Rule {
        id: "IS-V12",
        kinds: SERVICE,
        paths: COMPONENTS,
        rule: "!has(self.maxReplicas) || self.maxReplicas == 0 \
               || (has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
        message: "minReplicas (1 if absent) must not be above maxReplicas",
        field: Some(".minReplicas"),
    },
    Rule {
        id: "IS-V13a",
        kinds: SERVICE,
        paths: LOGGERS,
        rule: "has(self.mode)",
        message: "a logger needs `mode`: all, request or response",
        field: Some(".mode"),
    },
    Rule {
        id: "IS-V13b",
        kinds: SERVICE,
        paths: LOGGERS,
        rule: "!has(self.storage) || (has(self.storage.path) && has(self.storage.parameters) && has(self.storage.key))",
        message: "the storage of a logger needs `path`, `parameters` and `key`",
        field: Some(".storage"),
    },
    Rule {
        id: "IS-V15d",
        kinds: SERVICE,
        paths: &["spec.canary"],
        rule: "self.map(c, c.trafficPercent).sum() <= 100",
        message: "canaries cannot get more than 100 percent of the traffic together",
        field: None,
    },
    Rule {
        id: "IS-V15c",
        kinds: SERVICE,
        paths: &["spec.canary.[].predictor"],
        rule: "has(self.name) && self.name != ''",
        message: "the predictor of a canary needs a `name`",
        field: Some(".name"),
    },
    Rule {
        id: "IS-V15c",
        kinds: SERVICE,
        paths: &["spec"],
        rule: "!has(self.canary) || self.canary.all(c, !has(c.predictor.name) || (has(self.predictor.name) \
               && self.predictor.name == c.predictor.name ? 1 : 0) \
               + self.canary.filter(d, has(d.predictor.name) && d.predictor.name == c.predictor.name).size() == 1)",
        message: "predictors must not have one name: those of canaries and `predictor` each have their own",
        field: Some(".canary"),
    },
    Rule {
        id: "IS-V15e",
        kinds: SERVICE,
        paths: &["spec.canary.[].predictor"],
        rule: "!has(self.workerSpec)",
        message: "a canary cannot have `workerSpec`",
        field: Some(".workerSpec"),
    },
    Rule {
        id: "IS-V15e",
        kinds: SERVICE,
        paths: &["spec.canary.[].predictor"],
        rule: "(!has(self.maxReplicas) || self.maxReplicas <= 0) && !has(self.scaleTarget) && !has(self.scaleMetric) \
               && !has(self.autoScaling)",
        message: "a canary does not scale; leave out `maxReplicas`, `scaleTarget`, `scaleMetric` and `autoScaling`",
        field: None,
    },
    Rule {
        id: "IS-V15e",
        kinds: SERVICE,
        paths: &["spec"],
        rule: "!has(self.canary) || self.canary.all(c, !has(c.predictor.minReplicas) || c.predictor.minReplicas \
               <= (has(self.predictor.minReplicas) ? self.predictor.minReplicas : 1))",
        message: "a canary's minReplicas must not be above those of `predictor` (1 if absent)",
        field: Some(".canary"),
    },
    Rule {
        id: "SR-V04a",
        kinds: RUNTIMES,
        paths: &["spec"],
        rule: "(has(self.disabled) && self.disabled) || !has(self.workerSpec) || self.workerSpec.containers.size() == 1",
        message: "workerSpec must have exactly one container",
        field: Some(".workerSpec.containers"),
    },
    Rule {
        id: "SR-V04d",
        kinds: RUNTIMES,
        paths: &["spec"],
        rule: "(has(self.disabled) && self.disabled) || !has(self.workerSpec) \
               || !has(self.workerSpec.pipelineParallelSize) || self.workerSpec.pipelineParallelSize >= 1",
        message: "pipelineParallelSize must be 1 or more",
        field: Some(".workerSpec.pipelineParallelSize"),
    },
    Rule {
        id: "SR-V04d",
        kinds: RUNTIMES,
        paths: &["spec"],
        rule: "(has(self.disabled) && self.disabled) || !has(self.workerSpec) \
               || !has(self.workerSpec.tensorParallelSize) || self.workerSpec.tensorParallelSize >= 1",
        message: "tensorParallelSize must be 1 or more",
        field: Some(".workerSpec.tensorParallelSize"),
    },
    Rule {
        id: "TM-V01",
        kinds: &[Kind::TrainedModel],
        paths: &[""],
        rule: "self.metadata.name.matches('^[a-zA-Z0-9_-]+$')",
        message: "metadata.name must be letters, digits, `-` and `_`, without dots",
        field: None,
    },
    Rule {
        id: "TM-V02",
        kinds: &[Kind::TrainedModel],
        paths: &["spec.model.storageUri"],
        rule: "self.startsWith('s3://') || self.startsWith('gs://') || self.startsWith('https://') \
               || self.startsWith('http://')",
        message: "storageUri must begin with s3://, gs://, https:// or http://",
        field: None,
    },
    Rule {
        id: "TM-U01",
        kinds: &[Kind::TrainedModel],
        paths: &["spec.model.memory"],
        rule: "quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0",
        message: "memory cannot change; make a new TrainedModel",
        field: None,
    },
    Rule {
        id: "IG-V02",
        kinds: &[Kind::InferenceGraph],
        paths: &["spec.nodes"],
        rule: "'root' in self",
        message: "a graph needs a node named `root`, where calls enter",
        field: None,
    },
    Rule {
        id: "IG-V04",
        kinds: &[Kind::InferenceGraph],
        paths: &["spec.nodes.{}.steps.[]"],
        rule: "(has(self.nodeName) && self.nodeName != '' ? 1 : 0) \
               + (has(self.serviceName) && self.serviceName != '' ? 1 : 0) \
               + (has(self.serviceUrl) && self.serviceUrl != '' ? 1 : 0) == 1",
        message: "a step needs exactly one of `nodeName`, `serviceName` and `serviceUrl`",
        field: None,
    },
    Rule {
        id: "IG-V05",
        kinds: &[Kind::InferenceGraph],
        paths: &["spec.nodes.{}"],
        rule: "self.routerType != 'Splitter' || (has(self.steps) && self.steps.all(s, has(s.weight)) \
               && self.steps.map(s, s.weight).sum() == 100)",
        message: "every step of a Splitter needs a `weight`, and the weights must add up to 100",
        field: Some(".steps"),
    },
    Rule {
        id: "LM-U01",
        kinds: CACHES,
        paths: &["spec.sourceModelUri"],
        rule: "self == oldSelf",
        message: "sourceModelUri cannot change; make a new cache",
        field: None,
    },
];
