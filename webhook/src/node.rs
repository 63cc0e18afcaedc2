//! A place in a JSON document that knows where it is. Rules walk the raw object with it: nothing is converted or
//! copied, a missing field is a place too (so a finding can point at it), and what has the wrong type reads as absent
//! (the schema says so by itself).

use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::finding::{FieldPath, Step};

/// Deepest path that rules look at is 10 steps; what lies deeper keeps the path of its ancestor.
const DEPTH: usize = 12;

static NULL: Value = Value::Null;

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

/// A value and its path. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: [Segment<'a>; DEPTH],
    len: usize,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: [Segment::Index(0); DEPTH],
            len: 0,
        }
    }

    /// The member `key`, or the place where it would be.
    pub(crate) fn at(&self, key: &'a str) -> Self {
        self.step(Segment::Key(key), self.value.get(key).unwrap_or(&NULL))
    }

    /// The place after following several keys.
    pub(crate) fn path(&self, keys: &[&'a str]) -> Self {
        keys.iter().fold(*self, |node, key| node.at(key))
    }

    fn step(&self, segment: Segment<'a>, value: &'a Value) -> Self {
        let mut child = Self { value, ..*self };
        if let Some(slot) = child.path.get_mut(child.len) {
            *slot = segment;
            child.len += 1;
        }
        child
    }

    /// Go's decoder reads `null` as absent, so do we.
    pub(crate) fn exists(&self) -> bool {
        !self.value.is_null()
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The string, `""` when absent: how Go sees a string that is no pointer.
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The whole number, which may be written as `1.0`: the API server takes that for `1`.
    pub(crate) fn int(&self) -> Option<i64> {
        let Value::Number(number) = self.value else {
            return None;
        };
        number.as_i64().or_else(|| whole(number.as_f64()?))
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// True only for `true`.
    pub(crate) fn is_true(&self) -> bool {
        self.bool() == Some(true)
    }

    pub(crate) fn object(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    pub(crate) fn len(&self) -> usize {
        self.value.as_array().map_or(0, Vec::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of a list; none when it is no list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let parent = *self;
        let elements = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        elements
            .iter()
            .enumerate()
            .map(move |(index, value)| parent.step(Segment::Index(index), value))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Segment::Index(index), self.value.get(index).unwrap_or(&NULL))
    }

    /// The members of an object that are not null; none when it is no object.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
        let parent = *self;
        self.value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(move |(key, value)| (key.as_str(), parent.step(Segment::Key(key), value)))
    }

    pub(crate) fn field(&self) -> FieldPath {
        let steps = self.path.iter().take(self.len).map(|segment| match segment {
            Segment::Key(key) => Step::Key((*key).to_owned()),
            Segment::Index(index) => Step::Index(*index),
        });
        FieldPath(steps.collect())
    }

    /// Feeds a scalar into `state`; objects and lists count by their path alone.
    pub(crate) fn hash_scalar(&self, state: &mut impl Hasher) {
        match self.value {
            Value::Null | Value::Array(_) | Value::Object(_) => 0_u8.hash(state),
            Value::Bool(value) => value.hash(state),
            Value::Number(value) => value.hash(state),
            Value::String(value) => value.hash(state),
        }
    }

    /// Feeds the whole value into `state`.
    pub(crate) fn hash_all(&self, state: &mut impl Hasher) {
        self.value.hash(state);
    }
}

/// The whole number that a float is, if it is one that floats keep exactly.
#[expect(
    clippy::cast_possible_truncation,
    reason = "in the range where floats are exact"
)]
fn whole(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}
