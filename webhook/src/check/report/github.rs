//! Annotations of GitHub Actions: lines that its runner turns into marks at the lines of a change.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::io::{self, Write};

use crate::{check::run::Report, finding::Severity};

use super::{Totals, count};

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for file in &report.files {
        let name = property(&file.file);
        for verdict in &file.verdicts {
            for located in &verdict.findings {
                let (finding, place) = (&located.finding, located.place);
                let level = match (&finding.suppressed, finding.severity) {
                    (Some(_), _) => "notice",
                    (None, Severity::Deny) => "error",
                    (None, Severity::Warn) => "warning",
                };
                let title = property(&format!("{} {}", finding.rule.id, verdict.title()));
                let mut message = format!("{}: {}", finding.field, finding.message);
                for (word, text) in [("", &finding.hint), ("suppressed: ", &finding.suppressed)] {
                    if let Some(text) = text {
                        message.extend(["\n", word, text.as_str()]);
                    }
                }
                let (line, column, end) = (place.line, place.column, place.column + place.width);
                writeln!(
                    out,
                    "::{level} file={name},line={line},col={column},endColumn={end},title={title}::{}",
                    data(message.trim_start_matches(": "))
                )?;
            }
        }
        for problem in &file.problems {
            let at = match problem.line {
                0 => String::new(),
                line => format!(",line={line},col={}", problem.column),
            };
            writeln!(
                out,
                "::error file={name}{at},title=unreadable::{}",
                data(&problem.message)
            )?;
        }
    }
    let totals = Totals::of(report);
    let objects = count(totals.objects, "object");
    writeln!(out, "{objects} checked, {} denied", totals.denied)
}

/// A message: line ends would end the command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, which also ends at a comma or colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
