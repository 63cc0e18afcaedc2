//! The router: a cache of loaded models, and the data plane that brings every call to one of them.
//!
//! ```text
//! listen -> request -> route -> (cache: load on a miss) -> upstream -> respond
//! ```

pub mod cache;
pub mod console;
pub mod core;
pub mod failure;
pub mod metrics;
pub mod model;
pub mod request;
pub mod rules;
pub mod runtime;
pub mod wire;
