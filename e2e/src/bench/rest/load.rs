//! `h2load` over HTTP/1.1 and HTTP/2, for a time rather than a number of calls: ways differ by a factor of a hundred.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use serde::Serialize;

use super::{call::Call, way::Protocol};
use crate::bench::load::{line, mean_us};

/// Streams that share a connection of HTTP/2.
const STREAMS: u32 = 8;
/// What `h2load` may take beside the time that it is asked for, in seconds.
const GRACE: u64 = 60;

/// What one run gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Calls per second that ended with HTTP status 200.
    pub rate: f64,
    /// Mean time of a call in microseconds.
    pub mean_us: f64,
    /// Calls that ended otherwise.
    pub failed: u64,
    /// Calls that ended well.
    pub calls: u64,
}

/// Calls `addr` from core `core`, `at_once` calls at once for `time`. `body` is a file with the call's body.
pub async fn run(
    call: &Call,
    body: &Path,
    protocol: Protocol,
    addr: SocketAddr,
    at_once: u32,
    time: Duration,
    core: u32,
) -> anyhow::Result<Load> {
    let streams = if protocol == Protocol::Http1 {
        1
    } else {
        STREAMS.min(at_once)
    };
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg((time.as_secs() + GRACE).to_string())
        .args(["taskset", "-c", &core.to_string()])
        .args(["h2load", "-t", "1"])
        .args(["-c", &(at_once / streams).to_string()])
        .args(["-m", &streams.to_string()])
        .args(["-D", &format!("{}ms", time.as_millis())]);
    if protocol == Protocol::Http1 {
        command.arg("--h1");
    }
    for (name, value) in &call.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    command
        .arg("-d")
        .arg(body)
        .arg(format!("http://{addr}{}", call.path))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("run h2load")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "h2load: {}\n{text}", output.status);
    parse(&text, time).with_context(|| format!("read h2load's report:\n{text}"))
}

fn parse(text: &str, time: Duration) -> anyhow::Result<Load> {
    // status codes: 199990 2xx, 0 3xx, 0 4xx, 10 5xx
    let counts: Vec<u64> = line(text, "status codes:")?
        .split(", ")
        .map(|part| part.split_whitespace().next().unwrap_or_default().parse())
        .collect::<Result<_, _>>()?;
    let (&calls, other) = counts.split_first().context("no count of 2xx")?;
    anyhow::ensure!(calls > 0, "no call ended well");
    Ok(Load {
        rate: calls as f64 / time.as_secs_f64(),
        mean_us: mean_us(text)?,
        failed: other.iter().sum(),
        calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
finished in 2.00s, 1000.00 req/s, 2.07MB/s
requests: 2003 total, 2035 started, 2003 done, 2000 succeeded, 3 failed, 0 errored, 0 timeout
status codes: 2000 2xx, 0 3xx, 1 4xx, 2 5xx
                     min         max         mean         sd        +/- sd
time for request:      212us     32.77ms      4.85ms      4.09ms    65.77%
";

    #[test]
    fn reads_a_report() {
        let load = parse(REPORT, Duration::from_secs(2)).unwrap();
        assert_eq!(
            load,
            Load {
                rate: 1000.0,
                mean_us: 4850.0,
                failed: 3,
                calls: 2000
            }
        );
        assert!(parse(&REPORT.replace("2000 2xx", "0 2xx"), Duration::from_secs(2)).is_err());
    }
}
