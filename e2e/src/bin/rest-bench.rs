//! Compares `stowage-router`'s REST port with a Go proxy, `MLServer` and gRPC; `scripts/bench.sh rest` builds and runs it.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    time::Instant,
};

use anyhow::Context;
use clap::Parser;
use e2e::bench::{
    load::Load,
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

/// What a run should take before it is divided, in seconds: ways differ by a factor of a hundred, so each gets as many
/// calls as it answers in that time.
const TIME: f64 = 2.0;
/// No run has more calls.
const MOST: u32 = 1_000_000;

/// Measures inference over HTTP through stowage-router, a Go proxy and MLServer beside gRPC, and prints tables
#[derive(Parser)]
struct Args {
    /// Interleaved runs of each way; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// Divides the number of calls: 20 shows within seconds whether everything works
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
    let folder = TempDir::new()?;
    let mut sections = Vec::new();
    for workload in ALL
        .iter()
        .filter(|workload| workload.name.contains(&args.workload))
    {
        let tensor = Tensor::new(workload.kind, u32::MAX);
        let mut measurements = Vec::new();
        for (number, way) in ways.iter().enumerate() {
            let call = Call::new(way, &tensor)?;
            let body = folder.path().join(number.to_string());
            fs::write(&body, &call.body)?;
            let measurement = Measurement {
                way: *way,
                servers,
                workload,
                call,
                body,
            };
            let planned = measurement.plan(TIME / f64::from(args.divide));
            let planned = planned
                .await
                .with_context(|| format!("{}: {}", workload.name, way.name))?;
            measurements.push((measurement, planned));
        }
        let mut runs = vec![Vec::new(); ways.len()];
        for number in 1..=args.runs {
            for ((measurement, calls), runs) in measurements.iter().zip(&mut runs) {
                let name = measurement.way.name;
                let run = measurement
                    .run(*calls)
                    .await
                    .with_context(|| format!("{}: {name}, run {number}", workload.name))?;
                eprintln!(
                    "{}: {name}, run {number}: {:.0} calls/s, {:.1} us of CPU each",
                    workload.name, run.load.rate, run.cpu_us
                );
                runs.push(run);
            }
        }
        let series = measurements.iter().zip(runs);
        sections.push(Section {
            name: workload.name.to_owned(),
            unit: "calls/s",
            series: series
                .map(|((measurement, _), runs)| {
                    report::series(measurement.way, measurement.call.body.len(), runs)
                })
                .collect(),
        });
    }
    Ok(Sheet {
        machine: machine(),
        sections,
    })
}

/// A way under a workload.
struct Measurement<'a> {
    way: Way,
    servers: &'a Servers,
    workload: &'a Workload,
    call: Call,
    /// A file with the call's body.
    body: PathBuf,
}

impl Measurement<'_> {
    /// How many calls take so many seconds; some are made to find out, which also warms the server up.
    async fn plan(&self, seconds: f64) -> anyhow::Result<u32> {
        let least = self.workload.at_once;
        let mut probe = least;
        let rate = loop {
            let rate = self.load(probe).await?.rate;
            // A tenth of the time tells enough.
            if f64::from(probe) / rate >= seconds / 10.0 || probe >= MOST {
                break rate;
            }
            probe *= 8;
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast stops at the bounds, which is what is wanted"
        )]
        let calls = (rate * seconds) as u32;
        Ok(calls.clamp(least, MOST))
    }

    async fn load(&self, calls: u32) -> anyhow::Result<Load> {
        let (_, addr) = self.servers.of(&self.way)?;
        let (protocol, at_once) = (self.way.protocol, self.workload.at_once);
        let core = load_core(&self.way);
        load::run(&self.call, &self.body, protocol, addr, at_once, calls, core).await
    }

    async fn run(&self, calls: u32) -> anyhow::Result<Run> {
        let (server, addr) = self.servers.of(&self.way)?;
        let mut client = Checker::new(addr, self.way, *self.workload).await?;
        client.check().await?;
        let (cpu, started) = (server.cpu_seconds_of_all_threads()?, Instant::now());
        let load = self.load(calls);
        let (load, checked) = if self.workload.at_once > 1 {
            client.beside(load).await?
        } else {
            // A second call would be measured as latency of the first.
            (load.await?, 0)
        };
        let cpu = server.cpu_seconds_of_all_threads()? - cpu;
        let busy = cpu / started.elapsed().as_secs_f64();
        client.check().await?;
        Ok(Run {
            load,
            calls,
            cpu_us: cpu * 1e6 / f64::from(calls + checked),
            busy,
            checked: checked + 2,
        })
    }
}
