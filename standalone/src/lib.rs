//! Router, adapter and ONNX runtime in one process.
//!
//! ```text
//! run -> config -> serve: router (gRPC, REST) -> ONNX runtime, by function calls
//!                         models folder -> watch -> registry (vmodels of the router's mesh)
//!               -> client: models, infer: ask a running server
//! ```
//!
//! What a models folder means is decided in [`models`], without I/O but for one walk; [`watch`] keeps to it.

pub mod address;
pub mod args;
pub mod banner;
pub mod client;
pub mod config;
pub mod loads;
pub mod memory;
pub mod models;
pub mod names;
pub mod registry;
pub mod run;
pub mod runtime;
pub mod serve;
pub mod watch;
