//! `stowage-webhook`: see `--help`.

use std::process::ExitCode;

use clap::Parser as _;
use webhook::{args::Args, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::main(&Args::parse())
}
