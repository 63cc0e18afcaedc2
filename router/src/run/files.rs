//! Files of settings that may change while the router runs.

use std::{path::Path, sync::Arc, time::Duration};

use kit::drain::Drain;

/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reads a file again when its content changes; a broken one keeps what is in force.
pub(super) async fn follow<E: Into<anyhow::Error>>(
    what: &'static str,
    path: Arc<Path>,
    drain: Drain,
    take: impl Fn(&str) -> Result<(), E>,
) {
    let mut current = tokio::fs::read_to_string(&path).await.unwrap_or_default();
    loop {
        tokio::select! {
            () = drain.started() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let Ok(text) = tokio::fs::read_to_string(&path).await else {
            continue;
        };
        if text == current {
            continue;
        }
        match take(&text) {
            Ok(()) => tracing::info!(path = %path.display(), what, "read again"),
            Err(error) => {
                let error = error.into();
                tracing::warn!(path = %path.display(), what, error = format!("{error:#}"), "not taken");
            }
        }
        current = text;
    }
}
