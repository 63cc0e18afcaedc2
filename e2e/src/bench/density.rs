//! Very many models in one `stowage serve`: what each costs, and whether those that are loaded stay quick while others
//! come and go.
//!
//! ```text
//! models ─► server: empty folder | all fit | half fit
//!           server ◄─ load: closed loop (as fast as answers come), open loop (by the clock) ◄─ schedule
//!           log of loads ─► calls: which of them waited for a load ─► report
//! ```
//!
//! The load generator runs in this process on core 0; the server may use every core, so on two cores they share one.

pub mod calls;
pub mod load;
pub mod models;
pub mod report;
pub mod schedule;
pub mod server;
pub mod steps;
