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
    // In no particular order, which is restored below.
    let mut folders = vec![Folder {
        at: root.clone(),
        prefix: String::new(),
        depth: 1,
    }];
    while let Some(folder) = folders.pop() {
        match walk.list(&root, &folder, &mut folders) {
            Ok(()) => {}
            Err(err) if folder.depth == 1 || walk.files.len() > MAX_FILES => return Err(err),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => walk.unreadable(folder.prefix.trim_end_matches('/'), &err),
        }
    }
    walk.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    walk.warnings.sort_unstable();
    walk.unreadable.sort_unstable();
    Ok(walk)
}

/// A folder that is to be listed.
struct Folder {
    at: PathBuf,
    /// Its path relative to the models folder, with a slash at the end; empty for the models folder itself.
    prefix: String,
    depth: usize,
}

impl Walk {
    /// Takes the files of a folder, and adds its folders to those that are to be listed.
    fn list(&mut self, root: &Path, folder: &Folder, folders: &mut Vec<Folder>) -> io::Result<()> {
        for entry in fs::read_dir(&folder.at)? {
            let entry = entry?;
            let path = match entry.file_name().into_string() {
                Ok(name) if is_ignored(&name) => continue,
                Ok(name) => format!("{}{name}", folder.prefix),
                Err(name) => {
                    let shown = format!("{}{}", folder.prefix, name.display());
                    self.warnings
                        .push(format!("{shown}: the name is not UTF-8, ignored"));
                    continue;
                }
            };
            match inspect(root, &entry.path()) {
                Ok(Some(meta)) if meta.is_dir() && folder.depth < MAX_DEPTH => {
                    folders.push(Folder {
                        at: entry.path(),
                        prefix: path + "/",
                        depth: folder.depth + 1,
                    });
                }
                Ok(Some(meta)) if meta.is_file() => self.files.push(file(path, &meta)),
                // Deeper folders, sockets, devices; or it went away since it was listed.
                Ok(_) => {}
                Err(Refused::Outside(to)) => self.warnings.push(format!(
                    "{path}: the link leads out of the models folder, to {}; ignored",
                    to.display()
                )),
                Err(Refused::Io(err)) => self.unreadable(&path, &err),
            }
            if self.files.len() > MAX_FILES {
                return Err(io::Error::other(format!(
                    "more than {MAX_FILES} files; is this a folder of models?"
                )));
            }
        }
        Ok(())
    }

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
