//! `stowage-webhook explain`: the rule table for people, and `docs/rules.md`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::{
    finding::Severity,
    review::Kind,
    rules::{RULES, Rule, suppress},
    suggest,
};

mod markdown;

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// A rule such as IS-C05, or a kind such as InferenceService; without one, all rules are listed
    #[arg(value_name = "RULE|KIND")]
    pub subject: Option<String>,

    /// How it is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// How rules are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Text,
    /// A document with every rule's text
    Markdown,
}

/// Prints what was asked for.
pub fn main(args: &ExplainArgs) -> anyhow::Result<()> {
    let subject = args.subject.as_deref().map(Subject::parse).transpose()?;
    let rules: Vec<&'static Rule> = match subject {
        None => RULES.to_vec(),
        Some(Subject::Rule(rule)) => vec![rule],
        Some(Subject::Kind(kind)) => RULES
            .iter()
            .copied()
            .filter(|rule| rule.scope.contains(&kind))
            .collect(),
    };
    let text = match (args.output, subject) {
        (Format::Markdown, _) => markdown::document(&rules),
        (Format::Text, Some(Subject::Rule(rule))) => explain(rule),
        (Format::Text, _) => list(&rules),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err).context("print rules"),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Subject {
    Rule(&'static Rule),
    Kind(Kind),
}

impl Subject {
    /// A rule's id or a kind's name, in any case; kinds in the plural too.
    fn parse(text: &str) -> Result<Self, kit::exit::UsageError> {
        if let Some(rule) = RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(text)) {
            return Ok(Self::Rule(rule));
        }
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text) || kind.plural().eq_ignore_ascii_case(text));
        kind.map(Self::Kind).ok_or_else(|| {
            let known = RULES.iter().map(|rule| rule.id).chain(Kind::ALL.map(Kind::name));
            let hint = suggest::nearest(text, known).map_or_else(
                || "`stowage-webhook explain` lists all rules".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            kit::exit::UsageError::msg(format!("there is no rule or kind `{text}`; {hint}"))
        })
    }
}

/// What the two modes do, in words.
fn verdict(rule: &Rule) -> &'static str {
    match (rule.compat, rule.strict) {
        (Severity::Deny, _) => "denied",
        (Severity::Warn, Severity::Deny) => "warning, in strict mode denied",
        (Severity::Warn, Severity::Warn) => "warning",
    }
}

/// The kinds of a rule, `every kind` for all.
fn scope(rule: &Rule) -> String {
    if rule.scope.len() == Kind::ALL.len() {
        return "every kind".to_owned();
    }
    rule.scope
        .iter()
        .map(|kind| kind.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What besides the object decides.
fn knowledge(rule: &Rule) -> String {
    if rule.needs.is_empty() {
        return "the object alone".to_owned();
    }
    let parts: Vec<_> = rule.needs.iter().map(|part| part.describe()).collect();
    format!("the object and {}", parts.join(", "))
}

fn explain(rule: &Rule) -> String {
    let mut out = format!("{}: {}\n\n", rule.id, rule.title);
    let mut put = |name: &str, text: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{name:<9} {}", wrap(text, 10));
    };
    put("Rule", rule.doc);
    put("Why", rule.why);
    put("Fix", rule.fix);
    put("Verdict", verdict(rule));
    put("Kinds", &scope(rule));
    put("Looks at", &knowledge(rule));
    if rule.compat == Severity::Warn {
        put(
            "Suppress",
            &format!("annotation `{}{}: reason`", suppress::PREFIX, rule.id),
        );
    }
    if let Some(cel) = rule.cel {
        put("CEL", cel);
    }
    out
}

fn list(rules: &[&Rule]) -> String {
    let mut out = String::new();
    for rule in rules {
        let _ = writeln!(out, "{:<8} {:<31} {}", rule.id, verdict(rule), rule.title);
    }
    out
}

/// Breaks lines at 100 characters; those after the first are indented.
fn wrap(text: &str, indent: usize) -> String {
    const WIDTH: usize = 100;
    let mut out = String::new();
    let mut width = indent;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && width + 1 + length > WIDTH {
            let _ = write!(out, "\n{:indent$}", "");
            width = indent;
        } else if number > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Subject::parse(text).err().map(|err| err.to_string()).unwrap()
    }

    #[test]
    fn subjects_are_found_in_any_case() {
        assert!(matches!(Subject::parse("is-c05"), Ok(Subject::Rule(rule)) if rule.id == "IS-C05"));
        for kind in ["inferenceservice", "InferenceServices"] {
            assert!(matches!(
                Subject::parse(kind),
                Ok(Subject::Kind(Kind::InferenceService))
            ));
        }
        assert!(refusal("ISC05").contains("did you mean `IS-C05`?"));
        assert!(refusal("ServingRuntim").contains("did you mean `ServingRuntime`?"));
        assert!(refusal("weather").contains("lists all rules"));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let text = wrap(&"word ".repeat(40), 10);
        assert!(text.lines().all(|line| line.len() <= 100));
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
