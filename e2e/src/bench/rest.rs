//! Inference over HTTP, measured: `stowage-router`'s REST port beside a proxy in Go and `MLServer`, and beside gRPC.
//!
//! The router and the Go proxy (`e2e/bench/gateway`) stand before one backend whose outputs are its inputs; `MLServer`
//! has such a model in itself (`e2e/bench/mlserver`). The server that is measured has core 1 to itself and does its
//! work on one thread; backend and load generator share core 0, but for the direct calls, where the load generator
//! moves to core 1. Runs of the ways are interleaved and medians are shown. A server whose core is not in use all the
//! time waited for the other core: then CPU time per call says more than calls per second.

pub mod call;
pub mod load;
pub mod report;
pub mod servers;
pub mod tensor;
pub mod verify;
pub mod way;
