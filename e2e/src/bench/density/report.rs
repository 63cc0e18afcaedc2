//! The numbers, as JSON and as tables.

use std::fmt::Write;

use serde::Serialize;

use super::calls::{Latencies, Split};

/// Everything that was measured. Memory is resident bytes of the server's process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Models in the folder.
    pub models: usize,
    /// Bytes of one model's file.
    pub model_bytes: u64,
    /// Processors that this machine has.
    pub cores: usize,
    /// A folder without models, then one with all of them.
    pub starts: Vec<Start>,
    /// Bytes for each model that is registered and not loaded.
    pub bytes_per_registered: f64,
    /// Loads, one after the other.
    pub loads: Vec<Loads>,
    /// Calls as fast as answers come, all models loaded.
    pub saturation: Option<Saturation>,
    /// Calls by the clock.
    pub open: Vec<Open>,
}

/// A start of the server.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// Models in the folder.
    pub models: usize,
    /// Until all of them were registered and a call could be made.
    pub seconds: f64,
    /// Memory then.
    pub resident_bytes: u64,
    /// Time of `/metrics`, and its size.
    pub metrics_page: Page,
    /// Time of `/models.json`, and its size.
    pub models_page: Page,
}

/// One look at an admin page.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Page {
    /// Time.
    pub ms: f64,
    /// Size.
    pub bytes: usize,
}

/// Loads by calls, each to a model that was not loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Loads {
    /// Models loaded by this step.
    pub models: usize,
    /// Models that are loaded after it.
    pub loaded: u64,
    /// Time it took.
    pub seconds: f64,
    /// Loads per second.
    pub per_second: f64,
    /// CPU time of the server for one load and its call, in milliseconds.
    pub cpu_ms: f64,
    /// Memory after it.
    pub resident_bytes: u64,
    /// Memory that each of these models added.
    pub bytes_per_model: f64,
    /// Memory that the server itself counts for one model.
    pub counted_per_model: f64,
}

/// Calls as fast as answers come.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Saturation {
    /// Callers that wait for their answers.
    pub streams: usize,
    /// Calls per second.
    pub per_second: f64,
    /// CPU time of the server for one call, in microseconds.
    pub cpu_us: f64,
}

/// Calls by the clock.
#[derive(Clone, Debug, Serialize)]
pub struct Open {
    /// What else happened.
    pub name: &'static str,
    /// Models that fit into memory.
    pub fit: usize,
    /// Scheduled calls per second.
    pub rate: f64,
    /// Calls that may be under way at once.
    pub streams: usize,
    /// Length.
    pub seconds: f64,
    /// Exponent of the models' popularity.
    pub exponent: f64,
    /// Loads per second, of the calls and of whatever else asks.
    pub loads_per_second: f64,
    /// Calls that waited for a load, by the server's own count.
    pub waited: u64,
    /// Latencies.
    #[serde(flatten)]
    pub split: Split,
    /// Memory at the end.
    pub resident_bytes: u64,
}

impl Report {
    /// The whole as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(
            out,
            "## Density: {} models of {} bytes in one process, {} cores\n",
            self.models, self.model_bytes, self.cores
        )?;
        writeln!(
            out,
            "| models in the folder | start | resident | `/metrics` | `/models.json` |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|")?;
        for start in &self.starts {
            let page = |page: Page| format!("{:.1} ms, {:.1} kB", page.ms, page.bytes as f64 / 1e3);
            writeln!(
                out,
                "| {} | {:.2} s | {:.1} MB | {} | {} |",
                start.models,
                start.seconds,
                megabytes(start.resident_bytes),
                page(start.metrics_page),
                page(start.models_page),
            )?;
        }
        writeln!(
            out,
            "\nA model that is registered and not loaded takes {:.0} bytes.\n",
            self.bytes_per_registered
        )?;
        writeln!(
            out,
            "| loaded | loads/s | CPU per load | resident | per loaded model | counted per model |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|--:|")?;
        for loads in &self.loads {
            writeln!(
                out,
                "| {} | {:.0} | {:.2} ms | {:.1} MB | {:.1} kB | {:.1} kB |",
                loads.loaded,
                loads.per_second,
                loads.cpu_ms,
                megabytes(loads.resident_bytes),
                loads.bytes_per_model / 1e3,
                loads.counted_per_model / 1e3,
            )?;
        }
        if let Some(saturation) = self.saturation {
            writeln!(
                out,
                "\nSaturation: {:.0} calls/s to loaded models over {} streams, {:.1} us CPU per call.",
                saturation.per_second, saturation.streams, saturation.cpu_us
            )?;
        }
        self.write_open(out)
    }

    fn write_open(&self, out: &mut String) -> std::fmt::Result {
        if let Some(open) = self.open.first() {
            writeln!(
                out,
                "\nBy the clock: {:.0} calls/s, {:.0} s each, popularity k^-{:.2}.\n",
                open.rate, open.seconds, open.exponent
            )?;
        }
        writeln!(out, "| run | calls | count | p50 | p99 | p99.9 | longest |")?;
        writeln!(out, "|---|---|--:|--:|--:|--:|--:|")?;
        for open in &self.open {
            let name = format!("{}, {:.0} loads/s", open.name, open.loads_per_second);
            let rows = [
                (name.as_str(), "hits", &open.split.hits),
                ("", "misses", &open.split.misses),
                ("", "sent late by", &open.split.late),
            ];
            for (name, what, latencies) in rows {
                let Latencies {
                    count,
                    p50_ms,
                    p99_ms,
                    p999_ms,
                    max_ms,
                    ..
                } = latencies;
                if *count > 0 {
                    writeln!(
                        out,
                        "| {name} | {what} | {count} | {p50_ms:.2} ms | {p99_ms:.2} ms | {p999_ms:.2} ms | {max_ms:.1} ms |"
                    )?;
                }
            }
        }
        Ok(())
    }
}
