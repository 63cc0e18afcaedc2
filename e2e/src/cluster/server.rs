//! One program of the control plane: started, awaited, ended, started again.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Context as _;
use kube::{Client, Config};

use crate::{
    port,
    process::{self, Process},
};

/// For a program to become ready. Generous: a loaded machine must not fail a test.
const READY: Duration = Duration::from_mins(3);
/// For a program to end when asked to: the API server first ends the requests that it has.
const END: Duration = Duration::from_mins(2);
/// For one question whether it is ready.
const ASK: Duration = Duration::from_secs(5);
/// How often another port is tried.
const TRIES: usize = 5;

/// How a program is started, and how one sees that it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) probe: Probe,
}

/// A URL that answers with success when the program is ready.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// Scheme, host, port, and how the caller proves who it is.
    pub(crate) config: Config,
    pub(crate) path: &'static str,
}

impl Probe {
    /// Who asks. It connects again by itself.
    fn client(&self) -> anyhow::Result<Client> {
        let mut config = self.config.clone();
        config.connect_timeout = Some(ASK);
        Client::try_from(config).context("client of the probe")
    }

    /// Whether the answer is success now; anything else means not yet.
    async fn ask(&self, client: &Client) -> anyhow::Result<bool> {
        let request = http::Request::get(self.path).body(Vec::new())?;
        let answer = tokio::time::timeout(ASK, client.request_text(request)).await;
        Ok(matches!(answer, Ok(Ok(_))))
    }
}

/// A program that runs, or that was ended by its test.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    process: Process,
}

impl Server {
    /// Starts a program, on other ports when those that `launch` chose were taken meanwhile.
    pub(crate) async fn start(launch: impl Fn() -> anyhow::Result<Launch>) -> anyhow::Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut server = Self::spawn(launch()?)?;
            match server.ready().await {
                Ok(()) => return Ok(server),
                Err(_) if tries < TRIES && port::was_taken(&server.process.output()) => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// Starts a program without waiting until it is ready.
    pub(crate) fn spawn(launch: Launch) -> anyhow::Result<Self> {
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments);
        let process = Process::start(command)?;
        Ok(Self { launch, process })
    }

    /// Waits until it is ready; fails when it ends.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let what = format!("{} to be ready", self.launch.program.display());
        let client = self.launch.probe.client()?;
        let waited = process::eventually(&what, READY, async || {
            self.process.check_running()?;
            Ok(self.launch.probe.ask(&client).await?.then_some(()))
        })
        .await;
        waited.with_context(|| format!("its output:\n{}", self.process.output()))
    }

    /// Whether it runs, ready or not.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.check_running().is_ok()
    }

    /// Scheme, host and port.
    pub(crate) fn url(&self) -> String {
        let url = self.launch.probe.config.cluster_url.to_string();
        url.trim_end_matches('/').to_owned()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.terminate()?;
        self.process.wait(END).await?;
        Ok(())
    }

    /// Ends it if it runs, starts it again with the same ports and files, and waits until it is ready.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.respawn()?;
        self.ready().await
    }

    /// Starts it again after its end, without waiting until it is ready.
    pub(crate) fn respawn(&mut self) -> anyhow::Result<()> {
        *self = Self::spawn(self.launch.clone())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Starts a shell that fails with these words, and tells how often it was started.
    async fn starts(words: &str) -> (usize, String) {
        let count = Cell::new(0);
        let result = Server::start(|| {
            count.set(count.get() + 1);
            Ok(Launch {
                program: "sh".into(),
                arguments: vec!["-c".to_owned(), format!("echo {words}; exit 1")],
                probe: Probe {
                    config: Config::new(http::Uri::from_static("http://127.0.0.1:1")),
                    path: "/",
                },
            })
        })
        .await;
        (count.get(), format!("{:#}", result.unwrap_err()))
    }

    #[tokio::test]
    async fn another_port_is_tried_only_when_one_was_taken() {
        let (count, err) = starts("bind: address already in use").await;
        assert_eq!(count, TRIES);
        assert!(err.contains("address already in use"), "{err}");
        let (count, err) = starts("no space left").await;
        assert_eq!(count, 1);
        assert!(err.contains("no space left"), "{err}");
    }
}
