//! What the scenarios share.

pub(crate) mod answers;
pub(crate) mod onnx;
pub(crate) mod pair;
pub(crate) mod rest;
pub(crate) mod stowage;

use std::time::Duration;

/// For anything that should happen soon. Generous: a loaded machine must not fail a test.
pub(crate) const SOON: Duration = Duration::from_mins(1);
