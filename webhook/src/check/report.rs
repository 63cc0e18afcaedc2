//! What is printed. Each format has a file; what they share is here.

use std::io::{self, Write};

use crate::{finding::Severity, review::Mode};

use super::run::Report;

mod github;
mod json;
mod junit;
mod sarif;
mod text;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One array, an element for each object
    Json,
    /// JUnit XML, a test case for each object
    Junit,
    /// Annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// What printing depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) color: bool,
    pub(super) mode: Mode,
    /// The least that fails the check.
    pub(super) fail_on: Severity,
}

/// How much was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) objects: usize,
    pub(super) denied: usize,
    /// Findings, not objects.
    pub(super) denials: usize,
    pub(super) warnings: usize,
    pub(super) suppressed: usize,
    pub(super) ignored: usize,
    pub(super) unreadable: usize,
}

impl Totals {
    pub(super) fn of(report: &Report) -> Self {
        let mut totals = Self::default();
        for file in &report.files {
            totals.ignored += file.ignored;
            totals.unreadable += file.problems.len();
            for verdict in &file.verdicts {
                totals.objects += 1;
                totals.denied += usize::from(!verdict.allowed());
                for located in &verdict.findings {
                    match (&located.finding.suppressed, located.finding.severity) {
                        (Some(_), _) => totals.suppressed += 1,
                        (None, Severity::Deny) => totals.denials += 1,
                        (None, Severity::Warn) => totals.warnings += 1,
                    }
                }
            }
        }
        totals
    }

    /// Whether the check fails.
    pub(super) fn fails(&self, fail_on: Severity) -> bool {
        self.denied > 0 || (fail_on == Severity::Warn && self.warnings > 0)
    }
}

/// `1 object`, `2 objects`.
fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

/// Prints the report; what could not be read is told on `err` too where the format has no place for it.
pub(super) fn print(
    report: &Report,
    style: Style,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<()> {
    match style.format {
        Format::Text => text::print(report, style, out, err)?,
        Format::Json => json::print(report, out)?,
        Format::Junit => junit::print(report, style, out)?,
        Format::Github => github::print(report, out)?,
        Format::Sarif => sarif::print(report, style, out)?,
    }
    out.flush()?;
    if style.format != Format::Text {
        for file in &report.files {
            for problem in &file.problems {
                match problem.line {
                    0 => writeln!(err, "error: {}: {}", file.file, problem.message)?,
                    line => writeln!(
                        err,
                        "error: {}:{line}:{}: {}",
                        file.file, problem.column, problem.message
                    )?,
                }
            }
        }
    }
    for folder in &report.empty {
        writeln!(
            err,
            "warning: {folder}: no file that ends in .yaml, .yml or .json"
        )?;
    }
    Ok(())
}
