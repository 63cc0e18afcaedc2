//! The rules: one table, one file for each subject.
//!
//! A rule says what it is about; a function beside it looks at the object and pushes findings. Nothing here does I/O
//! or knows the time.

use crate::{
    finding::Severity,
    review::{Kind, Mode},
    snapshot::Part,
};

pub mod cel;
pub(crate) mod defaulting;
pub(crate) mod freshness;
mod gpu;
mod graph;
pub(crate) mod identity;
mod local_model;
mod predictor;
pub(crate) mod ratchet;
mod schema;
pub(crate) mod service;
mod serving_runtime;
pub(crate) mod sink;
mod storage_container;
pub mod suppress;
mod table;
mod trained_model;

pub use table::{RULES, find};

/// One rule of the table.
#[derive(Debug)]
pub struct Rule {
    /// Stable name, as `IS-V09`. `V`: denied by upstream's webhooks; `U`: same, on update; `C`: found by upstream's
    /// controllers, later; `D`: defaulting; `S`: the schema.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What a finding does in compat mode.
    pub compat: Severity,
    /// What a finding does in strict mode.
    pub strict: Severity,
    /// Kinds that the rule is about.
    pub scope: &'static [Kind],
    /// What of the cluster it looks up.
    pub needs: &'static [Part],
    /// The object and its old version decide, in terms that CEL has.
    pub stateless: bool,
    /// It forbids a change, so the stored object cannot have the offence already: ratcheting leaves it alone.
    pub change: bool,
    /// What has to hold, one sentence.
    pub doc: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// True for an object that is fine: an expression for a `ValidatingAdmissionPolicy`. It may use [`cel::VARIABLES`].
    pub cel: Option<&'static str>,
}

impl Rule {
    /// What a finding of this rule does in `mode`.
    pub const fn severity(&self, mode: Mode) -> Severity {
        match mode {
            Mode::Compat => self.compat,
            Mode::Strict => self.strict,
        }
    }
}

/// A rule that both modes deny by, before its texts are filled in.
const DENY: Rule = Rule {
    id: "",
    title: "",
    compat: Severity::Deny,
    strict: Severity::Deny,
    scope: &[],
    needs: &[],
    stateless: false,
    change: false,
    doc: "",
    why: "",
    fix: "",
    cel: None,
};

/// Found later by upstream: a warning in compat mode, a denial in strict mode.
const LATER: Rule = Rule {
    compat: Severity::Warn,
    ..DENY
};

/// A warning in both modes.
const WARN: Rule = Rule {
    compat: Severity::Warn,
    strict: Severity::Warn,
    ..DENY
};

/// Checks that share no state; the order of findings is made later.
pub(crate) fn check(review: sink::Review<'_>, out: &mut sink::Findings<'_>) {
    schema::check(review, out);
    match review.request.kind {
        Kind::InferenceService => service::check(review, out),
        Kind::ServingRuntime | Kind::ClusterServingRuntime => serving_runtime::check(review, out),
        Kind::Predictor => predictor::check(review, out),
        Kind::TrainedModel => trained_model::check(review, out),
        Kind::InferenceGraph => graph::check(review, out),
        Kind::LocalModelCache | Kind::LocalModelNamespaceCache => local_model::check(review, out),
        Kind::ClusterStorageContainer => storage_container::check(review, out),
    }
}
