//! Admission of InferenceService, ServingRuntime and friends: defaulting, validation and the choice of a runtime, as
//! pure functions of the object, its old version and what is known of the cluster.
//!
//! ```text
//! Request + Snapshot + Options ── default ──► patch and findings
//!                              └─ validate ─► findings
//! ```
//!
//! * Objects are raw JSON everywhere: unknown fields survive, findings have exact paths, and nothing is converted on
//!   the way. Only the schema (types, spellings, ranges) comes from the types in `api`.
//! * [`rules::RULES`] is the one table of what is checked; explanations, documents and generated policies come from it.
//! * No I/O, no clock, no panic: what is wrong with an object is a finding.
//!
//! Around them is the program: with the feature `check` the commands that need no cluster ([`check`], [`explain`] and
//! [`policies`]), with `serve` the server too ([`server`], [`watch`] and [`certs`]).

#[cfg(feature = "check")]
pub mod args;
#[cfg(feature = "serve")]
pub mod certs;
#[cfg(feature = "check")]
pub mod check;
pub mod config;
pub mod defaults;
#[cfg(feature = "check")]
pub mod explain;
pub mod finding;
#[cfg(feature = "serve")]
pub mod health;
mod names;
mod node;
pub mod patch;
#[cfg(feature = "check")]
pub mod policies;
pub mod review;
pub mod rules;
#[cfg(feature = "check")]
pub mod run;
pub mod runtime_defaults;
pub mod schema;
pub mod select;
#[cfg(feature = "serve")]
pub mod serve;
pub mod server;
pub mod snapshot;
mod suggest;
mod validate;
#[cfg(feature = "serve")]
pub mod watch;

pub use defaults::{Defaulted, default};
pub use finding::{FieldPath, Finding, Severity, Step};
pub use patch::PatchOperation;
pub use review::{HpaTarget, Kind, Mode, Operation, Options, Request};
pub use rules::{RULES, Rule};
pub use snapshot::{Freshness, Part, Snapshot};
pub use validate::validate;
