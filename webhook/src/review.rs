//! What is asked: one admission request as plain data, and the options that verdicts depend on.

use serde_json::Value;

/// The kinds that have rules.
pub use api::resources::Kind;

/// The admission verbs that rules know. `CONNECT` never reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The object is new.
    Create,
    /// The object replaces an older version of itself.
    Update,
    /// The object is to go; only caches that are in use object to that.
    Delete,
}

/// Whose verdicts are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// `KServe`'s and ModelMesh Serving's verdicts. What their controllers find out later is a warning.
    #[default]
    Compat,
    /// What their controllers find out later is a denial.
    Strict,
}

/// What verdicts depend on besides the object and the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose verdicts are given.
    pub mode: Mode,
    /// On update, an offence that the stored object has as well, unchanged, is a warning.
    pub ratchet: bool,
    /// Whether objects may carry `stowage.dev/suppress.RULE: reason`.
    pub suppressions: bool,
    /// Reads `scaleTarget` of a memory metric as a percentage too (1 to 100 for both metrics). Off, `KServe` 0.20's
    /// check holds: at most 100 whatever the metric, at least 1.
    pub hpa_target: HpaTarget,
}

/// How `scaleTarget` is checked when an HPA scales on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HpaTarget {
    /// `KServe` 0.20: a target above 100 is a wrong percentage whatever the metric is.
    #[default]
    Kserve020,
    /// `KServe` after 0.20: a percentage from 1 to 100 for both metrics.
    Percentage,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Compat,
            ratchet: true,
            suppressions: true,
            hpa_target: HpaTarget::Kserve020,
        }
    }
}

/// One admission request. Objects are raw JSON: unknown fields survive and paths are exact.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is done to the object.
    pub operation: Operation,
    /// The kind that the request is about; the object has to say the same.
    pub kind: Kind,
    /// Namespace of the request, empty for cluster scope. An object without a namespace is in this one.
    pub namespace: &'a str,
    /// Name of the request, empty when the API server has yet to generate it.
    pub name: &'a str,
    /// The object as it shall be stored; on delete absent or the object that goes.
    pub object: Option<&'a Value>,
    /// The object as it is stored.
    pub old: Option<&'a Value>,
}
