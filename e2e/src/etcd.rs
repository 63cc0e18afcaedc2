//! etcd as child processes: one member or several, on loopback, with TLS and users if a test wants them. Every member can
//! be killed, paused, restarted, and robbed of its data.

mod admin;
mod door;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use kube::Config;
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use self::door::Door;
use crate::{
    cluster::{
        certificates::Pair,
        server::{Launch, Probe, Server},
    },
    port,
    process::{self, scratch},
};

/// How often other ports are tried.
const TRIES: usize = 5;

static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();

/// What is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of members.
    pub members: usize,
    /// TLS for clients: the server's certificate, and the authority of clients' certificates if they must have one.
    pub tls: Option<(Pair, Option<String>)>,
    /// More flags for each member.
    pub flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            members: 1,
            tls: None,
            flags: Vec::new(),
        }
    }
}

/// A running cluster of etcd. It ends when dropped.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    /// Certificates and data; removed at last.
    folder: TempDir,
}

#[derive(Debug)]
struct Member {
    server: Server,
    /// Where clients connect to.
    client: u16,
    /// HTTP with JSON, for administration.
    admin: u16,
    data: PathBuf,
}

/// Ports of one member.
struct Ports {
    client: u16,
    peer: u16,
    admin: u16,
    metrics: u16,
}

/// The program; see `scripts/etcd.sh`.
pub async fn program() -> anyhow::Result<PathBuf> {
    let found = PROGRAM.get_or_try_init(|| async {
        let script = process::root().join("scripts/etcd.sh");
        let done = process::finish(Command::new(&script)).await?;
        anyhow::ensure!(done.code == Some(0), "no etcd: {}", done.stderr);
        let path = done.stdout.lines().last().context("the script printed no path")?;
        Ok(PathBuf::from(path))
    });
    found.await.cloned()
}

impl Etcd {
    /// Starts a cluster, and returns when every member answers.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix_in("etcd-", scratch()?)?;
        if let Some((pair, authority)) = &options.tls {
            fs::write(folder.path().join("server.pem"), &pair.certificate)?;
            fs::write(folder.path().join("server.key"), &pair.key)?;
            fs::write(
                folder.path().join("clients.pem"),
                authority.as_deref().unwrap_or_default(),
            )?;
        }
        let program = program().await?;
        let members = Vec::new();
        let mut etcd = Self { members, folder };
        for attempt in 1.. {
            match etcd.spawn(&program, &options, attempt).await {
                Err(err) if attempt < TRIES && port::was_taken(&format!("{err:#}")) => etcd.members.clear(),
                Err(err) => return Err(err),
                Ok(()) => break,
            }
        }
        Ok(etcd)
    }

    async fn spawn(&mut self, program: &Path, options: &Options, attempt: usize) -> anyhow::Result<()> {
        let free = |_| -> anyhow::Result<Ports> {
            Ok(Ports {
                client: port::free()?,
                peer: port::free()?,
                admin: port::free()?,
                metrics: port::free()?,
            })
        };
        let ports = (0..options.members)
            .map(free)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let all: Vec<_> = ports
            .iter()
            .enumerate()
            .map(|(n, ports)| format!("m{n}=http://127.0.0.1:{}", ports.peer))
            .collect();
        let files = self.folder.path().to_owned();
        for (n, ports) in ports.into_iter().enumerate() {
            let data = files.join(format!("data-{attempt}-{n}"));
            let scheme = if options.tls.is_some() { "https" } else { "http" };
            let mut arguments = vec![
                format!("--name=m{n}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-client-urls={scheme}://127.0.0.1:{}", ports.client),
                format!("--advertise-client-urls={scheme}://127.0.0.1:{}", ports.client),
                format!("--listen-client-http-urls=http://127.0.0.1:{}", ports.admin),
                format!("--listen-metrics-urls=http://127.0.0.1:{}", ports.metrics),
                format!("--listen-peer-urls=http://127.0.0.1:{}", ports.peer),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{}", ports.peer),
                format!("--initial-cluster={}", all.join(",")),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ];
            if let Some((_, authority)) = &options.tls {
                arguments.push(format!("--cert-file={}", files.join("server.pem").display()));
                arguments.push(format!("--key-file={}", files.join("server.key").display()));
                if authority.is_some() {
                    arguments.push("--client-cert-auth".to_owned());
                    arguments.push(format!(
                        "--trusted-ca-file={}",
                        files.join("clients.pem").display()
                    ));
                }
            }
            arguments.extend(options.flags.iter().cloned());
            let launch = Launch {
                program: program.to_owned(),
                arguments,
                probe: Probe {
                    config: Config::new(format!("http://127.0.0.1:{}", ports.metrics).parse()?),
                    path: "/health",
                },
            };
            self.members.push(Member {
                server: Server::spawn(launch)?,
                client: ports.client,
                admin: ports.admin,
                data,
            });
        }
        for member in &mut self.members {
            member.server.ready().await.context("start etcd")?;
        }
        Ok(())
    }

    /// `host:port` of a member.
    pub fn endpoint(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.members[member].client)
    }

    /// `host:port,...` of all members.
    pub fn endpoints(&self) -> String {
        let all: Vec<_> = (0..self.members.len())
            .map(|member| self.endpoint(member))
            .collect();
        all.join(",")
    }

    /// Number of members, running or not.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Kills a member, as a crash would.
    pub fn kill(&mut self, member: usize) -> anyhow::Result<()> {
        self.members[member].server.kill()
    }

    /// Starts a member again with its ports and data; one that runs is killed first. Returns when it answers, for which most
    /// members must run.
    pub async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        self.members[member].server.restart().await
    }

    /// Kills all members, and starts all of them again, empty.
    pub async fn wipe(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.server.kill()?;
            fs::remove_dir_all(&member.data)?;
        }
        for member in &mut self.members {
            member.server.respawn()?;
        }
        for member in &mut self.members {
            member.server.ready().await?;
        }
        Ok(())
    }

    /// Stops a member where it is, with its connections open.
    pub fn pause(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].server.process().pause()
    }

    /// Lets a member go on.
    pub fn resume(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].server.process().resume()
    }

    /// Replaces the servers' certificate; new connections see it at once.
    pub fn replace_certificate(&self, pair: &Pair) -> anyhow::Result<()> {
        fs::write(self.folder.path().join("server.pem"), &pair.certificate)?;
        fs::write(self.folder.path().join("server.key"), &pair.key)?;
        Ok(())
    }
}
