//! File events, reduced to what matters: something happened, and these paths were moved into place.

use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Moved paths that are remembered between two scans. Beyond it a move counts like any other change.
const MAX_MOVED: usize = 4_096;

/// Events of one folder.
#[derive(Debug)]
pub(super) struct Events {
    shared: Arc<Shared>,
    watching: Option<Watching>,
}

#[derive(Debug)]
struct Watching {
    folder: Identity,
    /// Watches for as long as it lives.
    _watcher: RecommendedWatcher,
}

/// Device and inode: another folder of the same name is another folder.
type Identity = (u64, u64);

fn identity(root: &Path) -> io::Result<Identity> {
    let meta = root.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

#[derive(Debug, Default)]
struct Shared {
    news: Notify,
    moved: Mutex<BTreeSet<String>>,
}

/// Paths that were moved into place.
#[derive(Debug, Default)]
pub(super) struct Moved(BTreeSet<String>);

impl Moved {
    /// Whether `path` or a folder above it was moved.
    pub(super) fn covers(&self, path: &str) -> bool {
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        folders.chain([path]).any(|prefix| self.0.contains(prefix))
    }
}

impl Events {
    /// Starts to watch `root` and everything below it.
    pub(super) fn watch(root: &Path) -> notify::Result<Self> {
        let folder = identity(root).map_err(notify::Error::io)?;
        let root = root.canonicalize().map_err(notify::Error::io)?;
        let shared = Arc::new(Shared::default());
        let handler = {
            let (root, shared) = (root.clone(), Arc::clone(&shared));
            move |event: notify::Result<Event>| shared.heard(&root, event)
        };
        // Links out of the folder are refused by the scan; what lies behind them is nobody's business.
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(handler, config)?;
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok(Self {
            shared,
            watching: Some(Watching {
                folder,
                _watcher: watcher,
            }),
        })
    }

    /// No events ever.
    pub(super) fn none() -> Self {
        Self {
            shared: Arc::default(),
            watching: None,
        }
    }

    /// Nothing is ever heard.
    pub(super) fn is_deaf(&self) -> bool {
        self.watching.is_none()
    }

    /// Whether the folder that lies at `root` now is the one that is watched. One that is away is not judged.
    pub(super) fn are_of(&self, root: &Path) -> bool {
        let Some(Watching { folder, .. }) = &self.watching else {
            return false;
        };
        identity(root).map_or(true, |now| now == *folder)
    }

    /// Waits until something happened since the last wait.
    pub(super) async fn wait(&self) {
        self.shared.news.notified().await;
    }

    /// What was moved since the last call.
    pub(super) fn take_moved(&self) -> Moved {
        Moved(std::mem::take(&mut *self.shared.moved.lock()))
    }
}

impl Shared {
    fn heard(&self, root: &Path, event: notify::Result<Event>) {
        // An error may mean that events were lost: look.
        if let Ok(event) = event {
            match event.kind {
                // Our own scans open folders, serving opens files.
                EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => return,
                EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
                    self.remember(root, event.paths.last());
                }
                _ => {}
            }
        }
        self.news.notify_one();
    }

    fn remember(&self, root: &Path, path: Option<&PathBuf>) {
        let relative = path
            .and_then(|path| path.strip_prefix(root).ok())
            .and_then(Path::to_str);
        let mut moved = self.moved.lock();
        if let Some(relative) = relative.filter(|_| moved.len() < MAX_MOVED) {
            moved.insert(relative.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_folder_moves_what_is_in_it() {
        let moved = Moved(["a.onnx".to_owned(), "m/1".to_owned()].into());
        for path in ["a.onnx", "m/1/model.onnx", "m/1"] {
            assert!(moved.covers(path), "{path}");
        }
        for path in ["b.onnx", "m/10/model.onnx", "m/model.onnx", "a.onnx2"] {
            assert!(!moved.covers(path), "{path}");
        }
    }

    #[test]
    fn our_own_reading_is_no_news() {
        let shared = Shared::default();
        let event = |kind| Ok(Event::new(kind).add_path("/root/m.onnx".into()));
        let heard = |kind| {
            shared.heard(Path::new("/root"), event(kind));
            futures::FutureExt::now_or_never(shared.news.notified()).is_some()
        };
        assert!(!heard(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(heard(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(heard(EventKind::Modify(ModifyKind::Name(RenameMode::To))));
        assert!(shared.moved.lock().contains("m.onnx"));
    }

    #[test]
    fn moves_are_remembered_up_to_a_bound() {
        let shared = Shared::default();
        for i in 0..=MAX_MOVED {
            shared.remember(Path::new("/root"), Some(&format!("/root/{i}").into()));
        }
        assert_eq!(shared.moved.lock().len(), MAX_MOVED);
    }
}
