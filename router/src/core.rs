//! What decides, as plain data and time passed in: no runtime, no clock, no sockets.

pub mod cache;
pub mod copies;
pub mod fleet;
pub mod queue;
pub mod registry;
