//! The shape of the object: types, spellings, and what the schema of the kind asks for.
//!
//! Every other rule reads a field of a wrong type as absent, so this one has to say it. The API server prunes unknown
//! fields and refuses most of the rest by the CRD, if upstream's full CRDs are installed; with its minimal ones, and
//! for files, nobody else looks.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::sink::{Findings, Review};
use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, LATER, Rule},
    suggest,
};

mod shape;

use shape::{Fields, Shape, Type};

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
    why: "The API server drops others without a word, unless the client asks for strict validation.",
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
        (Type::Quantity, Value::String(_) | Value::Number(_)) if shape::is_quantity(value) => {}
        (Type::List { element, keys }, Value::Array(_)) => {
            check_list(shape, keys, node, out);
            for child in node.items() {
                walk(element, field, &child, out);
            }
        }
        (Type::Map(element), Value::Object(_)) => {
            for (_, child) in node.members() {
                walk(element, field, &child, out);
            }
        }
        (Type::Object(fields), Value::Object(members)) => check_object(fields, field, node, members, out),
        _ => wrong_type(&shape.kind, node, out),
    }
}

fn check_list(shape: &Shape, keys: &[String], node: &Node<'_>, out: &mut Findings<'_>) {
    if node.len() < shape.least {
        out.push(
            &SCHEMA,
            node,
            format!("needs at least {} entries; found {}", shape.least, node.len()),
        );
    }
    if let Some(most) = shape.most.filter(|most| node.len() > *most) {
        out.push(
            &SCHEMA,
            node,
            format!("has at most {most} entries; found {}", node.len()),
        );
    }
    if keys.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for child in node.items() {
        let key: Vec<String> = keys
            .iter()
            .map(|key| child.value()[key.as_str()].to_string())
            .collect();
        if !seen.insert(key) {
            let message = format!(
                "an earlier entry has the same {}",
                suggest::list(keys.iter().map(String::as_str))
            );
            out.push(&SCHEMA, &child, message);
        }
    }
}

fn wrong_type(expected: &Type, node: &Node<'_>, out: &mut Findings<'_>) {
    let found = match node.value() {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("`{value}`"),
        Value::String(text) => format!("the text `{}`", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    out.push(&TYPE, node, format!("must be {expected}; found {found}"));
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
        let message = format!("must be {}; found `{}`", alternatives(words()), cut(text));
        out.push(&SCHEMA, node, message).hint(hint);
    }
    let length = text.chars().count();
    if length < shape.least {
        out.push(&SCHEMA, node, "must not be empty");
    }
    if let Some(most) = shape.most.filter(|most| length > *most) {
        out.push(
            &SCHEMA,
            node,
            format!("has at most {most} characters; found {length}"),
        );
    }
    if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        out.push(
            &SCHEMA,
            node,
            format!("must be {}; found `{}`", in_words(pattern.as_str()), cut(text)),
        );
    }
}

/// What a pattern asks for.
fn in_words(pattern: &str) -> String {
    match pattern {
        "^[a-z]([-a-z0-9]*[a-z0-9])?$" => {
            "lower-case letters, digits and `-`, starting with a letter and not ending with `-`".to_owned()
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
    if let Some(proper) = fields.folded.get(&fold(name)) {
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
