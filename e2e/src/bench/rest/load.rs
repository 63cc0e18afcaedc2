//! `h2load` over HTTP/1.1 and HTTP/2.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;

use super::{call::Call, way::Protocol};
use crate::bench::load::{Load, parse};

/// Streams that share a connection of HTTP/2.
const STREAMS: u32 = 8;
/// One run may take so many seconds; on a quiet machine it takes a few.
const LONGEST: &str = "300";

/// Calls `addr` from core `core` so many times, `at_once` calls at once. `body` is a file with the call's body.
pub async fn run(
    call: &Call,
    body: &Path,
    protocol: Protocol,
    addr: SocketAddr,
    at_once: u32,
    calls: u32,
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
        .arg(LONGEST)
        .args(["taskset", "-c", &core.to_string()])
        .args(["h2load", "-t", "1"])
        .args(["-c", &(at_once / streams).to_string()])
        .args(["-m", &streams.to_string()])
        .args(["-n", &calls.to_string()]);
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
    parse(&text, calls).with_context(|| format!("read h2load's report:\n{text}"))
}
