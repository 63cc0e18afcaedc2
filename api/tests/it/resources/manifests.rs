//! The manifests that tests read: our own, and the corpus of published ones where it is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A document of a file.
#[derive(Debug)]
pub(super) struct Manifest {
    /// File and place in it, for messages.
    pub(super) origin: String,
    pub(super) object: Value,
}

impl Manifest {
    pub(super) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }
}

/// Our own manifests.
pub(super) fn own() -> Vec<Manifest> {
    let manifests = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests"));
    assert!(!manifests.is_empty(), "no manifests in api/tests/manifests");
    manifests
}

/// Our own manifests, and those of `STOWAGE_CASES/corpus` or of `../shared/corpus` beside the checkout.
pub(super) fn all() -> Vec<Manifest> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut manifests = own();
    let named = std::env::var_os("STOWAGE_CASES").map(PathBuf::from);
    let corpus = named
        .clone()
        .unwrap_or_else(|| crate_dir.join("../../shared"))
        .join("corpus");
    if corpus.is_dir() {
        manifests.extend(read(&corpus));
    } else {
        assert!(
            named.is_none(),
            "STOWAGE_CASES is set, but {} is no folder",
            corpus.display()
        );
    }
    manifests
}

fn read(folder: &Path) -> Vec<Manifest> {
    let mut paths: Vec<PathBuf> = entries(folder);
    paths.sort();
    paths.iter().flat_map(|path| documents(path)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    listed
        .map(|entry| entry.expect("readable folder").path())
        .flat_map(|path| if path.is_dir() { entries(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect()
}

fn documents(path: &Path) -> Vec<Manifest> {
    let text = fs::read_to_string(path).expect("readable file");
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    documents
        .into_iter()
        .filter(|object| !object.is_null())
        .enumerate()
        .map(|(index, object)| Manifest {
            origin: format!("{}#{index}", path.display()),
            object,
        })
        .collect()
}
