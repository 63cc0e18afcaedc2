//! SARIF 2.1.0, which code scanning shows beside the code.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{Style, Totals};
use crate::{
    check::{
        run::{FileReport, Report},
        verdict::{Located, Verdict},
        yaml::Problem,
    },
    finding::Severity,
    rules::{RULES, Rule},
};

pub(super) fn print(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    let numbers: BTreeMap<&str, usize> = RULES
        .iter()
        .enumerate()
        .map(|(number, rule)| (rule.id, number))
        .collect();
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    for file in &report.files {
        for verdict in &file.verdicts {
            for located in &verdict.findings {
                results.push(result(file, verdict, located, &numbers));
            }
        }
        notifications.extend(file.problems.iter().map(|problem| notification(file, problem)));
    }
    let whole = notifications.is_empty();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stowage-webhook",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(|rule| describe(rule, style)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": whole,
                "exitCode": if whole { i32::from(Totals::of(report).fails(style.fail_on)) } else { 2 },
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Deny => "error",
        Severity::Warn => "warning",
    }
}

fn describe(rule: &Rule, style: Style) -> Value {
    json!({
        "id": rule.id,
        "name": rule.title,
        "shortDescription": {"text": rule.doc},
        "fullDescription": {"text": format!("{} {}", rule.doc, rule.why)},
        "help": {"text": format!("{} {}", rule.why, rule.fix)},
        "defaultConfiguration": {"level": level(rule.severity(style.mode))},
    })
}

fn result(file: &FileReport, verdict: &Verdict, located: &Located, numbers: &BTreeMap<&str, usize>) -> Value {
    let (finding, place) = (&located.finding, located.place);
    let mut message = format!("{}: {}", finding.field, finding.message);
    if let Some(hint) = &finding.hint {
        message = format!("{message}; {hint}");
    }
    let mut result = json!({
        "ruleId": finding.rule.id,
        "level": level(finding.severity),
        "message": {"text": message.trim_start_matches(": ")},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&file.file)},
                "region": {
                    "startLine": place.line,
                    "startColumn": place.column,
                    "endColumn": place.column + place.width,
                },
            },
            "logicalLocations": [{"fullyQualifiedName": format!("{} {}", verdict.title(), finding.field)}],
        }],
    });
    if let Some(number) = numbers.get(finding.rule.id) {
        result["ruleIndex"] = json!(number);
    }
    if let Some(reason) = &finding.suppressed {
        result["suppressions"] = json!([{"kind": "inSource", "justification": reason}]);
    }
    result
}

fn notification(file: &FileReport, problem: &Problem) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(&file.file)}});
    if problem.line > 0 {
        place["region"] = json!({"startLine": problem.line, "startColumn": problem.column});
    }
    json!({
        "level": "error",
        "message": {"text": problem.message},
        "locations": [{"physicalLocation": place}],
    })
}

/// A relative path is a relative reference; what a URI cannot have is escaped.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'+' | b'@' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
