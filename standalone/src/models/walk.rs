//! Reads a models folder: names and metadata, nothing is opened.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Scan, layout::layout, name::is_ignored};

/// Parts of the longest path that matters: `m/1/model.onnx`.
const MAX_DEPTH: usize = 3;

/// Most files of one folder tree. A hundred times what is promised to start within a second; a wrong `--models /` ends here.
pub const MAX_FILES: usize = 1_000_000;

/// A file, and what tells its content from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the models folder, with `/` between its parts.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Changes when a file is replaced by a rename.
    pub inode: u64,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Walk {
    /// In order of path.
    pub files: Vec<File>,
    /// One sentence each.
    pub warnings: Vec<String>,
    /// Folders that could not be read.
    pub unreadable: Vec<String>,
}

/// Looks for models in `root`.
pub fn scan(root: &Path) -> io::Result<Scan> {
    let Walk {
        files,
        mut warnings,
        unreadable,
    } = walk(root)?;
    let (models, found) = layout(&files);
    warnings.extend(found);
    Ok(Scan {
        models,
        warnings,
        unreadable,
    })
}

/// Lists what is in `root`, as deep as models may lie. Fails only when `root` itself cannot be read.
pub fn walk(root: &Path) -> io::Result<Walk> {
    let root = root.canonicalize()?;
    let mut walk = Walk::default();
    // Breadth does not matter, order is restored below: a stack keeps the memory small.
    let mut folders = vec![(root.clone(), String::new(), 1)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(err) if depth == 1 => return Err(err),
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => {
                walk.unreadable(prefix.trim_end_matches('/'), &err);
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(err) if depth == 1 => return Err(err),
                Err(err) => {
                    walk.unreadable(prefix.trim_end_matches('/'), &err);
                    break;
                }
            };
            let Ok(name) = entry.file_name().into_string() else {
                walk.warnings.push(format!(
                    "{prefix}{}: the name is not UTF-8, ignored",
                    entry.file_name().display()
                ));
                continue;
            };
            if is_ignored(&name) {
                continue;
            }
            let path = format!("{prefix}{name}");
            match inspect(&root, &entry.path()) {
                Ok(Some(meta)) if meta.is_dir() && depth < MAX_DEPTH => {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                }
                Ok(Some(meta)) if meta.is_file() => walk.files.push(file(path, &meta)),
                // Deeper folders, sockets, devices; or it went away since it was listed.
                Ok(_) => {}
                Err(Refused::Outside(to)) => walk.warnings.push(format!(
                    "{path}: the link leads out of the models folder, to {}; ignored",
                    to.display()
                )),
                Err(Refused::Io(err)) => walk.unreadable(&path, &err),
            }
            if walk.files.len() > MAX_FILES {
                return Err(io::Error::other(format!(
                    "more than {MAX_FILES} files; is this a folder of models?"
                )));
            }
        }
    }
    walk.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    walk.warnings.sort_unstable();
    walk.unreadable.sort_unstable();
    Ok(walk)
}

impl Walk {
    fn unreadable(&mut self, path: &str, err: &io::Error) {
        self.warnings.push(format!("{path}: cannot be read: {err}"));
        self.unreadable.push(path.to_owned());
    }
}

enum Refused {
    Outside(PathBuf),
    Io(io::Error),
}

/// Metadata of the file itself where `path` is a link that stays inside `root`; `None` when nothing is there any more.
fn inspect(root: &Path, path: &Path) -> Result<Option<Metadata>, Refused> {
    let look = || -> io::Result<(Metadata, Option<PathBuf>)> {
        let meta = path.symlink_metadata()?;
        if !meta.is_symlink() {
            return Ok((meta, None));
        }
        Ok((path.metadata()?, Some(path.canonicalize()?)))
    };
    match look() {
        Ok((_, Some(target))) if !target.starts_with(root) => Err(Refused::Outside(target)),
        Ok((meta, _)) => Ok(Some(meta)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(Refused::Io(err)),
    }
}

fn file(path: String, meta: &Metadata) -> File {
    let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    File {
        path,
        size: meta.len(),
        modified_ns,
        inode: meta.ino(),
    }
}
