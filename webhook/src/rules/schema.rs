//! The shape of the object: types, spellings, and what the schema of the kind asks for.
//!
//! Every other rule reads a field of a wrong type as absent, so this one has to say it. The API server refuses most of it by
//! the CRD, if ours or upstream's full ones are installed; with upstream's minimal ones, and for files, nobody else looks.
//! Of fields that are unknown only upstream's full CRDs let it do something: it cuts them off.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::sink::{Findings, Review};
use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule},
    schema::{self, Fields, Shape, Type},
    suggest,
};

pub(crate) static TYPE: Rule = Rule {
    id: "OB-S01",
    title: "types of fields",
    scope: &Kind::ALL,
    doc: "Each field has the type of the kind's schema.",
    why: "The object cannot be decoded.",
    fix: "Correct the value; in YAML, quote a text that looks like a number or a truth value.",
    ..DENY
};

pub(crate) static CASE: Rule = Rule {
    id: "OB-S02",
    title: "case of field names",
    scope: &Kind::ALL,
    doc: "Field names are spelled as in the schema, in upper and lower case too.",
    why: "Some decoders take `Spec` for `spec` and others ignore it, so a rule and a controller could see two objects.",
    fix: "Use the spelling of the schema.",
    ..DENY
};

pub(crate) static UNKNOWN: Rule = Rule {
    id: "OB-S03",
    title: "unknown fields",
    scope: &Kind::ALL,
    doc: "The object has only fields that the kind has.",
    why: "Nobody acts on others: Stowage's definitions keep them, KServe's drop them without a word.",
    fix: "Correct the spelling, or remove the field.",
    ..LATER
};

pub(crate) static SCHEMA: Rule = Rule {
    id: "OB-S04",
    title: "schema",
    scope: &Kind::ALL,
    doc: "Values are in the sets, ranges and patterns of the kind's schema, and required fields are present.",
    why: "The API server refuses the object where the full CRDs are installed; the controller fails on it elsewhere.",
    fix: "The message says what is expected.",
    ..LATER
};

pub(crate) fn check(review: Review<'_>, out: &mut Findings<'_>) {
    walk(Shape::of(review.request.kind), "", &review.object(), out);
}

fn walk(shape: &Shape, field: &str, node: &Node<'_>, out: &mut Findings<'_>) {
    let value = node.value();
    match (&shape.kind, value) {
        // Go reads null as absent, whatever the type is.
        (_, Value::Null)
        | (Type::Any, _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::IntOrString, Value::String(_)) => {}
        (Type::String, Value::String(text)) => check_text(shape, text, node, out),
        (Type::Integer { min, max }, Value::Number(_)) => match node.int() {
            Some(number) if (*min..=*max).contains(&number) => check_range(shape, number, node, out),
            _ => wrong_type(&shape.kind, node, out),
        },
        (Type::IntOrString, Value::Number(_)) if node.int().is_some() => {}
        (Type::Quantity { fraction }, Value::String(_) | Value::Number(_)) if schema::is_quantity(value) => {
            if !fraction && value.is_number() && node.int().is_none() {
                out.push(
                    &SCHEMA,
                    node,
                    format!("must be a whole number or text; found `{value}`"),
                )
                .hint(format!("write it as text: \"{value}\""));
            }
        }
        (Type::List { element, keys }, Value::Array(items)) => {
            check_count(shape, items.len(), "entry", "entries", node, out);
            check_keys(element, keys, node, out);
            for child in node.items() {
                if child.exists() {
                    walk(element, field, &child, out);
                } else {
                    let message = format!("must be {}; found an empty entry", element.kind);
                    out.push(&SCHEMA, &child, message);
                }
            }
        }
        (Type::Map(element), Value::Object(members)) => {
            check_count(shape, members.len(), "entry", "entries", node, out);
            for (_, child) in node.members() {
                walk(element, field, &child, out);
            }
        }
        (Type::Object(fields), Value::Object(members)) => check_object(fields, field, node, members, out),
        _ => wrong_type(&shape.kind, node, out),
    }
}

fn check_count(shape: &Shape, count: usize, one: &str, many: &str, node: &Node<'_>, out: &mut Findings<'_>) {
    let (bound, number) = match shape.most {
        _ if count < shape.least => ("at least", shape.least),
        Some(most) if count > most => ("at most", most),
        _ => return,
    };
    let noun = if number == 1 { one } else { many };
    out.push(
        &SCHEMA,
        node,
        format!("must have {bound} {number} {noun}; found {count}"),
    );
}

/// Entries of some lists are told apart by some of their fields.
fn check_keys(element: &Shape, keys: &[String], node: &Node<'_>, out: &mut Findings<'_>) {
    let Type::Object(fields) = &element.kind else {
        return;
    };
    if keys.is_empty() {
        return;
    }
    let mut seen = BTreeMap::new();
    for (index, child) in node.items().enumerate() {
        let values: Vec<String> = keys
            .iter()
            .map(|key| match child.at(key).value() {
                Value::Null => fields.default(key).unwrap_or(&Value::Null).to_string(),
                value => value.to_string(),
            })
            .collect();
        let first = *seen.entry(values).or_insert(index);
        if first != index {
            let message = format!(
                "has the same {} as entry {first}",
                suggest::list(keys.iter().map(String::as_str))
            );
            out.push(&SCHEMA, &child, message)
                .advise("each may be there once");
        }
    }
}

fn wrong_type(expected: &Type, node: &Node<'_>, out: &mut Findings<'_>) {
    // Texts may be secrets, so what stands in their place is not shown. Numbers and amounts are none.
    let is_shown = matches!(
        expected,
        Type::Bool | Type::Integer { .. } | Type::Number | Type::IntOrString | Type::Quantity { .. }
    );
    let found = match node.value() {
        Value::Number(value) if is_shown => format!("`{value}`"),
        Value::Bool(value) if is_shown => format!("`{value}`"),
        Value::String(text) if is_shown => format!("the text `{}`", cut(text)),
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    let hint = match (expected, node.value()) {
        (Type::String, Value::Number(_) | Value::Bool(_)) => Some("put it in quotes".to_owned()),
        (Type::IntOrString, Value::Number(number)) => Some(format!("write it as text: \"{number}\"")),
        (Type::List { .. }, Value::Object(_) | Value::String(_)) => {
            Some("begin each entry with `- `".to_owned())
        }
        (Type::Integer { .. }, Value::String(text)) if text.parse::<i64>().is_ok() => {
            Some("leave the quotes out".to_owned())
        }
        (Type::Bool, Value::String(text)) if matches!(text.as_str(), "true" | "false") => {
            Some("leave the quotes out".to_owned())
        }
        _ => None,
    };
    let range = match expected {
        Type::Integer { min, max } if node.int().is_some() => format!(" from {min} to {max}"),
        _ => String::new(),
    };
    out.push(&TYPE, node, format!("must be {expected}{range}; found {found}"))
        .hint(hint);
}

/// A text of a set or pattern, which is no secret.
fn shown(text: &str) -> String {
    if text.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("`{}`", cut(text))
    }
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn check_text(shape: &Shape, text: &str, node: &Node<'_>, out: &mut Findings<'_>) {
    if !shape.words.is_empty() && !shape.words.iter().any(|word| word == text) {
        let words = || {
            shape
                .words
                .iter()
                .map(String::as_str)
                .filter(|word| !word.is_empty())
        };
        let hint = suggest::nearest(text, words()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("must be {}; found {}", alternatives(words()), shown(text));
        out.push(&SCHEMA, node, message).hint(hint);
    }
    match text.chars().count() {
        0 if shape.least > 0 => {
            out.push(&SCHEMA, node, "must not be empty");
        }
        length => check_count(shape, length, "character", "characters", node, out),
    }
    if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        out.push(
            &SCHEMA,
            node,
            format!("must be {}; found {}", in_words(pattern.as_str()), shown(text)),
        );
    }
}

/// What a pattern asks for.
fn in_words(pattern: &str) -> String {
    match pattern {
        "^[a-z]([-a-z0-9]*[a-z0-9])?$" => {
            "lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit"
                .to_owned()
        }
        "^/.*" => "a path that starts with `/`".to_owned(),
        other => format!("a text that matches `{other}`"),
    }
}

/// `` `a`, `b` or `c` ``.
fn alternatives<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [head @ .., last] if !head.is_empty() => format!("{} or {last}", head.join(", ")),
        _ => quoted.concat(),
    }
}

fn check_range(shape: &Shape, number: i64, node: &Node<'_>, out: &mut Findings<'_>) {
    let (low, high) = shape.range;
    let message = match (low, high) {
        (Some(low), Some(high)) if !(low..=high).contains(&number) => format!("must be from {low} to {high}"),
        (Some(low), _) if number < low => format!("must be at least {low}"),
        (_, Some(high)) if number > high => format!("must be at most {high}"),
        _ => return,
    };
    out.push(&SCHEMA, node, format!("{message}; found {number}"));
}

fn check_object(
    fields: &Fields,
    field: &str,
    node: &Node<'_>,
    members: &Map<String, Value>,
    out: &mut Findings<'_>,
) {
    for (name, child) in node.members() {
        match fields.known.get(name) {
            Some(shape) => walk(shape, name, &child, out),
            None => unknown_field(fields, field, name, &child, out),
        }
    }
    for name in &fields.required {
        if members.get(name).is_none_or(Value::is_null) {
            out.push(&SCHEMA, &node.at(name), format!("`{name}` is required"));
        }
    }
}

fn unknown_field(fields: &Fields, above: &str, name: &str, node: &Node<'_>, out: &mut Findings<'_>) {
    if let Some(proper) = fields.spelling(name) {
        out.push(&CASE, node, format!("`{}` is no field; case matters", cut(name)))
            .hint(format!("write `{proper}`"));
        return;
    }
    if fields.open {
        return;
    }
    let gone = GONE
        .iter()
        .find(|(below, gone, _)| *below == above && *gone == name)
        .map(|(_, _, instead)| *instead);
    let near = || suggest::nearest(name, fields.known.keys().map(String::as_str));
    let hint = match gone {
        Some(instead) => Some(instead.to_owned()),
        None if out.is_full(&UNKNOWN) => None,
        None => near().map(|near| format!("did you mean `{near}`?")),
    };
    out.push(
        &UNKNOWN,
        node,
        format!("`{}` is no field here and is ignored", cut(name)),
    )
    .hint(hint);
}

/// Fields that upstream once had: below which field, and what stands in their place.
const GONE: [(&str, &str, &str); 5] = [
    (
        "predictor",
        "custom",
        "write `containers` directly below `predictor`",
    ),
    ("predictor", "container", "did you mean `containers`, a list?"),
    (
        "transformer",
        "custom",
        "write `containers` directly below `transformer`",
    ),
    (
        "explainer",
        "alibi",
        "it is gone; run the explainer as `containers` of your own",
    ),
    (
        "explainer",
        "aix",
        "it is gone; run the explainer as `containers` of your own",
    ),
];

#[cfg(test)]
mod tests;
