//! One reader at work: a copy of what the repository has, servers on ports of their own, commands one after the other.

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use e2e::process::{self, Process};
use tempfile::TempDir;

use super::{
    answer,
    block::{Block, Kind, commands},
};
use crate::{
    clients,
    support::{SOON, rest},
};

/// Default ports in the guides, and the variables that choose others.
const PORTS: [(&str, &[&str]); 7] = [
    (
        "8033",
        &["STOWAGE_GRPC", "STOWAGE_SERVER_GRPC", "MM_SVC_GRPC_PORT"],
    ),
    (
        "8008",
        &["STOWAGE_REST", "STOWAGE_SERVER_REST", "REST_PROXY_LISTEN_PORT"],
    ),
    ("2112", &["STOWAGE_ADMIN", "MM_METRICS"]),
    ("8085", &["ADAPTER_PORT"]),
    ("8001", &["RUNTIME_PORT"]),
    ("8089", &["MM_PROBE_PORT"]),
    ("8090", &["MM_PRESTOP_WAIT_PORT"]),
];

/// What a reader starts from a checkout, and the program that this builds.
const RUN: [(&str, &str); 2] = [
    ("cargo run --release --", "stowage"),
    ("cargo run --release", "stowage"),
];

/// Seconds that one command may take.
const LIMIT: &str = "120";

pub(super) struct Session {
    folder: TempDir,
    ports: BTreeMap<&'static str, String>,
    servers: Vec<Process>,
    /// Folders with programs that a reader has installed.
    tools: Vec<PathBuf>,
}

impl Session {
    pub(super) fn new(tools: Vec<PathBuf>) -> Self {
        let listeners = PORTS.map(|(port, _)| {
            let free = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
            (port, free)
        });
        let ports = listeners.map(|(port, listener)| {
            let addr = listener.local_addr().expect("a listener has an address");
            (port, addr.port().to_string())
        });
        let folder = TempDir::new().expect("the temporary folder can be written");
        let root = process::root();
        copy(&root.join("examples"), &folder.path().join("examples"));
        for name in ["scripts", "e2e"] {
            symlink(root.join(name), folder.path().join(name)).expect("the temporary folder can be written");
        }
        Self {
            folder,
            ports: ports.into(),
            servers: Vec::new(),
            tools,
        }
    }

    /// Does what the block says; the error tells what came instead.
    pub(super) async fn run(&mut self, block: &Block) -> anyhow::Result<()> {
        let text = self.translated(&block.text);
        match block.kind {
            Kind::Server => self.serve(&text).await,
            Kind::Shell { exit } => self.check(&shell(&text), exit, block).await,
            Kind::Eventually => {
                let mut last = None;
                let done = process::eventually("what the guide shows", SOON, async || {
                    last = self.check(&shell(&text), 0, block).await.err();
                    Ok(last.is_none().then_some(()))
                });
                let done = done.await;
                done.map_err(|err| last.take().unwrap_or(err))
            }
            Kind::Python { ref requirements } => {
                let program = self.folder.path().join("snippet.py");
                fs::write(&program, &text)?;
                self.check(
                    &[
                        clients::python_with(requirements).await,
                        program.display().to_string(),
                    ],
                    0,
                    block,
                )
                .await
            }
            Kind::Manual | Kind::Shown => Ok(()),
        }
    }

    /// What the servers said, for a test that failed.
    pub(super) fn server_output(&self) -> String {
        self.servers.iter().map(Process::output).collect()
    }

    /// Ports of this session instead of the defaults; whole numbers only.
    fn translated(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (shown, program) in RUN {
            text = text.replace(shown, program);
        }
        let mut out = String::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let len = if digits > 0 {
                digits
            } else {
                rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())
            };
            let (part, after) = rest.split_at(len);
            out.push_str(self.ports.get(part).map_or(part, String::as_str));
            rest = after;
        }
        out
    }

    fn environment(&self, command: &mut Command) -> anyhow::Result<()> {
        let own = process::binary("stowage")?;
        let programs = own.parent().map(PathBuf::from).unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(programs)
            .chain(self.tools.iter().cloned())
            .chain(env::split_paths(&path));
        command.env("PATH", env::join_paths(all)?);
        for (port, variables) in PORTS {
            let free = &self.ports[port];
            for name in variables {
                let value = match *name {
                    "MM_METRICS" => format!("prometheus:port={free};scheme=http"),
                    name if name.starts_with("STOWAGE_SERVER") => format!("127.0.0.1:{free}"),
                    _ => free.clone(),
                };
                command.env(name, value);
            }
        }
        command.current_dir(self.folder.path());
        Ok(())
    }

    /// Ends the servers of before, starts these, and waits until they serve.
    async fn serve(&mut self, text: &str) -> anyhow::Result<()> {
        self.servers.clear();
        for line in commands(text) {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec env {line}")]);
            self.environment(&mut command)?;
            self.servers.push(Process::start(command)?);
        }
        let [address, probe] = ["8008", "8089"].map(|port| format!("127.0.0.1:{}", self.ports[port]));
        process::eventually("the server to be ready", SOON, async || {
            for server in &mut self.servers {
                server.check_running()?;
            }
            let ready = match rest::get(&address, "/v2/health/ready").await {
                Ok(answer) if answer.status == 200 => true,
                // It speaks HTTPS; the probe does not.
                Ok(answer) if answer.status == 400 => {
                    let probe = rest::get(&probe, "/ready").await;
                    probe.is_ok_and(|answer| answer.status == 200)
                }
                _ => false,
            };
            Ok(ready.then_some(()))
        })
        .await
    }

    async fn check(&self, program: &[String], exit: i32, block: &Block) -> anyhow::Result<()> {
        let mut command = Command::new("sh");
        // Both streams as a terminal shows them.
        command
            .args(["-c", "exec 2>&1; exec timeout \"$@\"", "sh", LIMIT])
            .args(program);
        self.environment(&mut command)?;
        let output = tokio::task::spawn_blocking(move || command.output())
            .await?
            .context("run sh")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let code = output.status.code();
        ensure!(
            code == Some(exit),
            "ended with {code:?} instead of {exit}: {printed}"
        );
        if let Some(expected) = &block.answer {
            let expected = self.translated(expected);
            ensure!(
                answer::matches(&expected, &printed),
                "the guide shows\n{expected}but this came:\n{printed}"
            );
        }
        Ok(())
    }
}

fn shell(text: &str) -> [String; 3] {
    ["sh", "-ec", text].map(str::to_owned)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|err| panic!("{}: {err}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|err| panic!("{}: {err}", from.display())) {
        let entry = entry.expect("the examples can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap_or_else(|err| panic!("{}: {err}", target.display()));
        }
    }
}
