//! The admission webhook in front of a real API server: what people see, certificates that change, servers that die.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod again;
mod audit;
mod authority;
mod certificates;
mod faults;
mod gate;
mod install;
mod kinds;
mod messages;
pub(crate) mod server;
pub(crate) mod site;
mod stale;

use e2e::process::Finished;

/// What kubectl printed and warned; fails when it failed.
#[track_caller]
fn passed(done: &Finished) -> String {
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    format!("{}{}", done.stdout, done.stderr)
}

/// What kubectl complained about; fails when it did not.
#[track_caller]
fn denied(done: &Finished) -> &str {
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    &done.stderr
}
