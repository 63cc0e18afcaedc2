//! `simulate`: a fleet of routers in one thread, with everything that goes wrong. See `--help`.

use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use router::sim::{Report, Scenario, run, run_until_faults_end, shrink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs fleets of routers in virtual time and checks what must hold.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Many small fleets with faults; stops at the first violation and prints the smallest scenario that has it.
    Seeds {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        count: u64,
        /// The first of them.
        #[arg(long, default_value_t = 0)]
        first: u64,
    },
    /// One large fleet: what it takes in memory and time.
    Large {
        /// Routers.
        #[arg(long, default_value_t = 1_000)]
        routers: u32,
        /// Registered models.
        #[arg(long, default_value_t = 1_000_000)]
        models: u32,
        /// Requests of clients.
        #[arg(long, default_value_t = 200_000)]
        requests: u32,
        /// The seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Seeds { count, first } => seeds(first, count),
        Command::Large {
            routers,
            models,
            requests,
            seed,
        } => large(&Scenario::large(routers, models, requests, seed)),
    }
}

fn seeds(first: u64, count: u64) -> anyhow::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(first);
    let violation = std::thread::scope(|scope| {
        let check = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return None;
                }
                if let Err(violation) = run(&Scenario::of_seed(seed)) {
                    next.store(first + count, Ordering::Relaxed);
                    return Some(shrink(violation));
                }
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(check)).collect();
        running
            .into_iter()
            .find_map(|thread| thread.join().ok().flatten())
    });
    match violation {
        Some(violation) => Err(violation.into()),
        None => writeln!(io::stdout(), "{count} seeds from {first}: everything held").context("print"),
    }
}

fn large(scenario: &Scenario) -> anyhow::Result<()> {
    let began = Instant::now();
    let report = run_until_faults_end(scenario)?;
    let took = began.elapsed();
    let Report {
        events,
        requests,
        served,
        hops,
        loads,
        writes,
        conflicts,
        decisions,
        deciding,
        ..
    } = &report;
    let per = |total: f64, count: u64| total / count.max(1) as f64;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} routers, {} models, {} s",
        scenario.routers,
        scenario.models,
        scenario.duration / 1_000
    )?;
    writeln!(out, "requests   {requests}, {served} served, {hops} hops")?;
    writeln!(out, "loads      {loads}")?;
    writeln!(out, "store      {writes} writes, {conflicts} conflicts")?;
    writeln!(
        out,
        "events     {events}, {:.2} us each",
        per(took.as_secs_f64() * 1e6, *events)
    )?;
    writeln!(
        out,
        "decisions  {decisions}, {:.2} us each",
        per(deciding.as_secs_f64() * 1e6, *decisions)
    )?;
    let peak = peak_bytes()?;
    writeln!(
        out,
        "memory     {:.0} MB, {:.0} bytes for each model",
        peak as f64 / 1e6,
        per(peak as f64, scenario.models.into())
    )?;
    Ok(())
}

/// The most memory that this process had resident.
fn peak_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("find VmHWM")?;
    let kilobytes: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .context("parse VmHWM")?;
    Ok(kilobytes * 1_024)
}
