//! The tables.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use e2e::bench::sheet::{Section, Series, Sheet, median};
use serde::Serialize;

use super::contender::{Contender, PYTHON};

/// What is known beside the median time of a call.
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    model: &'static str,
    batch: usize,
    rows_per_second: f64,
    /// Rows per second as a multiple of Python's.
    of_python: f64,
    /// Medians of each run, in microseconds.
    runs: Vec<f64>,
}

pub(super) fn series(
    model: &'static str,
    batch: usize,
    contenders: &[Contender],
    runs: Vec<Vec<f64>>,
) -> Vec<Series<Detail>> {
    let medians: Vec<f64> = runs.iter().map(|runs| median(runs.iter().copied())).collect();
    let python = contenders
        .iter()
        .zip(&medians)
        .find_map(|(contender, median)| (contender.name() == PYTHON).then_some(*median));
    let series = contenders.iter().zip(medians).zip(runs);
    series
        .map(|((contender, value), runs)| Series {
            name: contender.name().to_owned(),
            value,
            detail: Detail {
                model,
                batch,
                rows_per_second: batch as f64 * 1e6 / value,
                of_python: python.unwrap_or(value) / value,
                runs,
            },
        })
        .collect()
}

pub(super) fn print(sheet: &Sheet<Detail>) -> io::Result<()> {
    let mut out = format!(
        "## Engines: medians of interleaved runs, one thread\n\n{}\n\n| model | rows |",
        sheet.machine
    );
    // Writing to a string cannot fail.
    let names = sheet.sections.first().map_or(&[][..], |section| &section.series);
    for series in names {
        let _ = write!(out, " {} |", series.name);
    }
    for series in names.iter().filter(|series| series.name != PYTHON) {
        let _ = write!(out, " {}, rows/s of Python's |", series.name);
    }
    let columns = 2 * names.len() - usize::from(!names.is_empty());
    let _ = writeln!(out, "\n|---|--:|{}", "--:|".repeat(columns));
    for section in &sheet.sections {
        let _ = row(section, &mut out);
    }
    io::stdout().write_all(out.as_bytes())
}

fn row(section: &Section<Detail>, out: &mut String) -> std::fmt::Result {
    let Some(first) = section.series.first() else {
        return Ok(());
    };
    write!(out, "| `{}` | {} |", first.detail.model, first.detail.batch)?;
    for series in &section.series {
        write!(out, " {:.1} us |", series.value)?;
    }
    for series in section.series.iter().filter(|series| series.name != PYTHON) {
        write!(out, " {:.2} |", series.detail.of_python)?;
    }
    writeln!(out)
}
