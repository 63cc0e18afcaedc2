//! Which instances may load a type of model: `MM_TYPE_CONSTRAINTS`.
//!
//! ```json
//! {"onnx": {"required": ["gpu"], "preferred": ["fast"]}, "_default": {"required": ["cpu"]}}
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Instance;

/// The entry for types that have none of their own.
const DEFAULT: &str = "_default";

/// Labels for one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    /// An instance needs all of them.
    pub(super) required: Vec<Box<str>>,
    /// An instance with any of them comes first.
    pub(super) preferred: Vec<Box<str>>,
}

impl Rule {
    pub(super) fn allows(&self, instance: &Instance) -> bool {
        self.required.iter().all(|label| instance.has_label(label))
    }

    pub(super) fn prefers(&self, instance: &Instance) -> bool {
        self.preferred.iter().any(|label| instance.has_label(label))
    }
}

/// Rules for all types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    pub(super) rules: BTreeMap<Box<str>, Rule>,
    pub(super) default: Rule,
}

/// The text is no set of constraints.
#[derive(Debug, thiserror::Error)]
#[error("type constraints are a JSON object of type -> {{\"required\": [labels], \"preferred\": [labels]}}")]
pub struct ConstraintsError(#[source] serde_json::Error);

impl Constraints {
    /// Reads them from JSON. Empty text means none.
    pub fn parse(json: &str) -> Result<Self, ConstraintsError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut rules: BTreeMap<Box<str>, Rule> = serde_json::from_str(json).map_err(ConstraintsError)?;
        let default = rules.remove(DEFAULT).unwrap_or_default();
        Ok(Self { rules, default })
    }

    /// The labels that an instance needs to load this type, for messages.
    pub fn required(&self, kind: &str) -> &[Box<str>] {
        &self.rule(kind).required
    }

    fn rule(&self, kind: &str) -> &Rule {
        self.rules.get(kind).unwrap_or(&self.default)
    }
}
