//! Compares the warm path of `stowage-router` with haproxy and nginx; `make bench` builds and runs it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use clap::Parser;
use e2e::{
    bench::{
        load,
        report::{Memory, Report, Run, Section, Series},
        servers::{LOAD_CORE, PROXY_CORE, Servers, WAYS, Way},
        verify::Checker,
        workload::{ALL, Workload},
    },
    client::frame,
};
use tempfile::TempDir;

/// Measures one backend directly, through stowage-router, haproxy and nginx, and prints a table
#[derive(Parser)]
struct Args {
    /// Interleaved runs of each way; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// Divides the number of calls: 100 shows within seconds whether everything works
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    divide: u32,

    /// Only these ways, by a part of their name; "direct" always runs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Only workloads with this in their name, like "50 B"
    #[arg(long, default_value = "")]
    workload: String,

    /// Where the numbers of every run go
    #[arg(long, default_value = "target/bench/proxy.json")]
    json: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-cp", &LOAD_CORE.to_string(), &pid])
        .output();
    pinned.context("run taskset")?;

    let wanted = |way: &&Way| {
        way.proxy.is_none() || args.only.is_empty() || args.only.iter().any(|part| way.name.contains(part))
    };
    let ways: Vec<&Way> = WAYS.iter().filter(wanted).collect();
    let mut proxies: Vec<&str> = ways.iter().filter_map(|way| way.proxy).collect();
    proxies.dedup();
    let servers = Servers::start(&proxies).await?;

    let report = measure(&args, &ways, &servers).await?;
    io::stdout().write_all(report.markdown().as_bytes())?;
    if let Some(folder) = args.json.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&args.json, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("write {}", args.json.display()))?;
    eprintln!("\nevery run: {}", args.json.display());
    anyhow::ensure!(report.failed() == 0, "{} calls failed", report.failed());
    Ok(())
}

async fn measure(args: &Args, ways: &[&Way], servers: &Servers) -> anyhow::Result<Report> {
    let folder = TempDir::new()?;
    let mut report = Report::default();
    for server in servers.all() {
        report.memory.push(Memory {
            server: server.name,
            small_bytes: 0,
            large_bytes: 0,
        });
    }
    for workload in ALL
        .iter()
        .filter(|workload| workload.name.contains(&args.workload))
    {
        let workload = workload.divided_by(args.divide);
        let body = folder.path().join("frame.bin");
        fs::write(&body, frame(&workload.message(b'x')))?;
        let mut series: Vec<Series> = ways
            .iter()
            .map(|way| Series {
                way: way.name,
                runs: Vec::new(),
            })
            .collect();
        for number in 1..=args.runs {
            for (way, series) in ways.iter().zip(&mut series) {
                let run = run(way, servers, &workload, &body)
                    .await
                    .with_context(|| format!("{}: {}, run {number}", workload.name, way.name))?;
                eprintln!(
                    "{}: {}, run {number}: {:.0} calls/s",
                    workload.name, way.name, run.load.rate
                );
                series.runs.push(run);
            }
        }
        report.sections.push(Section { workload, series });
        for (memory, server) in report.memory.iter_mut().zip(servers.all()) {
            let bytes = server.resident_bytes()?;
            if workload.bytes < 1000 {
                memory.small_bytes = bytes;
            } else {
                memory.large_bytes = bytes;
            }
        }
    }
    Ok(report)
}

async fn run(way: &Way, servers: &Servers, workload: &Workload, body: &Path) -> anyhow::Result<Run> {
    let server = servers.of(way)?;
    let header = way.metadata.map(|(name, value)| format!("{name}: {value}"));
    let core = if way.proxy.is_some() {
        LOAD_CORE
    } else {
        PROXY_CORE
    };
    let mut client = Checker::new(server.addr, *workload, way.metadata).await?;
    client.check().await?;
    let before = server.cpu_seconds()?;
    let load = load::run(workload, server.addr, body, header.as_deref(), core);
    let (load, checked) = if workload.streams > 1 {
        client.beside(load).await?
    } else {
        // A second stream would be measured as latency of the first.
        let load = load.await?;
        client.check().await?;
        (load, 2)
    };
    let cpu = server.cpu_seconds()? - before;
    let calls = if workload.streams > 1 {
        u64::from(workload.calls) + checked
    } else {
        workload.calls.into()
    };
    Ok(Run {
        load,
        cpu_us: cpu * 1e6 / calls as f64,
        checked,
    })
}
