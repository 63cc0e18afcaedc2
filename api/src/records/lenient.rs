//! Values as Jackson reads them. Errors name the kind that was found, never the value.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// The kind of a value, for errors.
pub(super) fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn wrong<E: Error>(value: &Value, wanted: &str) -> E {
    E::custom(format_args!("{} where {wanted} belongs", name(value)))
}

/// A text; numbers and truth values are written out.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(wrong(&other, "a text")),
    }
}

/// A whole number that is not negative: a negative one counts as 0, a fraction is cut off.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    to_number(&Value::deserialize(from)?)
}

/// The same in 32 bits; a larger one counts as the largest.
pub(super) fn small<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    number(from).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// What is absent or null is none, unlike 0.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        value => to_number(&value).map(Some),
    }
}

fn to_number<E: Error>(value: &Value) -> Result<u64, E> {
    let parsed = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(cut)),
        Value::String(text) if text.trim().is_empty() => Some(0),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().map(cut))
        }
        _ => None,
    };
    parsed.ok_or_else(|| wrong(value, "a number"))
}

/// Casts saturate; no number at all is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is negative or too large is meant to be cut"
)]
fn cut(number: f64) -> u64 {
    number as u64
}

/// A truth value; a number is true unless it is 0.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(flag),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.trim().is_empty() || text.trim().eq_ignore_ascii_case("false") => {
            Ok(false)
        }
        other => Err(wrong(&other, "true or false")),
    }
}

/// Times or counts by name; what is null is left out.
pub(super) fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| to_number(&value).map(|number| (key, number)))
            .collect(),
        other => Err(wrong(&other, "an object")),
    }
}

/// A list of texts; what is null is left out.
pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items
            .into_iter()
            .filter(|item| !item.is_null())
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(wrong(&other, "a text")),
            })
            .collect(),
        other => Err(wrong(&other, "a list of texts")),
    }
}

/// Null is as absent; everything else must fit the type.
pub(super) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    match Value::deserialize(from)? {
        Value::Null => Ok(T::default()),
        value @ (Value::Object(_) | Value::Array(_)) => T::deserialize(value).map_err(D::Error::custom),
        other => Err(wrong(&other, "an object or a list")),
    }
}
