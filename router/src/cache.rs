//! The cache of loaded models: drives the pure state machines of [`crate::core`] with a clock and a runtime.
