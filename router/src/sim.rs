//! A fleet in one thread: virtual time, and everything that goes wrong on a bad day, from one seed.
//!
//! The decisions are the real ones ([`crate::core::fleet`]), and so are the copies of each router
//! ([`crate::core::copies`]); the shell around them, the store, the network and the runtimes are models. After every event
//! it is checked what must always hold, and after the faults are over what must hold in the end ([`Violation`]). The same
//! [`Scenario`] always takes the same course, so a violation can be looked at as often as one likes, and [`shrink()`] finds a
//! smaller scenario with the same one.
//!
//! All mirrors of the store are one log of revisions and a number for each router: how much of it that router has seen. So a
//! thousand mirrors of a million models fit into memory.

mod check;
mod life;
mod log;
mod network;
mod node;
pub mod policy;
mod requests;
mod runtime;
mod scenario;
mod shrink;
mod tasks;
mod world;
mod writes;

pub use check::Violation;
pub use scenario::{Fault, Scenario};
pub use shrink::shrink;
pub use world::{Report, SAMPLE_MS, run, run_until_faults_end};

#[cfg(test)]
mod tests;
