//! Benches of whole programs. [`rest`] is about HTTP and JSON, the rest of this module about gRPC.
//!
//! The warm path, measured: one backend, reached directly, through `stowage-router`, through haproxy and through nginx.
//!
//! Every proxy has one worker thread and a core to itself (core 1); the backend and the load generator share the other
//! (core 0), so what is measured is the proxy. Only for the direct calls the load generator moves to core 1. Runs of the
//! ways are interleaved, so that a noisy machine is noisy for all, and the median of each is shown. CPU time per call
//! of the proxy is measured beside: it hardly depends on what else runs.

pub mod density;
pub mod load;
pub mod report;
pub mod rest;
pub mod servers;
pub mod sheet;
pub mod verify;
pub mod workload;
