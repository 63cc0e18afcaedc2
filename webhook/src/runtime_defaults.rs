//! What `KServe`'s controller adds to a model once its runtime is known. The webhook does not write this; an
//! explanation can show it.

use serde_json::{Value, json};

use crate::{
    node::Node,
    patch::{Patch, PatchOperation},
    rules::service::{blocks, env},
    select::DEFAULT_PROTOCOL,
};

const MODEL: &str = "/spec/predictor/model";

/// The changes that a runtime brings to a defaulted object. `server_type` is the runtime's annotation
/// `serving.kserve.io/server-type`; without it the runtime's name says what it is.
pub fn runtime_defaults(object: &Value, runtime: &str, server_type: Option<&str>) -> Vec<PatchOperation> {
    let root = Node::root(object);
    let model = root.path(&["spec", "predictor", "model"]);
    let mut patch = Patch::default();
    if model.object().is_none() {
        return patch.into_operations();
    }
    let stored = !model.at("storageUri").text().is_empty() || model.at("storage").exists();
    let mut changes = Changes {
        root,
        model,
        patch: &mut patch,
    };
    match server_type.unwrap_or_else(|| runtime.strip_prefix("kserve-").unwrap_or(runtime)) {
        "mlserver" => changes.mlserver(stored),
        "torchserve" => changes.torchserve(),
        "tritonserver" => changes.triton(stored),
        _ => {}
    }
    patch.into_operations()
}

/// The protocol that a predictor speaks: what it says, or what its framework means by default.
pub fn protocol(predictor: &Value) -> String {
    let predictor = Node::root(predictor);
    let said = match blocks(&predictor).next() {
        Some((framework, block)) => block
            .at("protocolVersion")
            .str()
            .or_else(|| assumed_protocol(framework)),
        None => env(&predictor.at("containers").index(0), "PROTOCOL").and_then(|value| value.str()),
    };
    said.unwrap_or(DEFAULT_PROTOCOL).to_owned()
}

/// What defaulting writes for a framework's block when it becomes `model`.
pub(crate) fn assumed_protocol(framework: &str) -> Option<&'static str> {
    matches!(framework, "triton" | "onnx" | "huggingface").then_some("v2")
}

struct Changes<'a, 'p> {
    root: Node<'a>,
    model: Node<'a>,
    patch: &'p mut Patch,
}

impl Changes<'_, '_> {
    fn mlserver(&mut self, stored: bool) {
        self.protocol("v2");
        if stored {
            let name = self.root.path(&["metadata", "name"]).text();
            self.variables(&[
                ("MLSERVER_MODEL_NAME", name),
                ("MLSERVER_MODEL_URI", "/mnt/models"),
            ]);
        } else {
            self.variables(&[("MLSERVER_LOAD_MODELS_AT_STARTUP", "false")]);
        }
        let class = match self.model.path(&["modelFormat", "name"]).text() {
            "xgboost" => "mlserver_xgboost.XGBoostModel",
            "lightgbm" => "mlserver_lightgbm.LightGBMModel",
            "mlflow" => "mlserver_mlflow.MLflowRuntime",
            _ => "mlserver_sklearn.SKLearnModel",
        };
        self.label("modelClass", class);
    }

    fn torchserve(&mut self) {
        let protocol = self.protocol("v1");
        let envelope = if matches!(protocol.as_str(), "v2" | "grpc-v2") {
            "kservev2"
        } else {
            "kserve"
        };
        self.label("serviceEnvelope", envelope);
        self.variables(&[("PROTOCOL_VERSION", &protocol)]);
    }

    fn triton(&mut self, stored: bool) {
        self.protocol("v2");
        if !stored {
            self.append("args", vec![json!("--model-control-mode=explicit")]);
        }
    }

    /// Writes the protocol if the model names none; says which one it is.
    fn protocol(&mut self, default: &str) -> String {
        const FIELD: &str = "protocolVersion";
        if let Some(protocol) = self.model.at(FIELD).str() {
            return protocol.to_owned();
        }
        let current = self.model.object().and_then(|members| members.get(FIELD));
        self.patch.set(MODEL, FIELD, current, json!(default));
        default.to_owned()
    }

    fn variables(&mut self, wanted: &[(&str, &str)]) {
        let absent = wanted.iter().filter(|(name, _)| env(&self.model, name).is_none());
        let absent = absent
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        self.append("env", absent);
    }

    /// Adds to the end of a list of the model.
    fn append(&mut self, field: &'static str, more: Vec<Value>) {
        if more.is_empty() {
            return;
        }
        let current = self.model.object().and_then(|members| members.get(field));
        let mut list = current.and_then(Value::as_array).cloned().unwrap_or_default();
        list.extend(more);
        self.patch.set(MODEL, field, current, Value::Array(list));
    }

    fn label(&mut self, key: &str, value: &str) {
        let metadata = self.root.at("metadata");
        let labels = metadata.at("labels");
        if let Some(present) = labels.object() {
            self.patch
                .set("/metadata/labels", key, present.get(key), json!(value));
        } else {
            let current = metadata.object().and_then(|members| members.get("labels"));
            self.patch
                .set("/metadata", "labels", current, json!({key: value}));
        }
    }
}
