//! The server's certificate: where it comes from, and how it is replaced while connections stay.
//!
//! ```text
//! mounted   folder ──── notify ───► Current ◄─── handshakes
//! managed   Secret ──── watch ────► Current
//!           keeper (leader): Secret ─► CA bundle in the webhook configurations ─► arming
//! ```
//!
//! A pair that does not parse, or whose key is another's, is refused: the one before stays.

pub mod configurations;
mod current;
pub mod issue;
pub mod keeper;
pub mod lease;
pub mod mounted;
pub mod plan;
mod probe;
pub mod secret;

pub use current::{Current, PART, PairError};
