//! JSON documents one after the other, with keys that are there twice refused.

use std::{cell::Cell, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::super::yaml::{Document, Problem, cut};

/// Why a text was not read as JSON.
pub(super) enum Failed {
    /// It may be YAML that starts like JSON.
    Syntax,
    /// It is JSON, and wrong.
    Final(Problem),
}

thread_local! {
    /// Set by the visitor: serde's errors carry no kind.
    static TWICE: Cell<bool> = const { Cell::new(false) };
}

/// Every document of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Failed> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let mut found = Vec::new();
    let (mut lines, mut counted) = (0, 0);
    loop {
        let start = stream.byte_offset();
        let skipped = text
            .get(start..)
            .map_or(0, |rest| rest.len() - rest.trim_start().len());
        TWICE.set(false);
        match stream.next() {
            None => return Ok(found),
            Some(Ok(Unique(value))) => {
                let (start, end) = (start + skipped, stream.byte_offset());
                lines += text.get(counted..start).unwrap_or_default().matches('\n').count();
                counted = start;
                let line = lines + 1;
                found.push(Document {
                    value,
                    start,
                    end,
                    lines,
                    line,
                });
            }
            Some(Err(err)) if TWICE.get() => {
                let message = err.to_string();
                // The place is told apart from the text.
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                return Err(Failed::Final(Problem {
                    line: err.line(),
                    column: err.column(),
                    message,
                }));
            }
            Some(Err(_)) => return Err(Failed::Syntax),
        }
    }
}

/// A value whose objects have each key once.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(Unique(element)) = elements.next_element()? {
            found.push(element);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if found.contains_key(&key) {
                TWICE.set(true);
                return Err(A::Error::custom(format_args!(
                    "the key `{}` is there twice",
                    cut(&key)
                )));
            }
            let Unique(value) = members.next_value()?;
            found.insert(key, value);
        }
        Ok(Value::Object(found))
    }
}
