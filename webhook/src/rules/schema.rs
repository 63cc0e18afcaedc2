//! The shape of the object: types, spellings, and what the schema of the kind asks for.
//!
//! Every other rule reads a field of a wrong type as absent, so this one has to say it. The API server prunes unknown
//! fields and refuses most of the rest by the CRD, if upstream's full CRDs are installed; with its minimal ones, and
//! for files, nobody else looks.

use serde_json::{Map, Value};

use super::sink::{Findings, Review};
use crate::{
    finding::Severity,
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
    walk(Shape::of(review.request.kind), &review.object, out);
}

fn walk(shape: &Shape, node: &Node<'_>, out: &mut Findings<'_>) {
    let value = node.value();
    match (&shape.kind, value) {
        // Go reads null as absent, whatever the type is.
        (_, Value::Null)
        | (Type::Any, _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Number, Value::Number(_)) => {}
        (Type::String, Value::String(text)) => check_text(shape, text, node, out),
        (Type::Integer { min, max }, Value::Number(number)) => match number.as_i64() {
            Some(number) if (*min..=*max).contains(&number) => check_range(shape, number, node, out),
            _ => wrong_type(&shape.kind, node, out),
        },
        (Type::IntOrString, Value::String(_)) => {}
        (Type::IntOrString, Value::Number(number)) if number.is_i64() => {}
        (Type::Quantity, Value::String(_) | Value::Number(_)) if shape::is_quantity(value) => {}
        (Type::List(element), Value::Array(elements)) => {
            if elements.len() < shape.least {
                out.push(&SCHEMA, node, format!("needs at least {} entries", shape.least));
            }
            for child in node.items() {
                walk(element, &child, out);
            }
        }
        (Type::Map(element), Value::Object(_)) => {
            for (_, child) in node.members() {
                walk(element, &child, out);
            }
        }
        (Type::Object(fields), Value::Object(members)) => check_object(fields, node, members, out),
        _ => wrong_type(&shape.kind, node, out),
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
        let words = || shape.words.iter().map(String::as_str);
        let hint = suggest::nearest(text, words()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("must be {}; found `{}`", alternatives(words()), cut(text));
        out.push(&SCHEMA, node, message).hint(hint);
    }
    if text.chars().count() < shape.least {
        out.push(&SCHEMA, node, "must not be empty");
    }
    if shape.most.is_some_and(|most| text.chars().count() > most) {
        let message = format!(
            "has at most {} characters; found {}",
            shape.most.unwrap_or_default(),
            text.chars().count()
        );
        out.push(&SCHEMA, node, message);
    }
    if shape
        .pattern
        .as_ref()
        .is_some_and(|pattern| !pattern.is_match(text))
    {
        let pattern = shape
            .pattern
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        out.push(
            &SCHEMA,
            node,
            format!("must match `{pattern}`; found `{}`", cut(text)),
        );
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

fn check_object(fields: &Fields, node: &Node<'_>, members: &Map<String, Value>, out: &mut Findings<'_>) {
    for (name, child) in node.members() {
        match fields.known.get(name) {
            Some(shape) => walk(shape, &child, out),
            None => unknown_field(fields, name, &child, out),
        }
    }
    for name in &fields.required {
        if members.get(name).is_none_or(Value::is_null) {
            // The shapes live as long as the program.
            out.push(&SCHEMA, &node.at(name), format!("`{name}` is required"));
        }
    }
}

fn unknown_field(fields: &Fields, name: &str, node: &Node<'_>, out: &mut Findings<'_>) {
    if let Some(proper) = fields.folded.get(&fold(name)) {
        out.push(&CASE, node, format!("`{}` is no field; case matters", cut(name)))
            .hint(format!("write `{proper}`"));
        return;
    }
    if fields.open || out.is_full(Severity::Warn) && out.is_full(Severity::Deny) {
        return;
    }
    let known = fields.known.keys().map(String::as_str);
    let hint = suggest::nearest(name, known).map(|near| format!("did you mean `{near}`?"));
    out.push(
        &UNKNOWN,
        node,
        format!("`{}` is no field here and is ignored", cut(name)),
    )
    .hint(hint);
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
