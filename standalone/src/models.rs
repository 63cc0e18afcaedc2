//! Which models a folder holds.
//!
//! [`walk`] reads names and metadata, [`layout`] turns them into models without touching the disk, [`plan`] says what
//! has to be done to get from one set of models to another. No file is ever opened here.

use std::collections::BTreeMap;

pub mod layout;
pub mod name;
pub mod plan;
pub mod walk;

/// Stable names (`m`, `m:<version>`), each with the model that it stands for.
pub type Models = BTreeMap<String, Model>;

/// One model file as it is now: another content is another model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `<name>@<hash>`; the hash is of path and content stamp (size, time of change and inode of all its files).
    pub id: String,
    /// Of the `.onnx` file, relative to the models folder, with `/` between its parts.
    pub path: String,
    /// Files that belong to it: the model itself and its external data.
    pub files: usize,
    /// Bytes of those files together.
    pub bytes: u64,
}

/// What is in the folder, and what in it cannot be served and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Every name that can be asked for.
    pub models: Models,
    /// One sentence each, for people.
    pub warnings: Vec<String>,
    /// Folders that could not be read this time; what they held before is still wanted.
    pub unreadable: Vec<String>,
}

impl Scan {
    /// Keeps what `before` had in folders that cannot be read now: a passing error removes no model.
    pub fn keep_unreadable(&mut self, before: &Models) {
        for (name, model) in before {
            let hidden = self.unreadable.iter().any(|folder| {
                model
                    .path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if hidden && !self.models.contains_key(name) {
                self.models.insert(name.clone(), model.clone());
            }
        }
    }
}

/// Models without their versions: how many a person would say there are.
pub fn count(models: &Models) -> usize {
    models
        .keys()
        .filter(|name| !name.contains(name::VERSION_SEPARATOR))
        .count()
}

#[cfg(test)]
mod tests;
