//! Medians, ratios, the table.

use std::fmt::Write;

use serde::Serialize;

use super::{load::Load, workload::Workload};

/// One run of one way.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    /// What the load generator saw.
    #[serde(flatten)]
    pub load: Load,
    /// CPU time of the way's server per call, in microseconds.
    pub cpu_us: f64,
    /// Calls that the checking client made beside.
    pub checked: u64,
}

/// All runs of one way under one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// The way's name.
    pub way: &'static str,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// All ways under one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// What was sent.
    pub workload: Workload,
    /// One for each way.
    pub series: Vec<Series>,
}

/// Memory of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Program.
    pub server: &'static str,
    /// Resident after the small messages.
    pub small_bytes: u64,
    /// Resident after the large ones.
    pub large_bytes: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One for each workload.
    pub sections: Vec<Section>,
    /// One for each server.
    pub memory: Vec<Memory>,
}

impl Series {
    /// Median of one number over the runs; 0 without runs.
    pub fn median(&self, number: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(number).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match (values.get(middle), values.len() % 2) {
            (Some(upper), 0) => f64::midpoint(*upper, values.get(middle - 1).copied().unwrap_or(*upper)),
            (value, _) => value.copied().unwrap_or_default(),
        }
    }
}

impl Section {
    fn rate_of(&self, way: &str) -> Option<f64> {
        let series = self.series.iter().find(|series| series.way == way)?;
        Some(series.median(|run| run.load.rate)).filter(|rate| *rate > 0.0)
    }

    fn markdown(&self, out: &mut String) -> std::fmt::Result {
        let runs = self
            .series
            .iter()
            .map(|series| series.runs.len())
            .max()
            .unwrap_or_default();
        writeln!(
            out,
            "\n### {} ({runs} runs of {} calls)\n",
            self.workload.name, self.workload.calls
        )?;
        writeln!(
            out,
            "| through | calls/s | of direct | of haproxy | mean latency | CPU per call | failed | checked |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|")?;
        let (direct, haproxy) = (self.rate_of("direct"), self.rate_of("haproxy"));
        for series in &self.series {
            let rate = series.median(|run| run.load.rate);
            let ratio = |base: Option<f64>| base.map_or("-".to_owned(), |base| format!("{:.2}", rate / base));
            let failed: u64 = series.runs.iter().map(|run| run.load.failed).sum();
            let checked: u64 = series.runs.iter().map(|run| run.checked).sum();
            writeln!(
                out,
                "| {} | {rate:.0} | {} | {} | {:.0} us | {:.1} us | {failed} | {checked} |",
                series.way,
                ratio(direct),
                ratio(haproxy),
                series.median(|run| run.load.mean_us),
                series.median(|run| run.cpu_us),
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// Calls that failed, over everything.
    pub fn failed(&self) -> u64 {
        let runs = self
            .sections
            .iter()
            .flat_map(|section| &section.series)
            .flat_map(|series| &series.runs);
        runs.map(|run| run.load.failed).sum()
    }

    /// The whole as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::from("## Warm path: medians of interleaved runs\n");
        // Writing to a string cannot fail.
        for section in &self.sections {
            let _ = section.markdown(&mut out);
        }
        let _ = writeln!(
            out,
            "\n### Resident memory\n\n| server | after 50 B | after 600 kB |\n|---|--:|--:|"
        );
        for Memory {
            server,
            small_bytes,
            large_bytes,
        } in &self.memory
        {
            let [small, large] = [*small_bytes, *large_bytes].map(|bytes| bytes as f64 / 1e6);
            let _ = writeln!(out, "| {server} | {small:.1} MB | {large:.1} MB |");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::ALL;

    fn series(way: &'static str, rates: &[f64]) -> Series {
        let run = |rate: &f64| Run {
            load: Load {
                rate: *rate,
                mean_us: 10.0,
                failed: 1,
            },
            cpu_us: 5.0,
            checked: 2,
        };
        Series {
            way,
            runs: rates.iter().map(run).collect(),
        }
    }

    #[test]
    fn medians() {
        for (rates, expected) in [
            (&[][..], 0.0),
            (&[3.0], 3.0),
            (&[9.0, 1.0], 5.0),
            (&[9.0, 1.0, 2.0], 2.0),
        ] {
            let median = series("x", rates).median(|run| run.load.rate);
            assert!((median - expected).abs() < 1e-9, "{rates:?}: {median}");
        }
    }

    #[test]
    fn table_has_ratios_and_failures() {
        let [workload, ..] = ALL;
        let series = vec![
            series("direct", &[100.0]),
            series("stowage", &[60.0]),
            series("haproxy", &[50.0]),
        ];
        let report = Report {
            sections: vec![Section { workload, series }],
            memory: Vec::new(),
        };
        let text = report.markdown();
        assert!(
            text.contains("| stowage | 60 | 0.60 | 1.20 | 10 us | 5.0 us | 1 | 2 |"),
            "{text}"
        );
        assert_eq!(report.failed(), 3);
    }
}
