//! Measures one `stowage serve` with very many models; `make bench` builds and runs it.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use e2e::bench::{density::steps::Plan, servers::LOAD_CORE};

/// Fewest models with which it makes sense: half of them have to exceed the least memory that the server accepts.
const FEWEST: u32 = 800;

/// Measures memory, loads and latencies of one `stowage serve` with very many models, and prints tables
#[derive(Parser)]
struct Args {
    /// Models in the folder
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    models: u32,

    /// Percent of the models that fit into memory in the second half
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=99))]
    fit: u8,

    /// Calls at once
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=8_000))]
    streams: u32,

    /// Divides models and times: 25 shows within a minute whether everything works
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    divide: u32,

    /// Where all numbers go
    #[arg(long, default_value = "target/bench/density.json")]
    json: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let program = std::env::current_exe()?.with_file_name("stowage");
    anyhow::ensure!(
        program.is_file(),
        "{} is not built; `scripts/bench.sh density` builds it",
        program.display()
    );
    let models = (args.models / args.divide).max(FEWEST) as usize;
    let plan = Plan {
        program,
        // Before this process is pinned to one of them.
        cores: std::thread::available_parallelism()?.get(),
        models,
        first: models / 10,
        fit: models * usize::from(args.fit) / 100,
        streams: args.streams as usize,
        saturate: Duration::from_secs(10) / args.divide,
        open: Duration::from_secs(30) / args.divide,
    };
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-cp", &LOAD_CORE.to_string(), &pid])
        .output();
    pinned.context("run taskset; scripts/apt.sh util-linux installs it")?;
    let report = plan.measure().await?;
    io::stdout().write_all(report.markdown().as_bytes())?;
    if let Some(folder) = args.json.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&args.json, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("write {}", args.json.display()))?;
    eprintln!("\nall numbers: {}", args.json.display());
    Ok(())
}
