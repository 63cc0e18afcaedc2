//! A kind's schema in a form that a check can walk: made once from the CRD of the type in `api`.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use api::resources::{self as kinds, Quantity};
use kube::{CustomResourceExt, core::schema::StructuralSchemaRewriter};
use regex::Regex;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::review::Kind;

/// What a value may be.
#[derive(Debug)]
pub(super) enum Type {
    Any,
    Bool,
    /// A whole number that fits the type that it is decoded to.
    Integer {
        min: i64,
        max: i64,
    },
    Number,
    String,
    IntOrString,
    Quantity,
    List(Box<Shape>),
    Map(Box<Shape>),
    Object(Fields),
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) known: BTreeMap<String, Shape>,
    /// Proper spellings by folded ones.
    pub(super) folded: BTreeMap<String, String>,
    pub(super) required: Vec<String>,
    /// Further members may well be right: the type names only those that somebody reads.
    pub(super) open: bool,
}

/// One level of a schema.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Type,
    pub(super) words: Vec<String>,
    pub(super) pattern: Option<Regex>,
    pub(super) range: (Option<i64>, Option<i64>),
    /// Fewest characters or entries.
    pub(super) least: usize,
    /// Most characters.
    pub(super) most: Option<usize>,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Bool => f.write_str("true or false"),
            Self::Integer { min, max } if *max <= i64::from(i32::MAX) => {
                write!(f, "a whole number from {min} to {max}")
            }
            Self::Integer { .. } => f.write_str("a whole number"),
            Self::Number => f.write_str("a number"),
            Self::String => f.write_str("text"),
            Self::IntOrString => f.write_str("a whole number or text"),
            Self::Quantity => f.write_str("a quantity such as `500m`, `4` or `2Gi`"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) | Self::Object(_) => f.write_str("an object"),
        }
    }
}

/// Whether a text or number is a quantity.
pub(super) fn is_quantity(value: &Value) -> bool {
    Quantity(value.clone()).nanos().is_ok()
}

impl Shape {
    /// The shape of whole objects of `kind`.
    pub(super) fn of(kind: Kind) -> &'static Self {
        static SHAPES: [OnceLock<Shape>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
        SHAPES[kind as usize].get_or_init(|| Self::read(&definition(kind)))
    }

    fn read(schema: &Value) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let whole = |key: &str| {
            schema
                .get(key)
                .and_then(Value::as_f64)
                .map(|number| number as i64)
        };
        let count = |key: &str| {
            schema
                .get(key)
                .and_then(Value::as_u64)
                .and_then(|number| usize::try_from(number).ok())
        };
        let words = schema
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let mut range = (whole("minimum"), whole("maximum"));
        let kind = match text("type") {
            _ if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) => {
                // Of the two kinds of such fields, amounts have a pattern.
                if text("pattern").is_some() {
                    Type::Quantity
                } else {
                    Type::IntOrString
                }
            }
            Some("boolean") => Type::Bool,
            Some("integer") => integer(text("format"), &mut range),
            Some("number") => Type::Number,
            Some("string") => Type::String,
            Some("array") => Type::List(Box::new(Self::read(schema.get("items").unwrap_or(&Value::Null)))),
            Some("object") => object(schema),
            _ => Type::Any,
        };
        let amount = matches!(kind, Type::Quantity);
        Self {
            words: words.map(str::to_owned).collect(),
            pattern: text("pattern")
                .filter(|_| !amount)
                .and_then(|pattern| Regex::new(pattern).ok()),
            range,
            least: count("minLength")
                .or_else(|| count("minItems"))
                .unwrap_or_default(),
            most: count("maxLength"),
            kind,
        }
    }
}

/// The bounds of the type that Go decodes into are a matter of type, not of range.
fn integer(format: Option<&str>, range: &mut (Option<i64>, Option<i64>)) -> Type {
    if *range == (Some(0), Some(i64::from(u16::MAX))) {
        *range = (None, None);
        return Type::Integer {
            min: 0,
            max: i64::from(u16::MAX),
        };
    }
    match format {
        Some("int32") => Type::Integer {
            min: i64::from(i32::MIN),
            max: i64::from(i32::MAX),
        },
        _ => Type::Integer {
            min: i64::MIN,
            max: i64::MAX,
        },
    }
}

fn object(schema: &Value) -> Type {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return match schema.get("additionalProperties") {
            Some(element @ Value::Object(_)) => Type::Map(Box::new(Shape::read(element))),
            _ => Type::Any,
        };
    };
    let known: BTreeMap<String, Shape> = properties
        .iter()
        .map(|(name, schema)| (name.clone(), Shape::read(schema)))
        .collect();
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    Type::Object(Fields {
        folded: known
            .keys()
            .map(|name| (super::fold(name), name.clone()))
            .collect(),
        required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
        // Types of one field are open ended (volumes, references); topology constraints name three of many.
        open: keeps_unknown && (known.len() == 1 || known.contains_key("topologyKey")),
        known,
    })
}

/// The schema of whole objects: the CRD's, with metadata, which CRDs leave to the API server. The status is the
/// controllers' and is not looked at.
fn definition(kind: Kind) -> Value {
    let crd = match kind {
        Kind::InferenceService => kinds::InferenceService::crd(),
        Kind::ServingRuntime => kinds::ServingRuntime::crd(),
        Kind::ClusterServingRuntime => kinds::ClusterServingRuntime::crd(),
        Kind::Predictor => kinds::Predictor::crd(),
        Kind::TrainedModel => kinds::TrainedModel::crd(),
        Kind::InferenceGraph => kinds::InferenceGraph::crd(),
        Kind::LocalModelCache => kinds::LocalModelCache::crd(),
        Kind::LocalModelNamespaceCache => kinds::LocalModelNamespaceCache::crd(),
        Kind::ClusterStorageContainer => return whole_object(storage_container()),
    };
    let versions = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref());
    let schema = versions.and_then(|schema| schema.open_api_v3_schema.as_ref());
    whole_object(
        schema
            .and_then(|schema| serde_json::to_value(schema).ok())
            .unwrap_or_else(|| json!({})),
    )
}

/// This kind has a field beside `spec`, which the derive of CRDs does not know.
fn storage_container() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let settings = settings.with_transform(StructuralSchemaRewriter);
    settings
        .into_generator()
        .into_root_schema_for::<kinds::ClusterStorageContainer>()
        .to_value()
}

fn whole_object(mut schema: Value) -> Value {
    schema["type"] = json!("object");
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = metadata();
    schema["properties"]["status"] = json!({});
    schema
}

fn metadata() -> Value {
    let (text, whole) = (
        json!({"type": "string"}),
        json!({"type": "integer", "format": "int64"}),
    );
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({
        "type": "object",
        "properties": {
            "name": text,
            "generateName": text,
            "namespace": text,
            "selfLink": text,
            "uid": text,
            "resourceVersion": text,
            "generation": whole,
            "creationTimestamp": text,
            "deletionTimestamp": text,
            "deletionGracePeriodSeconds": whole,
            "labels": texts,
            "annotations": texts,
            "ownerReferences": {"type": "array", "items": {"type": "object"}},
            "finalizers": {"type": "array", "items": text},
            "managedFields": {"type": "array", "items": {"type": "object"}},
        },
    })
}
