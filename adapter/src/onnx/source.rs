//! Where a model lies: resolves the path of a load request to one ONNX file, inside the models root if there is one.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// A model file that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The ONNX file, without symlinks.
    pub file: PathBuf,
    /// Bytes of the file itself.
    pub file_bytes: u64,
    /// Bytes of the file and of whatever else in its folder seems to belong to it.
    pub disk_bytes: u64,
}

/// Why a path leads to no model.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No path at all.
    #[error("the model path is empty")]
    Empty,
    /// The path leaves the models root.
    #[error("model path {0:?} is outside of the models folder")]
    Outside(String),
    /// Nothing there, or not accessible.
    #[error("model path {path:?} cannot be read")]
    Read {
        /// The path as it was given.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A folder without an ONNX file.
    #[error("model folder {0:?} holds neither model.onnx nor any other .onnx file")]
    NoModel(String),
    /// A folder with several ONNX files, none of which is `model.onnx`.
    #[error(
        "model folder {path:?} holds {count} .onnx files and none is model.onnx; rename one, or give its path"
    )]
    Ambiguous {
        /// The path as it was given.
        path: String,
        /// How many there are.
        count: usize,
    },
    /// Neither a file nor a folder.
    #[error("model path {0:?} is neither a file nor a folder")]
    NotAFile(String),
}

/// The file that a folder is searched for first.
const MODEL_FILE: &str = "model.onnx";

/// Resolves `path`; with a `root`, relative paths start there and nothing outside of it is reachable.
pub fn resolve(root: Option<&Path>, path: &str) -> Result<Source, SourceError> {
    if path.is_empty() {
        return Err(SourceError::Empty);
    }
    let read = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    let outside = || SourceError::Outside(path.to_owned());
    let given = Path::new(path);
    let (base, root) = match root {
        Some(root) => {
            let canonical = root.canonicalize().map_err(read)?;
            // Judged before the file system is asked, so that an answer never says what exists outside.
            let inside = given.is_relative() || given.starts_with(root) || given.starts_with(&canonical);
            if !inside || given.components().any(|part| part == Component::ParentDir) {
                return Err(outside());
            }
            (root.join(given), Some(canonical))
        }
        None => (given.to_path_buf(), None),
    };
    let confined = |path: &Path| match &root {
        Some(root) if !path.starts_with(root) => Err(outside()),
        _ => Ok(()),
    };
    let base = base.canonicalize().map_err(read)?;
    confined(&base)?;
    let metadata = base.metadata().map_err(read)?;
    if metadata.is_file() {
        return measure(base).map_err(read);
    }
    if !metadata.is_dir() {
        return Err(SourceError::NotAFile(path.to_owned()));
    }
    let file = find(&base, path)?.canonicalize().map_err(read)?;
    confined(&file)?;
    if !file.is_file() {
        return Err(SourceError::NotAFile(path.to_owned()));
    }
    measure(file).map_err(read)
}

fn find(folder: &Path, given: &str) -> Result<PathBuf, SourceError> {
    let preferred = folder.join(MODEL_FILE);
    if preferred.exists() {
        return Ok(preferred);
    }
    let read = |source| SourceError::Read {
        path: given.to_owned(),
        source,
    };
    let mut found = None;
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(read)?.take(MAX_ENTRIES) {
        let path = entry.map_err(read)?.path();
        if is_model(&path) {
            count += 1;
            found = Some(path);
        }
    }
    match found {
        Some(path) if count == 1 => Ok(path),
        Some(_) => Err(SourceError::Ambiguous {
            path: given.to_owned(),
            count,
        }),
        None => Err(SourceError::NoModel(given.to_owned())),
    }
}

fn is_model(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("onnx"))
}

/// How the names of data files end that exporters write beside `m.onnx`: `m.onnx.data`, `m.onnx_data`.
const DATA_SUFFIXES: [&str; 2] = [".data", "_data"];

/// Entries of a folder that are looked at; a model folder has a handful.
const MAX_ENTRIES: usize = 10_000;

/// Sizes of a model file. Where it is the only model of its folder, the folder's other files are its weights; where it
/// is one of several, those files that bear its name and say that they are data.
fn measure(file: PathBuf) -> io::Result<Source> {
    let file_bytes = file.metadata()?.len();
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem().and_then(OsStr::to_str)) else {
        return Ok(Source {
            file_bytes,
            disk_bytes: file_bytes,
            file,
        });
    };
    let mut models = 0_usize;
    let (mut all, mut named) = (0_u64, 0_u64);
    for entry in fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_model(Path::new(name)) {
            models += 1;
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            all = all.saturating_add(metadata.len());
            if name.starts_with(stem) && DATA_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                named = named.saturating_add(metadata.len());
            }
        }
    }
    let beside = if models == 1 { all } else { named };
    Ok(Source {
        file_bytes,
        disk_bytes: file_bytes.saturating_add(beside),
        file,
    })
}
