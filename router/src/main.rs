//! `stowage-router`: see `--help`. As `stop.sh` it ends the router of its pod.

use std::{env, ffi::OsString, process::ExitCode};

use router::{args, run, stop, termination};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    if stop::is_meant(words.first()) {
        return kit::exit::finish(stop::main(words.get(1..).unwrap_or_default()));
    }
    let args = match args::compat::parse() {
        Ok(args) => args,
        Err(err) => {
            if err.use_stderr() {
                termination::write(&err.to_string());
            }
            err.exit()
        }
    };
    let result = run::main(&args);
    if let Err(err) = &result {
        termination::write(&format!("{err:#}"));
    }
    kit::exit::finish(result)
}
