//! YAML as kubectl reads it: several documents, the scalars of YAML 1.1, merge keys, and keys that become texts.
//!
//! Values are built from the parser's events, so that a broken document is reported with its place and costs only
//! itself, a key that is there twice is an error, and aliases cannot grow without bound.

mod scalar;
mod spans;

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput};

pub(crate) use spans::{Place, Spans};

/// What aliases may add to one file, in bytes and 32 for each node: enough for any manifest, and a bound on memory.
const MOST_ALIASED: usize = 16 << 20;
/// What a node counts beside its text.
const NODE: usize = 32;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    /// Where it starts and ends in the file, in bytes.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Lines of the file before `start`.
    pub(crate) lines: usize,
    /// Where its first node is, from 1.
    pub(crate) line: usize,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1; 0 when it is about the whole file.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn of_file(message: impl Into<String>) -> Self {
        Self {
            line: 0,
            column: 0,
            message: message.into(),
        }
    }

    fn at(span: Span, message: impl Into<String>) -> Self {
        Self {
            line: span.start.line(),
            column: span.start.col() + 1,
            message: message.into(),
        }
    }
}

/// Every document that can be read, and what is wrong with the others. Empty documents are left out.
pub(crate) fn documents(text: &str) -> (Vec<Document>, Vec<Problem>) {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let (mut start, mut lines) = (0, 0);
    // After an error the parser is lost; the next document is found by its marker.
    while let Some(rest) = text.get(start..) {
        let Err((mut problem, seen)) = Reader::new(rest, start, lines).read(&mut found) else {
            break;
        };
        problem.line += lines;
        problems.push(problem);
        let Some(next) = next_document(rest, seen) else {
            break;
        };
        lines += rest
            .get(..next)
            .unwrap_or_default()
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count();
        start += next;
    }
    (found, problems)
}

/// Where the next `---` at the start of a line is, after `seen`.
fn next_document(text: &str, seen: usize) -> Option<usize> {
    let after = text.get(seen..)?;
    after.find("\n---").map(|place| seen + place + 1)
}

/// The parser's settings: comments are not wanted, the rest stays.
fn parser(text: &str) -> Parser<'_, StrInput<'_>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    Parser::new_from_str_with_options(text, options)
}

/// A collection that is being read.
enum Open {
    List(Vec<Value>),
    Map {
        members: Map<String, Value>,
        key: Option<String>,
        merged: Vec<Value>,
    },
}

/// An [`Open`], its anchor, and how much was read before it.
struct Frame {
    open: Open,
    anchor: usize,
    before: usize,
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Of the text in its file, in bytes.
    offset: usize,
    /// Lines before it.
    lines: usize,
    frames: Vec<Frame>,
    anchors: HashMap<usize, (Value, usize)>,
    weight: usize,
    aliased: usize,
    root: Option<Value>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, offset: usize, lines: usize) -> Self {
        Self {
            parser: parser(text),
            offset,
            lines,
            frames: Vec::new(),
            anchors: HashMap::new(),
            weight: 0,
            aliased: 0,
            root: None,
        }
    }

    /// Reads to the end or to the first error, which comes with the place in bytes that was reached.
    fn read(mut self, found: &mut Vec<Document>) -> Result<(), (Problem, usize)> {
        let (mut start, mut lines, mut line) = (0, 0, None);
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next.map_err(|err| {
                let marker = *err.marker();
                let problem = Problem {
                    line: marker.line(),
                    column: marker.col() + 1,
                    message: err.info(),
                };
                (problem, marker.byte_offset().unwrap_or(usize::MAX))
            })?;
            let place = span.start.byte_offset().unwrap_or_default();
            match event {
                Event::DocumentStart(..) => {
                    (start, lines, line) = (place, span.start.line().saturating_sub(1), None);
                }
                Event::DocumentEnd => {
                    self.anchors.clear();
                    if let Some(value) = self.root.take().filter(|value| !value.is_null()) {
                        let (start, end) = (self.offset + start, self.offset + place);
                        found.push(Document {
                            value,
                            start,
                            end,
                            lines: self.lines + lines,
                            line: self.lines + line.unwrap_or(1),
                        });
                    }
                }
                event => {
                    line.get_or_insert(span.start.line());
                    self.take(event, span).map_err(|problem| (problem, place))?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let weight = NODE + text.len();
                self.weight += weight;
                let plain = style == ScalarStyle::Plain;
                let value = if self.wants_key() {
                    // Texts, except that the merge key has to be plain.
                    if plain && text == "<<" {
                        self.start_merge();
                        return Ok(());
                    }
                    scalar::key(text, plain)
                } else {
                    let tag = tag.as_ref().and_then(|tag| tag.core_suffix());
                    scalar::value(text, plain, tag).map_err(|message| Problem::at(span, message))?
                };
                self.close(value, anchor, weight, span)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Open::List(Vec::new()), anchor, span),
            Event::MappingStart(_, anchor, _) => {
                let (members, key, merged) = (Map::new(), None, Vec::new());
                self.open(Open::Map { members, key, merged }, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.frames.pop() else {
                    return Err(Problem::at(span, "a collection ends that did not start"));
                };
                let value = match frame.open {
                    Open::List(elements) => Value::Array(elements),
                    Open::Map { members, merged, .. } => merge(members, merged, span)?,
                };
                let weight = self.weight.saturating_sub(frame.before);
                self.close(value, frame.anchor, weight, span)
            }
            Event::Alias(id) => {
                let Some((value, weight)) = self.anchors.get(&id) else {
                    return Err(Problem::at(span, "an alias inside of what it stands for"));
                };
                let (weight, value) = (*weight, value);
                self.aliased += weight;
                if self.aliased > MOST_ALIASED {
                    return Err(Problem::at(
                        span,
                        format!("aliases expand to more than {} MiB", MOST_ALIASED >> 20),
                    ));
                }
                let value = value.clone();
                self.weight += weight;
                self.close(value, 0, 0, span)
            }
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                open: Open::Map { key: None, .. },
                ..
            })
        )
    }

    fn open(&mut self, open: Open, anchor: usize, span: Span) -> Result<(), Problem> {
        if self.wants_key() {
            return Err(Problem::at(span, "a key must be a text"));
        }
        let before = self.weight;
        self.weight += NODE;
        self.frames.push(Frame { open, anchor, before });
        Ok(())
    }

    fn start_merge(&mut self) {
        if let Some(Frame {
            open: Open::Map { key, .. },
            ..
        }) = self.frames.last_mut()
        {
            *key = Some(MERGE.to_owned());
        }
    }

    /// Puts a complete value where it belongs.
    fn close(&mut self, value: Value, anchor: usize, weight: usize, span: Span) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), weight));
            // The copy is kept while the document is read.
            self.aliased += weight;
        }
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(value),
            Some(Open::List(elements)) => elements.push(value),
            Some(Open::Map { members, key, merged }) => match key.take() {
                None => {
                    let name = match value {
                        Value::String(text) => text,
                        Value::Array(_) | Value::Object(_) => {
                            return Err(Problem::at(span, "a key must be a text"));
                        }
                        scalar => scalar.to_string(),
                    };
                    if members.contains_key(&name) {
                        return Err(Problem::at(
                            span,
                            format!("the key `{}` is there twice", cut(&name)),
                        ));
                    }
                    *key = Some(name);
                }
                Some(name) if name == MERGE => merged.push(value),
                Some(name) => {
                    members.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

/// Stands for the merge key while its value is read; no text of a file has it.
const MERGE: &str = "\u{0}<<";

/// Adds what the merge keys of a mapping bring; its own members win, then the first that brings one.
fn merge(mut members: Map<String, Value>, merged: Vec<Value>, span: Span) -> Result<Value, Problem> {
    for source in merged {
        let sources = match source {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources {
            let Value::Object(source) = source else {
                return Err(Problem::at(span, "only mappings can be merged by `<<`"));
            };
            for (key, value) in source {
                members.entry(key).or_insert(value);
            }
        }
    }
    Ok(Value::Object(members))
}

/// The beginning of a text, for a message.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
