//! The objects of one file: YAML or JSON, several documents, lists unpacked.

use serde_json::{Map, Value};

use super::yaml::{self, Place, Problem, Spans, cut};
use crate::{
    finding::{FieldPath, Step},
    review::Kind,
    schema::complete,
    suggest,
};

mod json;

/// The group of the kinds that have rules.
const GROUP: &str = "serving.kserve.io/";
/// Lists inside of lists are no output of any tool.
const MOST_NESTED: usize = 4;

/// One Kubernetes object of a file.
#[derive(Debug)]
pub(super) struct Object {
    /// As the API server reads it: with the defaults of its definition.
    pub(super) value: Value,
    /// The kind whose rules apply; none for other kinds.
    pub(super) kind: Option<Kind>,
    /// Its place among the objects of the file, from 0, items of lists counted each.
    pub(super) index: usize,
    /// Its document in the text, in bytes.
    start: usize,
    end: usize,
    /// Lines before it.
    lines: usize,
    /// From the document to the object: `items` and a number for each list around it.
    inside: Vec<Step>,
}

impl Object {
    /// A text of `metadata`, empty when it is absent.
    pub(super) fn metadata(&self, key: &str) -> &str {
        self.value
            .get("metadata")
            .and_then(|metadata| metadata.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The namespace that the object is in when nothing else is said, empty for cluster scope.
    pub(super) fn namespace<'a>(&'a self, default: &'a str) -> &'a str {
        match (self.kind, self.metadata("namespace")) {
            (Some(kind), _) if !kind.namespaced() => "",
            (_, "") => default,
            (_, namespace) => namespace,
        }
    }
}

/// Finds the fields of objects in the text of their file. Objects that are asked for in order share the work for a
/// document.
#[derive(Debug)]
pub(super) struct Locator<'t> {
    text: &'t str,
    /// The last document, by its start.
    last: Option<(usize, Option<Spans>)>,
}

impl<'t> Locator<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let text = without_mark(text);
        Self { text, last: None }
    }

    /// Where a person should look; the start of the document when the field cannot be found.
    pub(super) fn find(&mut self, object: &Object, field: &FieldPath) -> Place {
        if self.last.as_ref().is_none_or(|(start, _)| *start != object.start) {
            let document = self.text.get(object.start..object.end).unwrap_or_default();
            self.last = Some((object.start, Spans::of(document)));
        }
        let start = Place {
            line: 1,
            column: 1,
            width: 1,
        };
        let spans = self.last.as_ref().and_then(|(_, spans)| spans.as_ref());
        let path = [object.inside.as_slice(), &field.0].concat();
        let mut place = spans.map_or(start, |spans| spans.find(&path));
        if place.line == 1 {
            // A document of JSON may start within a line.
            let before = self.text.get(..object.start).unwrap_or_default();
            place.column += before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        }
        place.line += object.lines;
        place
    }
}

/// The text without a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) objects: Vec<Object>,
    pub(super) problems: Vec<Problem>,
}

/// Reads every object of a text.
pub(super) fn read(text: &str) -> Manifest {
    let text = without_mark(text);
    let mut manifest = Manifest::default();
    // JSON first where it looks so: YAML is stricter about its escapes, and slower.
    if text.trim_start().starts_with('{') {
        match json::documents(text) {
            Ok(documents) => {
                for document in documents {
                    manifest.take(document);
                }
                return manifest;
            }
            Err(json::Failed::Final(problem)) => {
                manifest.problems.push(problem);
                return manifest;
            }
            Err(json::Failed::Syntax) => {}
        }
    }
    let (documents, problems) = yaml::documents(text);
    manifest.problems = problems;
    for document in documents {
        manifest.take(document);
    }
    manifest
}

impl Manifest {
    fn take(&mut self, document: yaml::Document) {
        let yaml::Document {
            value,
            start,
            end,
            lines,
            line,
        } = document;
        let mut open = vec![(value, Vec::new())];
        // Items come in their order: the last of the stack is the next.
        while let Some((mut value, inside)) = open.pop() {
            let (api_version, kind) = match head(&value) {
                Ok(head) => head,
                Err(message) => {
                    let place = FieldPath(inside).to_string();
                    let message = match place.as_str() {
                        "" => message,
                        place => format!("{place}: {message}"),
                    };
                    self.problems.push(Problem {
                        line,
                        column: 1,
                        message,
                    });
                    continue;
                }
            };
            if is_list(&api_version, &kind, &value) {
                if inside.len() >= 2 * MOST_NESTED {
                    self.problems.push(Problem {
                        line,
                        column: 1,
                        message: format!("more than {MOST_NESTED} lists inside of each other"),
                    });
                    continue;
                }
                let first = open.len();
                for (index, item) in items(value).into_iter().enumerate() {
                    let step = [Step::Key("items".to_owned()), Step::Index(index)];
                    let item = typed(item, &api_version, &kind);
                    open.push((item, [inside.as_slice(), &step].concat()));
                }
                open[first..].reverse();
                continue;
            }
            let kind = rules_of(&api_version, &kind);
            if let Some(kind) = kind {
                complete(kind, &mut value);
            }
            self.objects.push(Object {
                kind,
                index: self.objects.len(),
                value,
                start,
                end,
                lines,
                inside,
            });
        }
    }
}

/// `apiVersion` and `kind`, which every Kubernetes object has.
fn head(value: &Value) -> Result<(String, String), String> {
    let Value::Object(members) = value else {
        let what = match value {
            Value::Array(_) => "a list",
            Value::String(_) => "a text",
            _ => "a single value",
        };
        return Err(format!("no Kubernetes object: it is {what}, not a mapping"));
    };
    let text = |key: &str| match members.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None | Some(Value::Null | Value::String(_)) => {
            let near = suggest::nearest(key, members.keys().map(String::as_str));
            let hint = near
                .map(|near| format!(" (it has `{}`)", cut(near)))
                .unwrap_or_default();
            Err(format!("no Kubernetes object: `{key}` is missing{hint}"))
        }
        Some(_) => Err(format!("no Kubernetes object: `{key}` must be a text")),
    };
    Ok((text("apiVersion")?, text("kind")?))
}

fn is_list(api_version: &str, kind: &str, value: &Value) -> bool {
    let known =
        (api_version == "v1" && kind == "List") || (api_version.starts_with(GROUP) && kind.ends_with("List"));
    known
        && value
            .get("items")
            .is_none_or(|items| items.is_array() || items.is_null())
}

fn items(mut value: Value) -> Vec<Value> {
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Items of a list of one kind may leave out what the list says.
fn typed(mut item: Value, api_version: &str, kind: &str) -> Value {
    let element = kind.strip_suffix("List").unwrap_or_default();
    if let (Value::Object(members), false) = (&mut item, element.is_empty()) {
        let fill = |members: &mut Map<String, Value>, key: &str, text: &str| {
            members
                .entry(key)
                .or_insert_with(|| Value::String(text.to_owned()));
        };
        fill(members, "apiVersion", api_version);
        fill(members, "kind", element);
    }
    item
}

/// The kind whose rules apply. A version that does not exist, and a kind that is nearly one of ours, are left to the
/// rules, which say so: the API server would refuse such an object.
fn rules_of(api_version: &str, kind: &str) -> Option<Kind> {
    if !api_version.starts_with(GROUP) {
        return None;
    }
    let known = Kind::ALL.into_iter().find(|known| known.name() == kind);
    if known.is_some() || OTHERS.contains(&kind) {
        return known;
    }
    let near = suggest::nearest(kind, Kind::ALL.map(Kind::name))?;
    Kind::ALL.into_iter().find(|known| known.name() == near)
}

/// Kinds of the group without rules.
const OTHERS: [&str; 5] = [
    "LLMInferenceService",
    "LLMInferenceServiceConfig",
    "LocalModelNode",
    "LocalModelNodeGroup",
    "LocalModelNodeGroupList",
];

#[cfg(test)]
mod tests;
