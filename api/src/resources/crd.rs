//! Definitions (CRDs) of the kinds, made from the types.
//!
//! What the derive macros give is finished here: what structural schemas want, what the types cannot say, and the
//! rules in CEL of [`cel`](super::cel). Unknown fields are kept at every level, so that a field of a newer KServe is
//! stored and not cut off; that it is unknown is said by the webhook, with the name that was likely meant.

use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{
    ClusterServingRuntime, ClusterStorageContainer, GROUP, InferenceGraph, InferenceService, Kind,
    LocalModelCache, LocalModelNamespaceCache, Predictor, PredictorStatus, ServingRuntime, TrainedModel, cel,
};

/// The definition of a kind, ready to be applied.
pub fn definition(kind: Kind) -> Value {
    let derived = match kind {
        Kind::InferenceService => json!(InferenceService::crd()),
        Kind::ServingRuntime => json!(ServingRuntime::crd()),
        Kind::ClusterServingRuntime => json!(ClusterServingRuntime::crd()),
        Kind::Predictor => json!(Predictor::crd()),
        Kind::TrainedModel => json!(TrainedModel::crd()),
        Kind::InferenceGraph => json!(InferenceGraph::crd()),
        Kind::LocalModelCache => json!(LocalModelCache::crd()),
        Kind::LocalModelNamespaceCache => json!(LocalModelNamespaceCache::crd()),
        Kind::ClusterStorageContainer => cluster_storage_container(),
    };
    finish(kind, derived)
}

/// The definition as YAML, with a line on top that says where it comes from.
#[cfg(feature = "manifests")]
pub fn yaml(kind: Kind) -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(&definition(kind))?;
    Ok(format!(
        "# Made by `make manifests` from api/src/resources; do not edit.\n{text}"
    ))
}

/// Name of the file with the definition.
pub fn file_name(kind: Kind) -> String {
    format!("{GROUP}_{}.yaml", kind.plural())
}

/// The schema of a kind's objects, out of its definition.
pub fn schema(kind: Kind) -> Value {
    let mut definition = definition(kind);
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

/// `disabled` stands beside `spec` and there is no status, which the derive macro of kube does not know.
fn cluster_storage_container() -> Value {
    let schema = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(kube::core::schema::StructuralSchemaRewriter)
        .with_transform(kube::core::schema::OptionalEnum)
        .with_transform(kube::core::schema::OptionalIntOrString)
        .into_generator()
        .into_root_schema_for::<ClusterStorageContainer>();
    let name = Kind::ClusterStorageContainer.name();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", Kind::ClusterStorageContainer.plural())},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": [], "kind": name, "plural": Kind::ClusterStorageContainer.plural(), "shortNames": [],
                "singular": name.to_ascii_lowercase(),
            },
            "scope": "Cluster",
            "versions": [{
                "name": Kind::ClusterStorageContainer.version(),
                "additionalPrinterColumns": [
                    {"name": "Prefixes", "type": "string", "jsonPath": ".spec.supportedUriFormats[*].prefix"},
                    {"name": "Disabled", "type": "boolean", "jsonPath": ".disabled"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": schema},
                "served": true,
                "storage": true,
                "subresources": {},
            }],
        },
    })
}

fn finish(kind: Kind, mut definition: Value) -> Value {
    let names = &mut definition["spec"]["names"];
    names["listKind"] = format!("{}List", kind.name()).into();
    for key in ["categories", "shortNames"] {
        if names[key].as_array().is_some_and(Vec::is_empty) {
            names.as_object_mut().map(|names| names.remove(key));
        }
    }
    let version = &mut definition["spec"]["versions"][0];
    if matches!(kind, Kind::ServingRuntime | Kind::ClusterServingRuntime) {
        // As upstream: the status of a runtime is written with the object.
        version["subresources"] = json!({});
    }
    let schema = &mut version["schema"]["openAPIV3Schema"];
    structural(schema);
    root(schema);
    required_names(schema);
    if kind == Kind::InferenceService {
        brief(schema);
    }
    if kind == Kind::Predictor {
        schema["properties"]["status"]["default"] = json!(PredictorStatus::initial());
    }
    for rule in cel::RULES.iter().filter(|rule| rule.kinds.contains(&kind)) {
        insert_rule(schema, rule);
    }
    definition
}

/// `apiVersion`, `kind` and `metadata`, which every object has, and the description of the kind.
fn root(schema: &mut Value) {
    if let Some(text) = schema["properties"]["spec"]["description"].as_str() {
        schema["description"] = text.into();
    }
    if let Some(root) = schema.as_object_mut() {
        root.remove("title");
        root.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
    }
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string"});
    properties["kind"] = json!({"type": "string"});
    properties["metadata"] = json!({"type": "object"});
}

/// What structural schemas want and the derived one has otherwise.
fn structural(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // Null means absent: the API server drops it where the schema does not allow it.
            members.remove("nullable");
            if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                members.insert(
                    "anyOf".to_owned(),
                    json!([{"type": "integer"}, {"type": "string"}]),
                );
                return;
            }
            if members.get("additionalProperties") == Some(&Value::Bool(true)) {
                members.remove("additionalProperties");
                members.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
            }
            if let Some(amount) = members.get_mut("additionalProperties") {
                amounts(amount);
            }
            for bound in ["minimum", "maximum"] {
                whole(members, bound);
            }
            members.values_mut().for_each(structural);
        }
        Value::Array(items) => items.iter_mut().for_each(structural),
        _ => {}
    }
}

/// Amounts of resources may be fractions (`cpu: 0.5`), as in a pod: `x-kubernetes-int-or-string` refuses these.
fn amounts(schema: &mut Value) {
    if schema["x-kubernetes-int-or-string"] == true {
        *schema = json!({"pattern": schema["pattern"], "x-kubernetes-preserve-unknown-fields": true});
    }
}

/// `1000.0` as `1000`.
fn whole(members: &mut Map<String, Value>, bound: &str) {
    let Some(value) = members.get_mut(bound) else {
        return;
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounds are small whole numbers, written in this crate"
    )]
    if let Some(float) = value.as_f64().filter(|float| float.fract() == 0.0) {
        *value = (float as i64).into();
    }
}

/// Containers in a list have a name; one that is written in line (`model`) has none.
fn required_names(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    for (key, member) in members.iter_mut() {
        match key.as_str() {
            "containers" | "initContainers" if member.get("items").is_some() => {
                member["items"]["required"] = json!(["name"]);
            }
            "container" if member.get("properties").is_some() => member["required"] = json!(["name"]),
            _ => {}
        }
        required_names(member);
    }
}

/// Descriptions are left out where they repeat those of `predictor.model`, `containers` and `predictor`: a definition
/// must stay below 256 KiB for `kubectl apply`, which keeps a copy of it in an annotation.
fn brief(schema: &mut Value) {
    let spec = &mut schema["properties"]["spec"]["properties"];
    for component in ["transformer", "explainer", "canary"] {
        silence(&mut spec[component], 1);
    }
    let predictor = &mut spec["predictor"]["properties"];
    for framework in super::inference_service::FRAMEWORKS {
        silence(&mut predictor[framework], 0);
    }
    for part in ["initContainers", "workerSpec"] {
        silence(&mut predictor[part], 1);
    }
}

/// Removes the descriptions below `schema`, except of the first `depth` levels of fields.
fn silence(schema: &mut Value, depth: usize) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    for (key, member) in members.iter_mut() {
        match key.as_str() {
            "properties" => {
                for field in member.as_object_mut().into_iter().flat_map(Map::values_mut) {
                    if depth == 0 {
                        undescribe(field);
                    }
                    silence(field, depth.saturating_sub(1));
                }
            }
            "items" | "additionalProperties" => {
                undescribe(member);
                silence(member, depth);
            }
            _ => {}
        }
    }
}

fn undescribe(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut() {
        members.remove("description");
    }
}

fn insert_rule(schema: &mut Value, rule: &cel::Rule) {
    for path in rule.paths {
        let mut target = &mut *schema;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            target = match step {
                "[]" => &mut target["items"],
                "{}" => &mut target["additionalProperties"],
                name => &mut target["properties"][name],
            };
        }
        let Some(members) = target.as_object_mut() else {
            continue;
        };
        let rules = members
            .entry("x-kubernetes-validations")
            .or_insert_with(|| json!([]));
        let mut written = json!({"rule": rule.rule, "message": rule.message});
        if let Some(field) = rule.field {
            written["fieldPath"] = field.into();
        }
        if let Some(rules) = rules.as_array_mut() {
            rules.push(written);
        }
    }
}
