//! From the command line to the end of the work.

use std::env;

use anyhow::Context as _;
use kit::exit::UsageError;

use crate::{
    args::{Args, Command, ServeArgs},
    client::{infer, models},
    config::Config,
    serve,
};

/// Does what `args` say.
pub fn main(args: Args) -> anyhow::Result<()> {
    let Args { telemetry, command } = args;
    match command.unwrap_or_else(|| Command::Serve(Box::new(ServeArgs::from_environment()))) {
        Command::Serve(args) => {
            let here = env::current_dir().context("look up the working directory")?;
            let config = Config::new(*args, &here).map_err(|err| UsageError(err.into()))?;
            kit::telemetry::init(&telemetry)?;
            kit::threads::runtime(config.threads)?.block_on(serve::run(config))
        }
        Command::Models(args) => client(models::run(args)),
        Command::Infer(args) => client(infer::run(args)),
    }
}

/// One thread is plenty for one question.
fn client(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    kit::threads::runtime(Some(1))?.block_on(work)
}
