//! `stowage`: serves models with one command.

fn main() {}
