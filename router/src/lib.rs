//! The router: a cache of loaded models, and the data plane that brings every call to one of them.
//!
//! ```text
//! listen -> request -> route -> (cache: load on a miss) -> upstream -> respond
//! ```

pub mod cache;
pub mod core;
pub mod model;
pub mod rest;
pub mod runtime;
