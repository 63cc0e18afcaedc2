//! What ONNX Runtime and its binding say, as our errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::onnx::{
    engine::{LoadError, MissingOperator},
    tract::graph::inspect::Inspected,
};

/// Longest part of the engine's own text that is repeated; it prints whole nodes and stack traces.
const MAX_REASON: usize = 600;

/// The engine's text in one bounded line.
pub(super) fn reason<R>(error: &::ort::Error<R>) -> String {
    clipped(error.message())
}

fn clipped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
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
