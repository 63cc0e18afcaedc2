//! The payload logger.

use crate::{
    node::Node,
    review::Kind,
    rules::{DENY, Rule, sink::Findings},
    suggest,
};

pub(crate) static MODE: Rule = Rule {
    id: "IS-V13a",
    title: "logger mode",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`logger.mode` is `all`, `request` or `response`; it has no default.",
    why: "It says which side of a call is logged.",
    fix: "Write `mode: all` to log both.",
    cel: Some(
        "(variables.components + variables.canaries).all(c, !has(c.logger) || c.logger.?mode.orValue('') in ['all', 'request', 'response'])",
    ),
    ..DENY
};

pub(crate) static STORAGE: Rule = Rule {
    id: "IS-V13b",
    title: "logger storage",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "`logger.storage` has `path`, `parameters` and `key`.",
    why: "All three are needed to write the logs.",
    fix: "Fill in what is missing, or use `logger.url`.",
    cel: Some(
        "(variables.components + variables.canaries).all(c, !has(c.logger) || !has(c.logger.storage) || (has(c.logger.storage.path) && \
         has(c.logger.storage.parameters) && has(c.logger.storage.key)))",
    ),
    ..DENY
};

const MODES: [&str; 3] = ["all", "request", "response"];

pub(crate) fn check(component: &Node<'_>, out: &mut Findings<'_>) {
    let logger = component.at("logger");
    if !logger.exists() {
        return;
    }
    let mode = logger.at("mode");
    match mode.text() {
        "" => {
            out.push(&MODE, &mode, "a logger needs a `mode`")
                .advise("write `all`, `request` or `response`");
        }
        text if !MODES.contains(&text) => {
            out.push(&MODE, &mode, format!("`{text}` is no mode of a logger"))
                .hint(suggest::hint(text, MODES));
        }
        _ => {}
    }
    let storage = logger.at("storage");
    if storage.exists() {
        let missing: Vec<&str> = ["path", "parameters", "key"]
            .into_iter()
            .filter(|field| !storage.at(field).exists())
            .collect();
        if !missing.is_empty() {
            out.push(
                &STORAGE,
                &storage,
                format!("`logger.storage` lacks {}", suggest::list(missing)),
            );
        }
    }
}
