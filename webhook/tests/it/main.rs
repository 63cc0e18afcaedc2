//! Rules, defaulting and selection from outside: own cases of every rule, properties, and upstream's cases and
//! manifests where these are at hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with `json!` in place"
)]

mod bypass;
mod cases;
mod check;
mod corpus;
mod every_rule;
mod flags;
mod objects;
mod properties;
mod selection;
mod shared;
mod shipped;
mod softening;
mod tls;
mod webhook_manifests;
