//! Runs the sub-command that was asked for.

use std::process::ExitCode;

#[cfg(feature = "serve")]
use crate::serve;
use crate::{
    args::{Args, Command},
    check, explain, policies,
};

/// Runs to the end; the exit codes are those of [`kit::exit`].
pub fn main(args: &Args) -> ExitCode {
    match &args.command {
        #[cfg(feature = "serve")]
        Command::Serve(serve) => kit::exit::finish(serve::main(&args.telemetry, serve)),
        Command::Check(args) => check::main(args),
        Command::Policies(args) => kit::exit::finish(policies::main(args)),
        Command::Explain(args) => kit::exit::finish(explain::main(args)),
    }
}
