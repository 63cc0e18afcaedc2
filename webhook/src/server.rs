//! The admission server: `AdmissionReview` in, `AdmissionReview` out, over HTTPS.
//!
//! ```text
//! listen (TLS, connections) ─► http (paths, limits, deadline) ─► answer (rules, pure) ─► wire
//! ```
//!
//! A review reads one snapshot and asks nobody. Whatever comes in is answered: what is no review gets 400, what cannot be
//! taken now 429, a rule that panics denies its one review.

pub mod answer;
mod http;
mod limits;
pub mod listen;
pub mod metrics;
pub mod paths;
mod text;
pub mod wire;

pub use http::{App, router};
pub use limits::Limits;
