//! What ONNX Runtime and its binding say, as our errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::onnx::{
    engine::{LoadError, MissingOperator},
    tract::graph::inspect::Inspected,
};

/// Longest parts of the engine's own text that are repeated, from its begin and from its end: what is wrong comes
/// after names of files and signatures of functions.
const MAX_HEAD: usize = 120;
const MAX_TAIL: usize = 480;

/// The engine's text in one bounded line.
pub(super) fn reason<R>(error: &::ort::Error<R>) -> String {
    clipped(error.message())
}

fn clipped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let head = text.char_indices().nth(MAX_HEAD).map(|(end, _)| end);
    let tail = text.char_indices().nth_back(MAX_TAIL).map(|(start, _)| start);
    match (head, tail) {
        (Some(end), Some(start)) if end < start => format!("{} ... {}", &text[..end], &text[start..]),
        _ => text,
    }
}

/// Runs `work`; a panic is answered as its message.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        clipped(text.unwrap_or("panic without a message"))
    })
}

/// What the engine's text says where it lacks an operator. It has no error code of its own for all of these cases, and
/// each text names the operator.
const MISSING: [&str; 4] = [
    "Could not find an implementation for",
    "is not a registered function/op",
    "No Op registered for",
    "No opset import for domain",
];

/// Why a session could not be made.
pub(super) fn load_error<R>(error: &::ort::Error<R>, inspected: &Inspected) -> LoadError {
    let text = error.message();
    let opsets = inspected.opsets.clone();
    if MISSING.iter().any(|part| text.contains(part)) {
        let names = |m: &&MissingOperator| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|word| word == m.operator)
        };
        let operators = inspected
            .operators
            .iter()
            .filter(names)
            .cloned()
            .collect::<Vec<_>>();
        if !operators.is_empty() {
            return LoadError::Operators { operators, opsets };
        }
    }
    LoadError::Prepare {
        reason: reason(error),
        opsets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_begin_and_end() {
        assert_eq!(clipped(" what\n is  wrong "), "what is wrong");
        let long = format!("begin {} end", "é".repeat(2000));
        let text = clipped(&long);
        assert!(text.starts_with("begin é") && text.ends_with("é end"), "{text}");
        assert!(text.chars().count() < MAX_HEAD + MAX_TAIL + 10);
        let short = "é".repeat(MAX_HEAD + MAX_TAIL);
        assert_eq!(clipped(&short), short);
    }

    #[test]
    fn panics_become_their_message() {
        assert_eq!(contained(|| 7), Ok(7));
        let failed: Result<(), String> = contained(|| panic!("of {}", "a kind"));
        assert_eq!(failed, Err("of a kind".to_owned()));
    }
}
