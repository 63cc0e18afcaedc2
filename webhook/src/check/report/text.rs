//! Findings as a compiler shows them: the line, and a caret where to look.

use std::io::{self, Write};

use super::{super::yaml::Place, Style, Totals, count};
use crate::{
    check::run::{FileReport, Report},
    finding::{Finding, Severity},
};

/// What is shown of a long line, in characters.
const WIDEST: usize = 160;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

pub(super) fn print(
    report: &Report,
    style: Style,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<()> {
    let paint = Paint(style.color);
    for file in &report.files {
        let lines = Lines::of(file);
        print_file(file, &lines, paint, out)?;
        for problem in &file.problems {
            writeln!(
                err,
                "{}{}",
                paint.wrap(RED, "error"),
                paint.wrap(BOLD, &format!(": {}", problem.message))
            )?;
            let arrow = paint.wrap(BLUE, "-->");
            match problem.line {
                0 => writeln!(err, "  {arrow} {}", file.file)?,
                line => writeln!(err, "  {arrow} {}:{line}:{}", file.file, problem.column)?,
            }
            let (line, column) = (problem.line, problem.column);
            excerpt(
                &lines,
                Place {
                    line,
                    column,
                    width: 1,
                },
                RED,
                paint,
                err,
            )?;
            writeln!(err)?;
        }
    }
    writeln!(out, "{}", summary(&Totals::of(report)))
}

fn print_file(file: &FileReport, lines: &Lines<'_>, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    for verdict in &file.verdicts {
        for located in &verdict.findings {
            let (finding, place) = (&located.finding, located.place);
            let (word, color) = level(finding);
            writeln!(
                out,
                "{}{}",
                paint.wrap(color, &format!("{word}[{}]", finding.rule.id)),
                paint.wrap(BOLD, &format!(": {}", sentence(finding)))
            )?;
            writeln!(
                out,
                "  {} {}:{}:{}  {}",
                paint.wrap(BLUE, "-->"),
                file.file,
                place.line,
                place.column,
                paint.wrap(DIM, &verdict.title())
            )?;
            let gutter = excerpt(lines, place, color, paint, out)?;
            for (name, text) in [("hint", &finding.hint), ("suppressed", &finding.suppressed)] {
                if let Some(text) = text {
                    let equals = paint.wrap(BLUE, "=");
                    writeln!(out, "{:gutter$} {equals} {name}: {text}", "")?;
                }
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn sentence(finding: &Finding) -> String {
    let field = finding.field.to_string();
    if field.is_empty() {
        finding.message.clone()
    } else {
        format!("`{field}`: {}", finding.message)
    }
}

fn level(finding: &Finding) -> (&'static str, &'static str) {
    match (&finding.suppressed, finding.severity) {
        (Some(_), _) => ("suppressed", BLUE),
        (None, Severity::Deny) => ("denied", RED),
        (None, Severity::Warn) => ("warning", YELLOW),
    }
}

/// The lines of a file, found once.
struct Lines<'t>(Vec<&'t str>);

impl<'t> Lines<'t> {
    fn of(file: &'t FileReport) -> Self {
        Self(
            file.text
                .as_deref()
                .map(str::lines)
                .into_iter()
                .flatten()
                .collect(),
        )
    }

    /// By its number from 1.
    fn get(&self, number: usize) -> Option<&'t str> {
        self.0.get(number.checked_sub(1)?).copied()
    }
}

/// The line with a caret; gives the width of the line number.
fn excerpt(
    lines: &Lines<'_>,
    place: Place,
    color: &str,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<usize> {
    let gutter = place.line.to_string().len();
    let Some(line) = lines.get(place.line).filter(|line| !line.trim().is_empty()) else {
        return Ok(gutter);
    };
    // Control characters could rewrite the terminal; a tab is as wide as one column here.
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let before = place.column.saturating_sub(1);
    let skipped = if before + place.width > WIDEST {
        before.saturating_sub(WIDEST / 4)
    } else {
        0
    };
    let shown: String = line.chars().skip(skipped).take(WIDEST).map(clean).collect();
    let room = shown.chars().count().saturating_sub(before - skipped).max(1);
    let caret = "^".repeat(place.width.clamp(1, room));
    let bar = paint.wrap(BLUE, "|");
    writeln!(out, "{:gutter$} {bar}", "")?;
    writeln!(
        out,
        "{} {bar} {}",
        paint.wrap(BLUE, &place.line.to_string()),
        shown.trim_end()
    )?;
    writeln!(
        out,
        "{:gutter$} {bar} {:indent$}{}",
        "",
        "",
        paint.wrap(color, &caret),
        indent = before - skipped
    )?;
    Ok(gutter)
}

fn summary(totals: &Totals) -> String {
    let Totals {
        objects,
        denied,
        denials: _,
        warnings,
        suppressed,
        ignored,
        unreadable,
    } = *totals;
    let mut parts = vec![count(objects, "object") + " checked"];
    parts.push(match denied {
        0 => "none denied".to_owned(),
        denied => format!("{denied} denied"),
    });
    for (number, text) in [
        (warnings, count(warnings, "warning")),
        (suppressed, format!("{suppressed} suppressed")),
        (ignored, format!("{ignored} of other kinds ignored")),
        (unreadable, format!("{unreadable} unreadable")),
    ] {
        if number > 0 {
            parts.push(text);
        }
    }
    parts.join(", ")
}

/// Colors, on a terminal.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn wrap(self, color: &str, text: &str) -> String {
        if self.0 {
            format!("{color}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }
}
