//! End to end: the built binaries, as processes, with real models and real clients.
//!
//! Needs the binaries beside the tests (`cargo build -p standalone -p router -p adapter -p webhook --bins`); Python packages are
//! installed by `scripts/venv.sh`.

mod architecture;
mod bad_input;
mod bad_models;
mod benches;
mod clients;
mod cluster;
mod command_line;
mod density;
mod docs;
mod eviction;
mod examples;
mod hostile_clients;
mod mesh;
mod peers;
mod plane;
mod policies;
mod request_logs;
mod shutdown;
mod store;
mod support;
mod two_processes;
mod v1;
mod watched_folder;
mod webhook;
