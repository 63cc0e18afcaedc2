//! A folder with `tls.crt` and `tls.key`, as a mounted Secret is: the kubelet swaps a symbolic link when it changes.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use kit::drain::Drain;
use notify::{
    Event, EventKind, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use super::Current;

/// The folder is read again at least this often, should an event get lost.
const INTERVAL: Duration = Duration::from_secs(10);
/// Files that change together come in several events.
const SETTLE: Duration = Duration::from_millis(20);
/// Largest file that is read, in bytes: a chain of certificates is a few KiB.
const LARGEST: u64 = 1 << 20;

/// Reads the folder now, and again whenever it changes, until `drain` has finished. A pair that cannot be used now is no
/// error: it may come.
pub async fn follow(folder: &Path, current: &Current, drain: &Drain) -> anyhow::Result<()> {
    let changed = Arc::new(Notify::new());
    let wake = Arc::clone(&changed);
    let heard = move |event: notify::Result<Event>| {
        // An error may mean that events were lost: look. Our own reading is no news.
        let own = |event: &Event| matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if !event.as_ref().is_ok_and(own) {
            wake.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(heard).context("watch the folder of certificates")?;
    // The folder and not the files: what is mounted is a link that is replaced.
    let begun = watcher.watch(folder, notify::RecursiveMode::NonRecursive);
    if let Err(err) = begun {
        tracing::warn!(folder = %folder.display(), error = %err, "folder cannot be watched, only read now and then");
    }
    loop {
        if let Err(err) = read(folder, current).await {
            current.missing(&format!("{err:#}"));
            tracing::warn!(folder = %folder.display(), error = format!("{err:#}"), "certificate not taken");
        }
        tokio::select! {
            _ = drain.finished() => return Ok(()),
            () = changed.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn read(folder: &Path, current: &Current) -> anyhow::Result<bool> {
    let (chain, key) = (
        file(&folder.join("tls.crt")).await?,
        file(&folder.join("tls.key")).await?,
    );
    Ok(current.offer(&chain, &key)?)
}

async fn file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = || format!("read {}", path.display());
    let length = tokio::fs::metadata(path).await.with_context(name)?.len();
    anyhow::ensure!(
        length <= LARGEST,
        "{} is larger than {LARGEST} bytes",
        path.display()
    );
    tokio::fs::read(path).await.with_context(name)
}
