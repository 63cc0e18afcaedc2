//! `stowage`: serves models with one command; see `--help`.

use std::process::ExitCode;

use clap::Parser as _;
use standalone::{args::Args, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    kit::exit::finish(run::main(args))
}
