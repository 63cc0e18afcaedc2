//! Where in the text a field is, for a person who looks for it. Made only for documents with findings.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Span};

use crate::finding::Step;

/// A stretch of one line, in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// At least 1.
    pub(crate) width: usize,
}

impl Place {
    fn of(span: Span) -> Self {
        let (start, end) = (span.start, span.end);
        let width = if start.line() == end.line() {
            end.col().saturating_sub(start.col()).max(1)
        } else {
            1
        };
        Self {
            line: start.line(),
            column: start.col() + 1,
            width,
        }
    }
}

#[derive(Debug)]
enum Children {
    Keys(HashMap<String, Spans>),
    Items(Vec<Spans>),
    None,
}

/// Places of a document's keys and values.
#[derive(Debug)]
pub(crate) struct Spans {
    place: Place,
    children: Children,
}

struct Open {
    place: Place,
    children: Children,
    key: Option<(String, Place)>,
}

impl Spans {
    /// Reads the document at the start of `text`; what cannot be read has no places.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut parser = super::parser(text);
        let mut open: Vec<Open> = Vec::new();
        loop {
            let (event, span) = parser.next_event()?.ok()?;
            let place = Place::of(span);
            let (children, text) = match event {
                Event::SequenceStart(..) => {
                    let (children, key) = (Children::Items(Vec::new()), None);
                    open.push(Open { place, children, key });
                    continue;
                }
                Event::MappingStart(..) => {
                    let (children, key) = (Children::Keys(HashMap::new()), None);
                    open.push(Open { place, children, key });
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Open { place, children, .. } = open.pop()?;
                    let done = Self { place, children };
                    match put(&mut open, done, None) {
                        Some(root) => return Some(root),
                        None => continue,
                    }
                }
                Event::Scalar(text, ..) => (Children::None, Some(text.into_owned())),
                Event::Alias(_) => (Children::None, None),
                Event::StreamEnd | Event::DocumentEnd => return None,
                _ => continue,
            };
            if let Some(root) = put(&mut open, Self { place, children }, text) {
                return Some(root);
            }
        }
    }

    /// The place of the field, or of the nearest one around it that is in the text. For a member that is its key.
    pub(crate) fn find(&self, path: &[Step]) -> Place {
        let mut here = self;
        for step in path {
            let child = match (step, &here.children) {
                (Step::Key(key), Children::Keys(keys)) => keys.get(key),
                (Step::Index(index), Children::Items(items)) => items.get(*index),
                _ => None,
            };
            match child {
                Some(child) => here = child,
                None => break,
            }
        }
        here.place
    }
}

/// Puts a value into the innermost collection; gives it back when there is none. Members have the place of their key.
fn put(open: &mut [Open], value: Spans, text: Option<String>) -> Option<Spans> {
    let Some(parent) = open.last_mut() else {
        return Some(value);
    };
    match &mut parent.children {
        Children::Items(items) => items.push(value),
        Children::Keys(keys) => match parent.key.take() {
            None => parent.key = Some((text.unwrap_or_default(), value.place)),
            Some((key, place)) => {
                let children = value.children;
                keys.insert(key, Spans { place, children });
            }
        },
        Children::None => {}
    }
    None
}
