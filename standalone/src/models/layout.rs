//! Which files are which model. Pure: the same files give the same models, whatever their order on disk.
//!
//! ```text
//! m.onnx             m            with m.onnx.data, m.onnx_data, m.data, m.bin or m.weights beside it
//! m/model.onnx       m            with everything beside it; any name will do when it is the only .onnx
//! m/1/model.onnx     m:1
//! m/2/model.onnx     m:2 and m    the highest version serves under the bare name
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{Model, Models, name, walk::File};

const EXTENSION: &str = ".onnx";
const USUAL_FILE: &str = "model.onnx";

/// Models in `files` (sorted by path), and what in them cannot be served.
pub fn layout(files: &[File]) -> (Models, Vec<String>) {
    let mut found = Found::default();
    let tree = Tree::new(files);
    for file in tree.files.values() {
        if let Some(stem) = file.path.strip_suffix(EXTENSION) {
            found.offer(stem, &[], file, || tree.data_of(stem));
        }
    }
    for (folder, content) in &tree.folders {
        found.folder(folder, content);
    }
    (found.models, found.warnings)
}

/// Files by folder, two levels deep.
#[derive(Default)]
struct Tree<'a> {
    files: BTreeMap<&'a str, &'a File>,
    folders: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    fn new(files: &'a [File]) -> Self {
        let mut root = Self::default();
        for file in files {
            let mut at = &mut root;
            let mut rest = file.path.as_str();
            while let Some((folder, inner)) = rest.split_once('/') {
                at = at.folders.entry(folder).or_default();
                rest = inner;
            }
            at.files.insert(rest, file);
        }
        root
    }

    /// External data of `<stem>.onnx` in a folder that holds other models too.
    fn data_of(&self, stem: &str) -> Vec<&'a File> {
        let prefix = format!("{stem}.");
        self.files
            .range(prefix.as_str()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .filter(|(name, _)| {
                let rest = name.get(stem.len()..).unwrap_or_default();
                let of_model = rest.starts_with(".onnx.") || rest.starts_with(".onnx_");
                (of_model || matches!(rest, ".data" | ".bin" | ".weights"))
                    && !name.ends_with(EXTENSION)
                    && !name::is_document(name)
            })
            .map(|(_, file)| *file)
            .collect()
    }

    /// The one model of a folder of its own: `model.onnx`, else the only `.onnx`.
    fn single(&self) -> Single<'a> {
        if let Some(file) = self.files.get(USUAL_FILE) {
            return Single::One(file);
        }
        let all: Vec<_> = self.onnx().collect();
        match all.as_slice() {
            [] => Single::None,
            [(_, file)] => Single::One(file),
            several => Single::Several(several.iter().map(|(name, _)| *name).collect()),
        }
    }

    fn onnx(&self) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.files
            .iter()
            .filter(|(name, _)| name.ends_with(EXTENSION))
            .map(|(name, file)| (*name, *file))
    }

    /// Everything beside the model in a folder of its own may be its data: `onnx` names such files as it likes.
    fn data(&self) -> Vec<&'a File> {
        self.files
            .iter()
            .filter(|(name, _)| !name.ends_with(EXTENSION) && !name::is_document(name))
            .map(|(_, file)| *file)
            .collect()
    }
}

enum Single<'a> {
    None,
    One(&'a File),
    Several(Vec<&'a str>),
}

#[derive(Default)]
struct Found {
    models: Models,
    warnings: Vec<String>,
}

impl Found {
    /// `m/model.onnx`, or versions of it.
    fn folder(&mut self, folder: &str, content: &Tree<'_>) {
        match content.single() {
            Single::One(file) => {
                self.offer(folder, &[], file, || content.data());
                self.shadowed_versions(folder, content);
            }
            Single::Several(names) => self.ambiguous(folder, &names),
            Single::None => self.versions(folder, content),
        }
    }

    fn versions(&mut self, folder: &str, content: &Tree<'_>) {
        let mut versions = BTreeMap::new();
        for (number, inner) in &content.folders {
            match (name::version(number), inner.single()) {
                (Some(version), Single::One(file)) => {
                    versions.insert(version, (file, inner));
                }
                (Some(_), Single::Several(names)) => self.ambiguous(&format!("{folder}/{number}"), &names),
                (None, Single::One(_) | Single::Several(_)) => self.warnings.push(format!(
                    "{folder}/{number}: a version folder is called by a whole number from 1 without leading zeros; \
                     ignored"
                )),
                (_, Single::None) => {}
            }
        }
        // Highest first, so that the bare name goes to it.
        let mut bare: &[&str] = &[""];
        for (version, (file, inner)) in versions.iter().rev() {
            let suffix = format!("{}{version}", name::VERSION_SEPARATOR);
            let mut suffixes = vec![suffix.as_str()];
            suffixes.extend(bare);
            bare = &[];
            self.offer(folder, &suffixes, file, || inner.data());
        }
    }

    fn shadowed_versions(&mut self, folder: &str, content: &Tree<'_>) {
        let version = content.folders.iter().find(|(number, inner)| {
            name::version(number).is_some() && !matches!(inner.single(), Single::None)
        });
        if let Some((number, _)) = version {
            self.warnings.push(format!(
                "{folder}: has a model of its own and version folders such as {folder}/{number}; the versions are ignored"
            ));
        }
    }

    fn ambiguous(&mut self, folder: &str, names: &[&str]) {
        self.warnings.push(format!(
            "{folder}: several models in one folder ({}); call one of them {USUAL_FILE} or give each a folder of its own",
            names.join(", ")
        ));
    }

    /// Takes `file` as the model called `name`, under each of the suffixes (none = the bare name), unless the name is bad
    /// or taken. Files come before folders, so that of two sources always the same one is taken.
    fn offer<'a>(
        &mut self,
        name: &str,
        suffixes: &[&str],
        file: &File,
        data: impl FnOnce() -> Vec<&'a File>,
    ) {
        if let Err(err) = name::check(name) {
            self.warnings.push(format!("{}: {err}; ignored", file.path));
            return;
        }
        // The first suffix is the most precise name: the version, where there is one.
        let precise = format!("{name}{}", suffixes.first().copied().unwrap_or_default());
        let model = model(&precise, file, &data());
        for suffix in if suffixes.is_empty() { &[""] } else { suffixes } {
            match self.models.entry(format!("{name}{suffix}")) {
                Entry::Vacant(free) => {
                    free.insert(model.clone());
                }
                Entry::Occupied(taken) => self.warnings.push(format!(
                    "{}: not served as {}, which is {} already",
                    file.path,
                    taken.key(),
                    taken.get().path
                )),
            }
        }
    }
}

fn model(name: &str, file: &File, data: &[&File]) -> Model {
    let mut hasher = DefaultHasher::new();
    let mut bytes = 0_u64;
    for File {
        path,
        size,
        modified_ns,
        inode,
    } in std::iter::once(file).chain(data.iter().copied())
    {
        (path, size, modified_ns, inode).hash(&mut hasher);
        bytes = bytes.saturating_add(*size);
    }
    Model {
        id: name::content_id(name, hasher.finish()),
        path: file.path.clone(),
        files: data.len().saturating_add(1),
        bytes,
    }
}
