//! Loads models into a model server, or into our own ONNX runtime.
