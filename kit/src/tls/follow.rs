//! Reads files again when their content changes.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    time::Duration,
};

use tokio::time::{self, MissedTickBehavior};

use super::{Client, Server, TlsError, files};
use crate::drain::Drain;

/// Keeps all of these up to date until `drain` has finished. By content, so that links that are swapped, files that are
/// written anew and times that lie make no difference.
pub async fn follow(servers: Vec<Server>, clients: Vec<Client>, interval: Duration, drain: Drain) {
    let mut parts: Vec<Part> = Vec::new();
    parts.extend(servers.into_iter().map(Part::server));
    parts.extend(clients.into_iter().map(Part::client));
    let mut turns = time::interval(interval);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = drain.finished() => return,
            _ = turns.tick() => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            parts.iter_mut().for_each(Part::look);
            parts
        });
        match looked.await {
            Ok(back) => parts = back,
            Err(error) => {
                tracing::error!(%error, "certificates are not followed any more");
                return;
            }
        }
    }
}

type Reload = Box<dyn Fn() -> Result<(), TlsError> + Send>;

struct Part {
    paths: Vec<PathBuf>,
    /// Of what was read last, taken or not.
    seen: Option<u64>,
    reload: Reload,
}

impl Part {
    fn server(server: Server) -> Self {
        Self::of(server.paths(), Box::new(move || server.reload()))
    }

    fn client(client: Client) -> Self {
        Self::of(client.paths(), Box::new(move || client.reload()))
    }

    fn of(paths: Vec<PathBuf>, reload: Reload) -> Self {
        Self {
            paths,
            seen: None,
            reload,
        }
    }

    fn look(&mut self) {
        let mut hasher = DefaultHasher::new();
        for path in &self.paths {
            // A file that cannot be read is a change too, and the reload says what is wrong with it.
            files::read(path).ok().hash(&mut hasher);
        }
        let hash = hasher.finish();
        // The first look reads again what was read at the start: it may have changed in between.
        let before = self.seen.replace(hash);
        if before == Some(hash) {
            return;
        }
        match (self.reload)() {
            Ok(()) if before.is_some() => tracing::info!(files = ?self.paths, "certificates taken"),
            Ok(()) => {}
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "certificates not taken, the ones before stay in use"
                );
            }
        }
    }
}
