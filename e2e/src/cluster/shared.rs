//! One control plane for many tests of a program.

use std::ops::Deref;

use tokio::sync::OnceCell;

use super::{Cluster, Options};

/// The last lines of a program's output, which show the requests of a failed test.
const LINES: usize = 60;

static SHARED: OnceCell<Cluster> = OnceCell::const_new();

/// The control plane that the tests of this program share. It ends with the program.
#[derive(Debug)]
pub struct Shared(&'static Cluster);

impl Cluster {
    /// The API server that the tests of this program share, with an audit log; the first one starts it. What a test does
    /// there must not disturb the others: it works in a [`Cluster::namespace`], and restricts what is cluster-wide to that.
    pub async fn shared() -> anyhow::Result<Shared> {
        let options = Options {
            audit: true,
            ..Options::default()
        };
        let cluster = SHARED.get_or_try_init(|| Cluster::start(options));
        cluster.await.map(Shared)
    }
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (component, server) in &self.0.servers {
            let output = server.process().output();
            let lines: Vec<_> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            eprintln!(
                "--- end of the output of {} ---\n{last}\n---",
                component.program()
            );
        }
    }
}
