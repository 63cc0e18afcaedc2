//! The admission server: `AdmissionReview` in, `AdmissionReview` out, over HTTPS.
//!
//! ```text
//! listen (TLS, connections) ─► http (paths, limits, deadline) ─► answer (rules, pure) ─► wire
//! ```
//!
//! A review reads one snapshot and asks nobody. Whatever comes in is answered: what is no review gets 400, what cannot be
//! taken now 429, a rule that panics denies its one review.

pub mod answer;
#[cfg(feature = "serve")]
mod http;
#[cfg(feature = "serve")]
mod limits;
#[cfg(feature = "serve")]
pub mod listen;
#[cfg(feature = "serve")]
pub mod metrics;
pub mod paths;
mod text;
pub mod wire;

#[cfg(feature = "serve")]
pub use self::{
    http::{App, router},
    limits::Limits,
};
