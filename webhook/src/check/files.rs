//! From arguments to files: folders are walked, links followed once.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::yaml::Problem;

/// Larger files are refused: a dump of a big cluster fits, a mistaken argument does not fill the memory.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Deeper folders are refused.
const MOST_DEEP: usize = 64;

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// `-`.
    Stdin,
    File(PathBuf),
}

impl Source {
    /// The name in reports: as the argument was written.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether reading it again gives the same; a pipe is empty then.
    pub(super) fn can_be_read_again(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
        }
    }

    /// Reads the whole text.
    pub(super) fn read(&self) -> Result<String, Problem> {
        let read = |err: io::Error| Problem::of_file(format!("cannot be read: {err}"));
        let mut bytes = Vec::new();
        match self {
            Self::Stdin => io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes),
            Self::File(path) => {
                let file = fs::File::open(path).map_err(read)?;
                if let Ok(length) = file.metadata().map(|metadata| metadata.len()) {
                    bytes.reserve(usize::try_from(length.min(MOST_BYTES)).unwrap_or_default());
                }
                file.take(MOST_BYTES + 1).read_to_end(&mut bytes)
            }
        }
        .map_err(read)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Problem::of_file(format!(
                "has more than {} MiB, which is the most that is read",
                MOST_BYTES >> 20
            )));
        }
        let zero = bytes.iter().position(|byte| *byte == 0);
        let text = String::from_utf8(bytes).map_err(|err| err.utf8_error().valid_up_to());
        match (text, zero) {
            (Ok(text), None) => Ok(text),
            (Ok(_), Some(place)) | (Err(place), _) => Err(Problem::of_file(format!(
                "is no text: byte {place} is not UTF-8 or is zero"
            ))),
        }
    }
}

/// What the arguments lead to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Each once, in the order of the arguments, folders sorted by name.
    pub(super) sources: Vec<Source>,
    /// What could not be opened.
    pub(super) problems: Vec<(String, Problem)>,
    /// Folders without a manifest.
    pub(super) empty: Vec<String>,
}

/// Finds the files. A file that is named is taken whatever its ending is.
pub(super) fn find(arguments: &[PathBuf]) -> Found {
    let mut walk = Walk::default();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            if !walk.found.sources.contains(&Source::Stdin) {
                walk.found.sources.push(Source::Stdin);
            }
            continue;
        }
        match fs::metadata(argument) {
            Err(err) => walk.refuse(argument, err.to_string()),
            Ok(metadata) if metadata.is_dir() => {
                let before = walk.found.sources.len();
                walk.folder(argument, 0);
                if walk.found.sources.len() == before {
                    walk.found.empty.push(argument.display().to_string());
                }
            }
            Ok(_) => walk.file(argument.clone()),
        }
    }
    walk.found
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Folders and files that were seen, without links in their names.
    seen: HashSet<PathBuf>,
}

impl Walk {
    fn refuse(&mut self, path: &Path, message: String) {
        let problem = Problem::of_file(message);
        self.found.problems.push((path.display().to_string(), problem));
    }

    /// Whether it is the first time here: a link back to a folder above ends there.
    fn is_new(&mut self, path: &Path) -> bool {
        // What cannot be resolved is not told apart; opening it says why.
        fs::canonicalize(path).map_or(true, |real| self.seen.insert(real))
    }

    fn file(&mut self, path: PathBuf) {
        if self.is_new(&path) {
            self.found.sources.push(Source::File(path));
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        if !self.is_new(folder) {
            return;
        }
        if depth > MOST_DEEP {
            self.refuse(folder, format!("is more than {MOST_DEEP} folders deep"));
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(err) => return self.refuse(folder, err.to_string()),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        paths.sort();
        for path in paths {
            // `.git` and its like.
            if path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            {
                continue;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path, depth + 1),
                Ok(metadata) if metadata.is_file() && is_manifest(&path) => self.file(path),
                Err(err) if is_manifest(&path) => self.refuse(&path, err.to_string()),
                // Something else, or a dangling link to it.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Whether a folder's file is looked at. Kustomize's and Helm's own files are no objects.
fn is_manifest(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    matches!(ending, "yaml" | "yml" | "json")
        && !matches!(
            name,
            "kustomization.yaml" | "kustomization.yml" | "Chart.yaml" | "values.yaml" | "values.schema.json"
        )
}
