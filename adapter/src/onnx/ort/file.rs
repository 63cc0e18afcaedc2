//! A model file and its external data, read and checked. ONNX Runtime is given bytes and opens no file itself: it would
//! map them, and a mapped file that shrinks kills the process.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::onnx::{
    engine::LoadError,
    tract::graph::inspect::{self, Inspected},
};

/// A model as ONNX Runtime gets it.
#[derive(Debug)]
pub(super) struct ModelFile {
    pub(super) path: PathBuf,
    pub(super) inspected: Inspected,
    /// Content of each external data file, by the name that the model has for it.
    pub(super) external: Vec<(String, Arc<[u8]>)>,
    pub(super) stamps: Vec<Stamp>,
}

/// What tells one content of a file from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl ModelFile {
    /// Reads and checks it.
    pub(super) fn read(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |path: &Path| {
            let path = path.to_path_buf();
            move |source| LoadError::Read { path, source }
        };
        let mut stamps = Vec::new();
        let mut read = |path: &Path| {
            // Before the content, so that a change in between is seen.
            stamps.push(Stamp::of(&fs::metadata(path)?));
            fs::read(path)
        };
        let bytes = Bytes::from(read(path).map_err(unreadable(path))?);
        let inspected = inspect::inspect(bytes, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut external = Vec::with_capacity(inspected.external.len());
        for location in &inspected.external {
            let path = folder.join(location);
            let content = read(&path).map_err(unreadable(&path))?;
            external.push((location.clone(), Arc::from(content)));
        }
        Ok(Self {
            path: path.to_path_buf(),
            inspected,
            external,
            stamps,
        })
    }

    /// Bytes of the model and of its external data.
    pub(super) fn bytes(&self) -> u64 {
        let external = self.external.iter().map(|(_, content)| content.len());
        external.chain([self.inspected.bytes.len()]).sum::<usize>() as u64
    }
}
