//! The ONNX runtime from outside: real models, both services, sockets.

mod answers;
mod harness;
