//! `simulate`: a fleet of routers in one thread, with everything that goes wrong. See `--help`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use router::sim::{Fault, Report, SAMPLE_MS, Scenario, policy, run, run_until_faults_end, shrink};

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
    /// Rules of eviction beside each other and beside what is best in hindsight: prints a table.
    Policies {
        /// Where numbers for plots go.
        #[arg(long, default_value = "target/bench")]
        to: PathBuf,
    },
    /// One fleet in which a router dies and one leaves: the load of each router over time.
    Load {
        /// Where numbers for plots go.
        #[arg(long, default_value = "target/bench")]
        to: PathBuf,
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
        Command::Policies { to } => policies(&to),
        Command::Load { to } => load(&to),
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

fn policies(to: &Path) -> anyhow::Result<()> {
    let rows = policy::compare_all();
    write!(io::stdout(), "{}", policy::markdown(&rows))?;
    save(&to.join("simulation-hits.json"), &policy::lines(&rows))
}

fn load(to: &Path) -> anyhow::Result<()> {
    let scenario = Scenario {
        routers: 6,
        models: 60,
        requests: 60_000,
        duration: 300_000,
        capacity: 150,
        faults: vec![
            Fault::Crash {
                router: 1,
                at: 100_000,
                back: 150_000,
            },
            Fault::Leave {
                router: 4,
                at: 200_000,
                back: 260_000,
            },
        ],
        ..Scenario::of_seed(1)
    };
    let report = run(&scenario)?;
    let series = (0..scenario.routers).map(|router| {
        let of = |row: &Vec<u32>| row.get(router as usize).copied().unwrap_or(0);
        let seconds = SAMPLE_MS as f64 / 1e3;
        let points = (1_u32..).zip(&report.load);
        let points = points
            .map(|(at, row)| serde_json::json!([f64::from(at) * seconds, f64::from(of(row)) / seconds]));
        serde_json::json!({"name": format!("router {router}"), "points": points.collect::<Vec<_>>()})
    });
    let chart = serde_json::json!({
        "name": "router 1 dies at 100 s and is back at 150 s; router 4 leaves at 200 s and is back at 260 s",
        "x": "time, s",
        "y": "requests served in a second",
        "series": series.collect::<Vec<_>>(),
    });
    writeln!(
        io::stdout(),
        "{} of {} requests served, {} refused, {} unanswered",
        report.served,
        report.requests,
        report.refused,
        report.unanswered
    )?;
    save(
        &to.join("simulation-load.json"),
        &serde_json::json!({"lines": [chart]}),
    )
}

fn save(path: &Path, numbers: &serde_json::Value) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    std::fs::write(path, numbers.to_string()).with_context(|| format!("write {}", path.display()))
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
