//! The router: a cache of loaded models, and the data plane that brings every call to one of them.
//!
//! ```text
//! listen -> request -> route -> (cache: load on a miss) -> upstream -> respond
//! ```

pub mod args;
pub mod body;
pub mod cache;
pub mod chunks;
pub mod console;
pub mod core;
pub mod edit;
pub mod exchange;
pub mod failure;
pub mod keepalive;
pub mod listen;
pub mod local;
pub mod management;
pub mod map;
pub mod mesh;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod payload;
pub mod peer;
pub mod plane;
pub mod request;
pub mod respond;
pub mod rest;
pub mod rules;
pub mod run;
pub mod runtime;
pub mod server;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod start;
pub mod stop;
pub mod store;
pub mod termination;
pub mod tls;
pub mod upstream;
pub mod wire;
