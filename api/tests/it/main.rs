//! What clients, runtimes and model servers that others wrote rely on: names, numbers and bytes.

mod bytes;
mod numbers;
#[cfg(feature = "resources")]
mod resources;
