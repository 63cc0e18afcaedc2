//! The ONNX runtime from outside: real models, both services, sockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

// The binary's allocator: what is shown here about memory holds there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod answers;
mod checks;
mod engines;
mod gate;
mod harness;
mod identity;
mod libraries;
mod lifecycle;
mod limits;
mod loading;
mod memory;
mod onnxruntime;
mod program;
mod wire;
