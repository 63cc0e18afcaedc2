//! JUnit XML: a suite for each file, a case for each object. What could not be read is an error.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{Style, Totals};
use crate::{
    check::{
        run::{FileReport, Report},
        verdict::{Located, Verdict},
    },
    finding::Severity,
};

pub(super) fn print(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    let suites: Vec<Suite> = report
        .files
        .iter()
        .filter_map(|file| Suite::of(file, style))
        .collect();
    let sum = |number: fn(&Suite) -> usize| suites.iter().map(number).sum::<usize>();
    let (tests, failures, errors) = (sum(|s| s.tests), sum(|s| s.failures), sum(|s| s.errors));
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites name=\"stowage-webhook check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
    )?;
    for suite in &suites {
        let Suite {
            name,
            tests,
            failures,
            errors,
            cases,
        } = suite;
        writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
        )?;
        out.write_all(cases.as_bytes())?;
        writeln!(out, "  </testsuite>")?;
    }
    let ignored = Totals::of(report).ignored;
    if ignored > 0 {
        writeln!(out, "  <!-- {ignored} objects of other kinds were ignored -->")?;
    }
    writeln!(out, "</testsuites>")
}

struct Suite {
    name: String,
    tests: usize,
    failures: usize,
    errors: usize,
    cases: String,
}

impl Suite {
    /// The suite of a file that has something to say.
    fn of(file: &FileReport, style: Style) -> Option<Self> {
        let mut suite = Self {
            name: escape(&file.file),
            tests: 0,
            failures: 0,
            errors: 0,
            cases: String::new(),
        };
        for verdict in &file.verdicts {
            suite.add(verdict, file, style);
        }
        for problem in &file.problems {
            suite.tests += 1;
            suite.errors += 1;
            let (name, message) = (&suite.name, escape(&problem.message));
            let case = format!(
                "    <testcase name=\"line {}\" classname=\"{name}\" file=\"{name}\" line=\"{}\">\n      <error \
                 message=\"{message}\"/>\n    </testcase>\n",
                problem.line, problem.line
            );
            suite.cases.push_str(&case);
        }
        (suite.tests > 0).then_some(suite)
    }

    fn add(&mut self, verdict: &Verdict, file: &FileReport, style: Style) {
        self.tests += 1;
        let (failures, notes): (Vec<_>, Vec<_>) = verdict.findings.iter().partition(|located| {
            let finding = &located.finding;
            finding.suppressed.is_none() && finding.severity <= style.fail_on
        });
        let first = verdict.findings.first().map_or(1, |located| located.place.line);
        let open = format!(
            "    <testcase name=\"{}\" classname=\"{name}\" file=\"{name}\" line=\"{first}\"",
            escape(&verdict.title()),
            name = self.name
        );
        self.cases.push_str(&open);
        if verdict.findings.is_empty() {
            self.cases.push_str("/>\n");
            return;
        }
        self.cases.push_str(">\n");
        // Readers take one failure of a case: it has them all.
        if let Some(gravest) = failures.iter().min_by_key(|located| located.finding.severity) {
            self.failures += 1;
            let open = format!(
                "      <failure type=\"{}\" message=\"{}\">",
                gravest.finding.rule.id,
                escape(&gravest.finding.to_string())
            );
            self.cases.push_str(&open);
            self.cases.push_str(&escape(&lines(&failures, &file.file)));
            self.cases.push_str("</failure>\n");
        }
        if !notes.is_empty() {
            let text = escape(&lines(&notes, &file.file));
            // Writing to a text cannot fail.
            let _ = writeln!(self.cases, "      <system-out>{text}</system-out>");
        }
        self.cases.push_str("    </testcase>\n");
    }
}

fn lines(findings: &[&Located], file: &str) -> String {
    let line = |located: &&Located| {
        let finding = &located.finding;
        let word = match (&finding.suppressed, finding.severity) {
            (Some(_), _) => "suppressed",
            (None, Severity::Deny) => "denied",
            (None, Severity::Warn) => "warning",
        };
        format!(
            "{file}:{}:{}: {word}: {finding}",
            located.place.line, located.place.column
        )
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text for XML 1.0, which cannot have most control characters at all.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            plain => out.push(plain),
        }
    }
    out
}
