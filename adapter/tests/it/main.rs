//! The ONNX runtime from outside: real models, both services, sockets.

mod answers;
mod checks;
mod gate;
mod harness;
mod lifecycle;
mod limits;
mod loading;
mod memory;
mod wire;
