//! `stop.sh wait`: the program under another name, as a pre-stop hook of pods that were made for `ModelMesh`.
//!
//! It asks the router of this pod to end, and returns when that has handed over its models and answered its calls.

use std::{
    env,
    ffi::OsString,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use kit::exit::UsageError;

/// Name under which the program does this.
const NAME: &str = "stop.sh";
/// A router of this pod takes connections at once.
const CONNECT: Duration = Duration::from_secs(5);
/// What the router gives itself when nobody says more.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of the answer: one line.
const ANSWER: u64 = 4096;

/// Whether the program was called by this name.
pub fn is_meant(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| Path::new(program).file_name() == Some(NAME.as_ref()))
}

/// Does it, with the arguments that followed the name.
pub fn main(args: &[OsString]) -> anyhow::Result<()> {
    if args != ["wait"] {
        return Err(UsageError::msg(format!(
            "usage: {NAME} wait\nasks the router of this pod to end, and waits until it has"
        ))
        .into());
    }
    let port = variable("MM_PRESTOP_WAIT_PORT", api::names::ports::PRESTOP, |text| {
        text.parse().map_err(|_| format!("{text:?} is no port"))
    })?;
    let timeout = variable("SHUTDOWN_TIMEOUT_MS", DEFAULT_TIMEOUT, kit::args::duration_ms)?;
    let bind = variable("STOWAGE_BIND", IpAddr::V4(Ipv4Addr::UNSPECIFIED), |text| {
        text.parse().map_err(|_| format!("{text:?} is no IP address"))
    })?;
    let host = if bind.is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        bind
    };
    stop(SocketAddr::new(host, port), timeout)
}

fn variable<T>(name: &str, default: T, read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            read(&text).map_err(|err| UsageError::msg(format!("{name}: {err}")).into())
        }
        _ => Ok(default),
    }
}

fn stop(addr: SocketAddr, timeout: Duration) -> anyhow::Result<()> {
    let mut stream = match TcpStream::connect_timeout(&addr, CONNECT) {
        Ok(stream) => stream,
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {
            say("no router runs here");
            return Ok(());
        }
        Err(err) => return Err(err).with_context(|| format!("connect to {addr}")),
    };
    // The router has its own deadline and is bound by it; this is for one that hangs.
    stream.set_read_timeout(Some(timeout * 2))?;
    stream
        .write_all(
            b"POST /prestop/start HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )
        .context("ask the router to end")?;
    let mut answer = Vec::new();
    match stream.take(ANSWER).read_to_end(&mut answer) {
        Ok(_) => {}
        // It has ended before it could say so.
        Err(err) if err.kind() == io::ErrorKind::ConnectionReset => {}
        Err(err) => return Err(err).context("wait for the router's end"),
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(
        status.is_empty() || status == "200",
        "the router answered {status}: {}",
        answer.lines().last().unwrap_or_default()
    );
    say(answer.lines().last().unwrap_or("the router has ended"));
    Ok(())
}

fn say(text: &str) {
    // A hook whose output nobody reads does its work all the same.
    let _ = writeln!(io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_its_name() {
        let is = |name: &str| is_meant(Some(&name.into()));
        assert!(is("/opt/kserve/mmesh/stop.sh") && is("stop.sh"));
        assert!(!is("/usr/bin/stowage-router") && !is_meant(None));
    }

    #[test]
    fn without_a_router_there_is_nothing_to_wait_for() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = port.local_addr().unwrap();
        drop(port);
        stop(addr, Duration::from_secs(1)).unwrap();
        assert_eq!(kit::exit::code_of(&main(&["now".into()])), kit::exit::USAGE);
    }
}
