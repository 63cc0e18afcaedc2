//! `h2load`: started, bounded, and its report read.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use serde::Serialize;

use super::workload::Workload;

/// One run may take so many seconds; slow ways need a tenth of it.
const LONGEST: &str = "120";

/// What one run gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Calls per second.
    pub rate: f64,
    /// Mean time of a call in microseconds.
    pub mean_us: f64,
    /// Calls that did not end with HTTP status 200.
    pub failed: u64,
}

/// Runs `workload` against `addr` from core `core`.
pub async fn run(
    workload: &Workload,
    addr: SocketAddr,
    body: &Path,
    header: Option<&str>,
    core: u32,
) -> anyhow::Result<Load> {
    let mut command = Command::new("timeout");
    command
        .args([
            "--kill-after=5",
            LONGEST,
            "taskset",
            "-c",
            &core.to_string(),
            "h2load",
            "-t",
            "1",
        ])
        .args([
            "-c",
            &workload.connections.to_string(),
            "-m",
            &workload.streams.to_string(),
        ])
        .args(["-n", &workload.calls.to_string()])
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    command
        .arg("-d")
        .arg(body)
        .arg(format!("http://{addr}{}", api::names::methods::MODEL_INFER))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("run h2load")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "h2load: {}\n{text}", output.status);
    parse(&text, workload.calls).with_context(|| format!("read h2load's report:\n{text}"))
}

/// Reads the report of a run of so many calls.
pub(super) fn parse(text: &str, calls: u32) -> anyhow::Result<Load> {
    // finished in 7.82s, 25582.04 req/s, 2.07MB/s
    let rate = line(text, "finished in")?
        .split(", ")
        .find_map(|part| part.strip_suffix(" req/s"))
        .context("no rate")?
        .trim()
        .parse()?;
    // status codes: 200000 2xx, 0 3xx, 0 4xx, 0 5xx
    let good: u64 = line(text, "status codes:")?
        .split_whitespace()
        .next()
        .context("no count of 2xx")?
        .parse()?;
    Ok(Load {
        rate,
        mean_us: mean_us(text)?,
        failed: u64::from(calls).saturating_sub(good),
    })
}

/// What follows `start` on the line that begins with it.
fn line<'a>(text: &'a str, start: &str) -> anyhow::Result<&'a str> {
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix(start))
        .with_context(|| format!("no line {start:?}"))
}

/// Mean time of a call.
fn mean_us(text: &str) -> anyhow::Result<f64> {
    // time for request:      212us     32.77ms      4.85ms      4.09ms    65.77%
    let mean = line(text, "time for request:")?
        .split_whitespace()
        .nth(2)
        .context("no mean")?;
    microseconds(mean)
}

fn microseconds(text: &str) -> anyhow::Result<f64> {
    // Longest unit first: every one of them ends with "s".
    let (number, factor) = [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .with_context(|| format!("no unit in {text:?}"))?;
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
finished in 7.82s, 25582.04 req/s, 2.07MB/s
requests: 200000 total, 200000 started, 200000 done, 199990 succeeded, 10 failed, 0 errored, 0 timeout
status codes: 199990 2xx, 0 3xx, 0 4xx, 10 5xx
                     min         max         mean         sd        +/- sd
time for request:      212us     32.77ms      4.85ms      4.09ms    65.77%
time for connect:      321us       512us       410us        80us    50.00%
";

    #[test]
    fn reads_a_report() {
        let load = parse(REPORT, 200_000).unwrap();
        assert_eq!(
            load,
            Load {
                rate: 25582.04,
                mean_us: 4850.0,
                failed: 10
            }
        );
        assert!(parse("finished in 7.82s", 1).is_err());
    }

    #[test]
    fn knows_units() {
        for (text, value) in [("21us", 21.0), ("1.50ms", 1500.0), ("2.00s", 2e6)] {
            assert!((microseconds(text).unwrap() - value).abs() < 1e-6, "{text}");
        }
        assert!(microseconds("5").is_err());
    }
}
