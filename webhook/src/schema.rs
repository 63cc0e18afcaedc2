//! A kind's schema in a form that can be walked beside an object: made once from the definition in `api`.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use api::resources::{Quantity, crd};
use regex::Regex;
use serde_json::{Value, json};

use crate::review::Kind;

mod complete;

pub use complete::complete;

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Type {
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
    Quantity {
        /// Whether it may be a number with a fraction; as text it always may.
        fraction: bool,
    },
    List {
        element: Box<Shape>,
        /// Fields of the elements that no two of them have in common.
        keys: Vec<String>,
    },
    Map(Box<Shape>),
    Object(Fields),
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) known: BTreeMap<String, Shape>,
    /// Proper spellings by folded ones.
    folded: BTreeMap<String, String>,
    pub(crate) required: Vec<String>,
    /// Members that the API server fills in where they are absent.
    defaults: Vec<(String, Value)>,
    /// Further members may well be right.
    pub(crate) open: bool,
}

/// One level of a schema.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) kind: Type,
    pub(crate) words: Vec<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) range: (Option<i64>, Option<i64>),
    /// Fewest characters or entries.
    pub(crate) least: usize,
    /// Most characters or entries.
    pub(crate) most: Option<usize>,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Bool => f.write_str("true or false"),
            Self::Integer { .. } => f.write_str("a whole number"),
            Self::Number => f.write_str("a number"),
            Self::String => f.write_str("text"),
            Self::IntOrString => f.write_str("a whole number or text"),
            Self::Quantity { .. } => f.write_str("a quantity such as `500m`, `4` or `2Gi`"),
            Self::List { .. } => f.write_str("a list"),
            Self::Map(_) | Self::Object(_) => f.write_str("an object"),
        }
    }
}

impl Fields {
    /// What the API server fills in for `name`.
    pub(crate) fn default(&self, name: &str) -> Option<&Value> {
        self.defaults
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The proper spelling of a name that differs in case.
    pub(crate) fn spelling(&self, name: &str) -> Option<&str> {
        self.folded.get(&fold(name)).map(String::as_str)
    }
}

/// The name as Go's `encoding/json` compares it: without case, and with two letters that fold to ASCII.
fn fold(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Whether a text or number is a quantity.
pub(crate) fn is_quantity(value: &Value) -> bool {
    Quantity(value.clone()).nanos().is_ok()
}

impl Shape {
    /// The shape of whole objects of `kind`.
    pub(crate) fn of(kind: Kind) -> &'static Self {
        static SHAPES: [OnceLock<Shape>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
        SHAPES[kind as usize].get_or_init(|| Self::read(&whole_object(kind), ""))
    }

    /// `field` is the nearest field above.
    fn read(schema: &Value, field: &str) -> Self {
        let kind = Type::read(schema, field);
        let count = |key: &str| {
            schema[key]
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
        };
        let pattern = schema["pattern"]
            .as_str()
            .filter(|_| matches!(kind, Type::String));
        let mut range = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        if matches!(kind, Type::Integer { max, .. } if max == U16) {
            range = (None, None);
        }
        Self {
            words: texts(&schema["enum"]),
            pattern: pattern.and_then(|pattern| Regex::new(pattern).ok()),
            range,
            least: count("minLength")
                .or_else(|| count("minItems"))
                .unwrap_or_default(),
            most: ["maxLength", "maxItems", "maxProperties"]
                .into_iter()
                .find_map(count),
            kind,
        }
    }
}

/// Largest number of a field that Go keeps in 16 bits.
const U16: i64 = u16::MAX as i64;

impl Type {
    fn read(schema: &Value, field: &str) -> Self {
        let amount = schema["pattern"].is_string();
        match schema["type"].as_str() {
            // Amounts have a pattern; other texts or numbers have none.
            _ if schema["x-kubernetes-int-or-string"] == true => {
                if amount {
                    Self::Quantity { fraction: false }
                } else {
                    Self::IntOrString
                }
            }
            None if amount => Self::Quantity { fraction: true },
            Some("boolean") => Self::Bool,
            Some("integer") => integer(schema),
            Some("number") => Self::Number,
            Some("string") => Self::String,
            Some("array") => Self::List {
                keys: if schema["x-kubernetes-list-type"] == "map" {
                    texts(&schema["x-kubernetes-list-map-keys"])
                } else {
                    Vec::new()
                },
                element: Box::new(Shape::read(&schema["items"], field)),
            },
            Some("object") => object(schema, field),
            _ => Self::Any,
        }
    }
}

/// The bounds of the type that Go decodes into are a matter of type, not of range.
fn integer(schema: &Value) -> Type {
    let (min, max) = match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(0), Some(U16)) => (0, U16),
        _ if schema["format"] == "int32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    Type::Integer { min, max }
}

fn object(schema: &Value, field: &str) -> Type {
    /// Lists whose items have fields that depend on the item: the source of a volume.
    const OPEN: [&str; 1] = ["volumes"];
    let Some(properties) = schema["properties"].as_object() else {
        return match &schema["additionalProperties"] {
            element @ Value::Object(_) => Type::Map(Box::new(Shape::read(element, field))),
            _ => Type::Any,
        };
    };
    let known: BTreeMap<String, Shape> = properties
        .iter()
        .map(|(name, schema)| (name.clone(), Shape::read(schema, name)))
        .collect();
    let defaults: Vec<(String, Value)> = properties
        .iter()
        .filter(|(_, schema)| !schema["default"].is_null())
        .map(|(name, schema)| (name.clone(), schema["default"].clone()))
        .collect();
    let mut required = texts(&schema["required"]);
    // Absent is as good as present.
    required.retain(|name| defaults.iter().all(|(known, _)| known != name));
    Type::Object(Fields {
        folded: known.keys().map(|name| (fold(name), name.clone())).collect(),
        required,
        defaults,
        open: OPEN.contains(&field),
        known,
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The schema of whole objects: the CRD's, with metadata, which CRDs leave to the API server. The status is the
/// controllers' and is not looked at.
fn whole_object(kind: Kind) -> Value {
    let mut schema = crd::schema(kind);
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
