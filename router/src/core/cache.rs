//! The model memory of one runtime: who holds how many bytes, and who gives them up first.

pub mod gate;
