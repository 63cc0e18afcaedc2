//! The tables.

use std::fmt::Write as _;

use serde::Serialize;

use super::way::{GATEWAY, GRPC, Way};
use crate::bench::{
    load::Load,
    sheet::{Section, Series, Sheet, median},
};

/// One run of one way.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    /// What the load generator saw.
    #[serde(flatten)]
    pub load: Load,
    /// Calls of the load generator.
    pub calls: u32,
    /// CPU time of the way's server per call, in microseconds.
    pub cpu_us: f64,
    /// Share of the time in which the server was on its core.
    pub busy: f64,
    /// Calls that the checking client made beside.
    pub checked: u32,
}

/// What is known of a way beside its calls per second.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// How calls were made.
    #[serde(flatten)]
    pub way: Way,
    /// Median of the mean times of a call.
    pub mean_us: f64,
    /// Median of the CPU times per call.
    pub cpu_us: f64,
    /// Median share of the time in which the server was on its core.
    pub busy: f64,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// All runs of a way under one workload.
pub fn series(way: Way, body_bytes: usize, runs: Vec<Run>) -> Series<Detail> {
    let of = |number: fn(&Run) -> f64| median(runs.iter().map(number));
    Series {
        name: way.name.to_owned(),
        value: of(|run| run.load.rate),
        detail: Detail {
            way,
            mean_us: of(|run| run.load.mean_us),
            cpu_us: of(|run| run.cpu_us),
            busy: of(|run| run.busy),
            body_bytes,
            runs,
        },
    }
}

/// Calls that failed, over everything.
pub fn failed(sheet: &Sheet<Detail>) -> u64 {
    let runs = sheet
        .sections
        .iter()
        .flat_map(|section| &section.series)
        .flat_map(|series| &series.detail.runs);
    runs.map(|run| run.load.failed).sum()
}

/// The whole as Markdown.
pub fn markdown(sheet: &Sheet<Detail>) -> String {
    let mut out = format!(
        "## Inference over HTTP: medians of interleaved runs\n\n{}\n",
        sheet.machine
    );
    for section in &sheet.sections {
        // Writing to a string cannot fail.
        let _ = table(section, &mut out);
    }
    out
}

fn table(section: &Section<Detail>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n### {}\n", section.name)?;
    writeln!(
        out,
        "| through | calls/s | of Go proxy | of stowage, gRPC | mean latency | CPU per call | core in use | failed | checked |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    let (gateway, grpc) = (section.value_of(GATEWAY), section.value_of(GRPC));
    for Series { name, value, detail } in &section.series {
        let of = |base: Option<f64>| base.map_or("-".to_owned(), |base| format!("{:.2}", value / base));
        let failed: u64 = detail.runs.iter().map(|run| run.load.failed).sum();
        let checked: u32 = detail.runs.iter().map(|run| run.checked).sum();
        writeln!(
            out,
            "| {name} | {value:.0} | {} | {} | {:.0} us | {:.1} us | {:.0} % | {failed} | {checked} |",
            of(gateway),
            of(grpc),
            detail.mean_us,
            detail.cpu_us,
            detail.busy * 100.0,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rest::way::WAYS;

    #[test]
    fn table_has_ratios_and_failures() {
        let run = |rate| Run {
            load: Load {
                rate,
                mean_us: 10.0,
                failed: 1,
            },
            calls: 7,
            cpu_us: 5.0,
            busy: 0.5,
            checked: 2,
        };
        let rates = [1000.0, 800.0, 700.0, 750.0, 500.0, 400.0, 100.0, 2.0];
        let series: Vec<_> = WAYS
            .into_iter()
            .zip(rates)
            .map(|(way, rate)| series(way, 9, vec![run(rate), run(rate), run(9000.0)]))
            .collect();
        let sheet = Sheet {
            machine: "m".to_owned(),
            sections: vec![Section {
                name: "s".to_owned(),
                unit: "calls/s",
                series,
            }],
        };
        let text = markdown(&sheet);
        let row = "| stowage, JSON, HTTP/1.1 | 400 | 4.00 | 0.50 | 10 us | 5.0 us | 50 % | 3 | 6 |";
        assert!(text.contains(row), "{text}");
        assert_eq!(failed(&sheet), 24);
        let json = serde_json::to_value(&sheet).unwrap();
        let first = &json["sections"][0]["series"][0];
        assert_eq!(first["program"], "backend");
        assert_eq!(first["runs"][0]["rate"], 1000.0);
    }
}
