//! Checks an object against the schema of its definition without a cluster, and says what is wrong where.
//!
//! Checked is what the API server checks (types, required fields, sets of values, patterns, bounds, keys of lists), and
//! beyond that fields that nobody knows, which the API server stores in silence. CEL is not: the webhook's rules cover
//! it. Messages name no value that a schema does not restrict, because it may be a secret.

mod nearest;
mod pattern;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value};

pub use nearest::nearest;

use super::{Kind, crd};

/// Schemas by kind; made once, when the first object is checked.
static SCHEMAS: LazyLock<BTreeMap<Kind, Value>> = LazyLock::new(|| {
    Kind::ALL
        .into_iter()
        .map(|kind| (kind, crd::schema(kind)))
        .collect()
});

/// Most problems of one object; whoever reads more of them would repair these first.
const MOST_PROBLEMS: usize = 100;

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// Lists whose items have fields that depend on the item: the source of a volume.
const OPEN_LISTS: [&str; 1] = ["volumes"];

/// Fields that KServe once had, below which field, and what stands in their place.
const GONE: [(&str, &str, &str); 5] = [
    (
        "predictor",
        "custom",
        "give `containers` directly below `predictor`",
    ),
    ("predictor", "container", "did you mean `containers`, a list?"),
    (
        "transformer",
        "custom",
        "give `containers` directly below `transformer`",
    ),
    (
        "explainer",
        "alibi",
        "KServe no longer has it; run the explainer as `containers` of your own",
    ),
    (
        "explainer",
        "aix",
        "KServe no longer has it; run the explainer as `containers` of your own",
    ),
];

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The value is of another type.
    Type,
    /// The field must be there.
    Required,
    /// The value is none of a fixed set.
    Enum,
    /// The text has another form.
    Pattern,
    /// The number, or the length of a text, list or map, is out of bounds.
    Bounds,
    /// Two items of a list have the same key.
    Duplicate,
    /// Nobody knows the field. The API server stores it all the same.
    Unknown,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in `spec.predictor.containers[0].name` or `spec.nodes[root].steps`.
    pub path: String,
    /// What is wrong.
    pub violation: Violation,
    /// What was found and what would be right; reads on from the path.
    pub message: String,
    /// What was likely meant.
    pub hint: Option<String>,
    /// Fields that could stand there, for [`Violation::Unknown`].
    pub known: Vec<&'static str>,
}

/// What is wrong with `object`, in the order of its fields; the first hundred of it.
pub fn check(kind: Kind, object: &Value) -> Vec<Problem> {
    let mut walk = Walk {
        problems: Vec::new(),
        path: String::new(),
    };
    if let Some(schema) = SCHEMAS.get(&kind) {
        walk.value(schema, object, "");
    }
    walk.problems
}

/// Whether a regular expression of a schema is checked; the others are passed over.
pub fn knows_pattern(pattern: &str) -> bool {
    pattern::known(pattern).is_some()
}

/// The schema of a kind's objects, as the definition has it.
pub fn of(kind: Kind) -> &'static Value {
    static NONE: Value = Value::Null;
    SCHEMAS.get(&kind).unwrap_or(&NONE)
}

struct Walk {
    problems: Vec<Problem>,
    /// Path of the value that is looked at.
    path: String,
}

impl Walk {
    /// `field` is the name of the nearest field above, for what depends on it.
    fn value(&mut self, schema: &'static Value, value: &Value, field: &str) {
        if schema["x-kubernetes-int-or-string"] == true {
            self.int_or_string(schema, value);
        } else {
            match (schema["type"].as_str(), value) {
                (Some("object"), Value::Object(members)) => self.object(schema, members, field),
                (Some("array"), Value::Array(items)) => self.list(schema, items, field),
                (Some("string"), Value::String(text)) => self.text(schema, text),
                (Some("integer"), Value::Number(number)) => self.integer(schema, number),
                (None, Value::String(text)) => self.pattern(schema, text),
                (Some("number") | None, Value::Number(_)) | (Some("boolean"), Value::Bool(_)) => {}
                // The only schema without a type is that of an amount.
                (None, found) => self.wrong_type("amount", found),
                (Some(wanted), found) => self.wrong_type(wanted, found),
            }
        }
    }

    fn object(&mut self, schema: &'static Value, members: &Map<String, Value>, field: &str) {
        self.count(
            schema,
            ["minProperties", "maxProperties"],
            members.len(),
            "entries",
        );
        if let Some(each) = schema["additionalProperties"].as_object() {
            let each_schema = &schema["additionalProperties"];
            for (key, member) in members
                .iter()
                .filter(|(_, member)| !each.is_empty() && !member.is_null())
            {
                self.at(format_args!("[{key}]"), |walk| {
                    walk.value(each_schema, member, key);
                });
            }
            return;
        }
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            // Null is absent.
            if members.get(name).is_none_or(Value::is_null) && properties.get(name).is_none_or(no_default) {
                let path = self.below(name);
                self.add_at(
                    path,
                    Violation::Required,
                    "is missing, and must be there".to_owned(),
                    None,
                );
            }
        }
        for (name, member) in members {
            if let Some(schema) = properties.get(name) {
                if !member.is_null() {
                    self.at(format_args!(".{name}"), |walk| walk.value(schema, member, name));
                }
            } else if !OPEN_LISTS.contains(&field) {
                self.unknown(properties, name, field);
            }
        }
    }

    fn unknown(&mut self, properties: &'static Map<String, Value>, name: &str, above: &str) {
        let known: Vec<&'static str> = properties.keys().map(String::as_str).collect();
        let gone = GONE
            .iter()
            .find(|(below, gone, _)| *below == above && *gone == name);
        let hint = match gone {
            Some((_, _, instead)) => Some((*instead).to_owned()),
            None => nearest(name, known.iter().copied()).map(|known| format!("did you mean `{known}`?")),
        };
        let message = "is no known field".to_owned();
        let path = self.below(name);
        self.push(Problem {
            path,
            violation: Violation::Unknown,
            message,
            hint,
            known,
        });
    }

    fn list(&mut self, schema: &'static Value, items: &[Value], field: &str) {
        self.count(schema, ["minItems", "maxItems"], items.len(), "items");
        for (index, item) in items.iter().enumerate() {
            self.at(format_args!("[{index}]"), |walk| {
                walk.value(&schema["items"], item, field);
            });
        }
        if schema["x-kubernetes-list-type"] == "map" {
            self.duplicates(schema, items);
        }
    }

    fn duplicates(&mut self, schema: &'static Value, items: &[Value]) {
        let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut seen: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let key = keys.iter().map(|key| {
                let default = &schema["items"]["properties"][*key]["default"];
                item.get(key).unwrap_or(default).to_string()
            });
            let first = *seen.entry(key.collect()).or_insert(index);
            if first != index {
                let keys = keys.join("` and `");
                let message = format!("has the same `{keys}` as item {first}; each may be there once");
                let path = format!("{}[{index}]", self.path);
                self.add_at(path, Violation::Duplicate, message, None);
            }
        }
    }

    fn text(&mut self, schema: &'static Value, text: &str) {
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let hint =
                    nearest(text, allowed.iter().copied()).map(|known| format!("did you mean `{known}`?"));
                let choices: Vec<&str> = allowed.into_iter().filter(|choice| !choice.is_empty()).collect();
                let choices = match choices.as_slice() {
                    [only] => (*only).to_owned(),
                    choices => format!("one of {}", choices.join(", ")),
                };
                self.add(
                    Violation::Enum,
                    format!("must be {choices}; found {}", shown(text)),
                    hint,
                );
            }
        }
        let length = text.chars().count();
        if length == 0 && schema["minLength"] == 1 {
            self.add(Violation::Bounds, "must not be empty".to_owned(), None);
        } else {
            self.count(schema, ["minLength", "maxLength"], length, "characters");
        }
        self.pattern(schema, text);
    }

    fn pattern(&mut self, schema: &'static Value, text: &str) {
        let pattern = schema["pattern"].as_str().and_then(pattern::known);
        if let Some(pattern) = pattern.filter(|pattern| !(pattern.matches)(text)) {
            self.add(
                Violation::Pattern,
                format!("must be {}; found {}", pattern.words, shown(text)),
                None,
            );
        }
    }

    fn integer(&mut self, schema: &'static Value, number: &serde_json::Number) {
        // A whole number may be written as `1.0`.
        let Some(value) = number.as_f64().filter(|value| value.fract() == 0.0) else {
            return self.add(
                Violation::Type,
                format!("must be a whole number; found {number}"),
                None,
            );
        };
        let (mut least, mut most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if schema["format"] == "int32" {
            least = least.or(Some(f64::from(i32::MIN)));
            most = most.or(Some(f64::from(i32::MAX)));
        }
        let fits = least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
        if !fits {
            let bounds = match (least, most) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("{least} or more"),
                (None, most) => format!("{} or less", most.unwrap_or_default()),
            };
            self.add(
                Violation::Bounds,
                format!("must be {bounds}; found {number}"),
                None,
            );
        }
    }

    fn int_or_string(&mut self, schema: &'static Value, value: &Value) {
        match value {
            Value::String(text) => self.pattern(schema, text),
            Value::Number(number) if number.is_f64() => {
                let hint = Some(format!("write it as text: \"{number}\""));
                self.add(
                    Violation::Type,
                    "must be a whole number or text; found a fraction".to_owned(),
                    hint,
                );
            }
            Value::Number(_) => {}
            other => self.wrong_type("int-or-string", other),
        }
    }

    fn count(&mut self, schema: &'static Value, bounds: [&str; 2], count: usize, what: &str) {
        let [least, most] = bounds.map(|bound| schema[bound].as_u64());
        let count = count as u64;
        let message = match (least, most) {
            (Some(least), _) if count < least => format!("must have {least} {what} or more; found {count}"),
            (_, Some(most)) if count > most => format!("must have {most} {what} at most; found {count}"),
            _ => return,
        };
        self.add(Violation::Bounds, message, None);
    }

    fn wrong_type(&mut self, wanted: &str, found: &Value) {
        let (wanted, found) = (type_words(wanted), found_words(found));
        let hint = match (wanted, found) {
            ("text", "a number" | "true or false") => Some("put it in quotes".to_owned()),
            ("a list", "an object" | "text") => Some("begin each item with `- `".to_owned()),
            ("a whole number" | "true or false", "text") => Some("leave the quotes out".to_owned()),
            _ => None,
        };
        self.add(Violation::Type, format!("must be {wanted}; found {found}"), hint);
    }

    fn at(&mut self, step: std::fmt::Arguments<'_>, look: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{step}");
        if length == 0 {
            self.path.remove(0);
        }
        look(self);
        self.path.truncate(length);
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn add(&mut self, violation: Violation, message: String, hint: Option<String>) {
        self.add_at(self.path.clone(), violation, message, hint);
    }

    fn add_at(&mut self, path: String, violation: Violation, message: String, hint: Option<String>) {
        self.push(Problem {
            path,
            violation,
            message,
            hint,
            known: Vec::new(),
        });
    }

    fn push(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

fn no_default(schema: &Value) -> bool {
    schema.get("default").is_none()
}

fn shown(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        format!("`{start}...`")
    } else {
        format!("`{start}`")
    }
}

fn type_words(wanted: &str) -> &'static str {
    match wanted {
        "object" => "an object",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "int-or-string" => "a whole number or text",
        "amount" => "an amount such as `500m`, `4` or `2Gi`",
        _ => "a number",
    }
}

fn found_words(found: &Value) -> &'static str {
    match found {
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::String(_) => "text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
    }
}
