//! Compares `stowage-router`'s REST port with a Go proxy, `MLServer` and gRPC; `scripts/bench.sh rest` builds and runs it.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use e2e::bench::{
    rest::{
        call::Call,
        load,
        report::{self, Detail, Run},
        servers::{Servers, chosen, load_core},
        tensor::{ALL, Tensor, Workload},
        verify::Checker,
        way::Way,
    },
    servers::LOAD_CORE,
    sheet::{Section, Sheet, machine},
};
use tempfile::TempDir;

/// Time of one run before it is divided.
const TIME: Duration = Duration::from_secs(2);
/// No run is shorter: h2load measures in steps of milliseconds.
const SHORTEST: Duration = Duration::from_millis(100);

/// Measures inference over HTTP through stowage-router, a Go proxy and MLServer beside gRPC, and prints tables
#[derive(Parser)]
struct Args {
    /// Interleaved runs of each way; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// Divides the time of a run: 20 shows within seconds whether everything works
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    divide: u32,

    /// Only these ways, by a part of their name; "direct" always runs
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,

    /// Only workloads with this in their name, like "4 kB"
    #[arg(long, default_value = "")]
    workload: String,

    /// Where the numbers of every run go
    #[arg(long, default_value = "target/bench/rest.json")]
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

    let ways = chosen(&args.only);
    let servers = Servers::start(&ways).await?;
    let sheet = measure(&args, &ways, &servers).await?;
    io::stdout().write_all(report::markdown(&sheet).as_bytes())?;
    sheet.write(&args.json)?;
    eprintln!("\nevery run: {}", args.json.display());
    let failed = report::failed(&sheet);
    anyhow::ensure!(failed == 0, "{failed} calls failed");
    Ok(())
}

async fn measure(args: &Args, ways: &[Way], servers: &Servers) -> anyhow::Result<Sheet<Detail>> {
    let time = (TIME / args.divide).max(SHORTEST);
    let folder = TempDir::new()?;
    let mut sections = Vec::new();
    for workload in ALL
        .iter()
        .filter(|workload| workload.name.contains(&args.workload))
    {
        let tensor = Tensor::new(workload.kind, u32::MAX);
        let mut calls = Vec::new();
        for (number, way) in ways.iter().enumerate() {
            let call = Call::new(way, &tensor)?;
            let body = folder.path().join(number.to_string());
            fs::write(&body, &call.body)?;
            calls.push((call, body));
        }
        let mut runs = vec![Vec::new(); ways.len()];
        for number in 1..=args.runs {
            for ((way, (call, body)), runs) in ways.iter().zip(&calls).zip(&mut runs) {
                let run = Measurement {
                    way,
                    servers,
                    workload,
                    call,
                    body,
                    time,
                };
                let run = run
                    .run()
                    .await
                    .with_context(|| format!("{}: {}, run {number}", workload.name, way.name))?;
                eprintln!(
                    "{}: {}, run {number}: {:.0} calls/s, {:.1} us of CPU each",
                    workload.name, way.name, run.load.rate, run.cpu_us
                );
                runs.push(run);
            }
        }
        let series = ways.iter().zip(calls).zip(runs);
        sections.push(Section {
            name: workload.name.to_owned(),
            unit: "calls/s",
            series: series
                .map(|((way, (call, _)), runs)| report::series(*way, call.body.len(), runs))
                .collect(),
        });
    }
    Ok(Sheet {
        machine: machine(),
        sections,
    })
}

/// One run to be made.
struct Measurement<'a> {
    way: &'a Way,
    servers: &'a Servers,
    workload: &'a Workload,
    call: &'a Call,
    body: &'a std::path::Path,
    time: Duration,
}

impl Measurement<'_> {
    async fn run(self) -> anyhow::Result<Run> {
        let (server, addr) = self.servers.of(self.way)?;
        let mut checker = Checker::new(addr, *self.way, *self.workload).await?;
        checker.check().await?;
        let (cpu, started) = (server.cpu_seconds()?, Instant::now());
        let load = load::run(
            self.call,
            self.body,
            self.way.protocol,
            addr,
            self.workload.at_once,
            self.time,
            load_core(self.way),
        );
        let (load, checked) = if self.workload.at_once > 1 {
            checker.beside(load).await?
        } else {
            // A second call would be measured as latency of the first.
            (load.await?, 0)
        };
        let cpu = server.cpu_seconds()? - cpu;
        let busy = cpu / started.elapsed().as_secs_f64();
        checker.check().await?;
        Ok(Run {
            load,
            cpu_us: cpu * 1e6 / (load.calls + u64::from(checked)) as f64,
            busy,
            checked: checked + 2,
        })
    }
}
