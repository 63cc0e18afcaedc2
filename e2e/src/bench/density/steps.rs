//! The measurement, step by step.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use tempfile::TempDir;

use super::{
    calls::split,
    load::Caller,
    models,
    report::{Loads, Open, Page, Report, Saturation, Start},
    schedule::{Random, Zipf, arrivals},
    server::Server,
};

/// Memory for models where all of them fit.
const ROOM: u64 = 8 << 30;
/// Least memory for models that the server accepts: ten times the size of a model about which nothing is known.
const LEAST_ROOM: u64 = 10_000_000;
/// Loads that are asked for at once.
const LOADERS: usize = 16;
/// Part of the rate of loads that misses may ask for: what is left of two cores beside the calls loads no more.
const LOAD_SHARE: f64 = 0.15;
/// Part of the saturation at which latencies are measured.
const HALF: f64 = 0.5;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `stowage` binary.
    pub program: PathBuf,
    /// Processors that it may use.
    pub cores: usize,
    /// Models in the folder.
    pub models: usize,
    /// Models that are loaded first, to see what few cost.
    pub first: usize,
    /// Models for which there is memory in the second half of the measurement.
    pub fit: usize,
    /// Calls at once.
    pub streams: usize,
    /// Length of the closed loop.
    pub saturate: Duration,
    /// Length of each open loop.
    pub open: Duration,
}

/// One open loop.
struct Mix<'a> {
    name: &'static str,
    fit: usize,
    rate: f64,
    exponent: f64,
    order: &'a [usize],
    /// Models that are asked for in turn beside it, for as long as it takes.
    storm: &'a [usize],
}

impl Plan {
    /// Does all of it; says on standard error how far it is.
    pub async fn measure(&self) -> anyhow::Result<Report> {
        let folder = TempDir::new()?;
        let mut report = Report {
            models: self.models,
            cores: self.cores,
            ..Report::default()
        };
        let empty = TempDir::new()?;
        let (_, start) = self.start(empty.path(), 0, ROOM).await?;
        report.starts.push(start);
        report.model_bytes = models::write(folder.path(), self.models)?;
        eprintln!("wrote {} models of {} bytes", self.models, report.model_bytes);

        // The most popular models are anywhere in the folder.
        let order = Random::new(1).shuffled(self.models);
        let counted = self.all_fit(folder.path(), &order, &mut report).await?;
        self.some_fit(folder.path(), &order, counted, &mut report).await?;
        Ok(report)
    }

    /// Memory for everything: what models cost, and hits alone. Returns the bytes that the server counts for a model.
    async fn all_fit(&self, folder: &Path, order: &[usize], report: &mut Report) -> anyhow::Result<u64> {
        let (server, start) = self.start(folder, self.models, ROOM).await?;
        let before = report.starts.first().map_or(0, |start| start.resident_bytes);
        report.bytes_per_registered =
            (start.resident_bytes as f64 - before as f64) / self.models.max(1) as f64;
        report.starts.push(start);

        let caller = Caller::connect(server.grpc, self.models).await?;
        let (first, rest) = order.split_at(self.first.min(order.len()));
        for step in [first, rest] {
            let loads = load(&server, &caller, step).await?;
            report.loads.push(loads);
        }
        let counted = server.metric("modelmesh_instance_used_bytes").await? / self.models.max(1) as u64;

        // Every model's first call is not as quick as the later ones.
        caller.visit(order, LOADERS).await?;
        let saturation = self.saturate(&server, &caller, order).await?;
        let rate = saturation.per_second * HALF;
        report.saturation = Some(saturation);
        let loads_per_second = report.loads.last().map_or(0.0, |loads| loads.per_second);
        let exponent = Zipf::exponent(self.models, self.fit, loads_per_second * LOAD_SHARE / rate);
        let mix = Mix {
            name: "all fit",
            fit: self.models,
            rate,
            exponent,
            order,
            storm: &[],
        };
        let open = self.open_loop(&server, &caller, &mix).await?;
        report.open.push(open);
        Ok(counted)
    }

    /// Memory for some: hits and misses at the same time.
    async fn some_fit(
        &self,
        folder: &Path,
        order: &[usize],
        model_size: u64,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let before = report.open.first().context("nothing was measured before")?;
        let (rate, exponent) = (before.rate, before.exponent);
        let room = (model_size * self.fit as u64).max(LEAST_ROOM);
        let fit = usize::try_from(room / model_size.max(1))?;
        let (server, _) = self.start(folder, self.models, room).await?;
        let caller = Caller::connect(server.grpc, self.models).await?;
        let (hot, cold) = order.split_at(fit.min(order.len()));
        // The most popular last: they have been used last.
        let mut backwards = hot.to_vec();
        backwards.reverse();
        load(&server, &caller, &backwards).await?;
        caller.visit(&backwards, LOADERS).await?;
        for (name, storm) in [
            ("misses among them", &[][..]),
            ("as many loads as it can beside", cold),
        ] {
            let mix = Mix {
                name,
                fit,
                rate,
                exponent,
                order,
                storm,
            };
            let open = self.open_loop(&server, &caller, &mix).await?;
            report.open.push(open);
        }
        Ok(())
    }

    async fn start(&self, folder: &Path, models: usize, room: u64) -> anyhow::Result<(Server, Start)> {
        let server = Server::start(&self.program, self.cores, folder, room).await?;
        let registered = server.metric("modelmesh_models_managed_total").await?;
        anyhow::ensure!(
            registered == models as u64,
            "{registered} of {models} models are registered"
        );
        let resident_bytes = server.memory().await?;
        let page = |(took, bytes): (Duration, usize)| Page {
            ms: took.as_secs_f64() * 1e3,
            bytes,
        };
        let start = Start {
            models,
            seconds: server.start.as_secs_f64(),
            resident_bytes,
            metrics_page: page(server.timed_page("/metrics").await?),
            models_page: page(server.timed_page("/models.json").await?),
        };
        eprintln!(
            "{models} models: started in {:.2} s, {:.1} MB resident",
            start.seconds,
            resident_bytes as f64 / 1e6
        );
        Ok((server, start))
    }

    async fn saturate(
        &self,
        server: &Server,
        caller: &Arc<Caller>,
        order: &[usize],
    ) -> anyhow::Result<Saturation> {
        let zipf = Zipf::new(self.models, 1.0);
        let before = server.cpu_seconds()?;
        let pace = caller
            .closed_loop(&zipf, order, self.streams, self.saturate)
            .await?;
        let cpu = server.cpu_seconds()? - before;
        eprintln!("saturation: {:.0} calls/s", pace.rate());
        Ok(Saturation {
            streams: self.streams,
            per_second: pace.rate(),
            cpu_us: cpu * 1e6 / pace.calls.max(1) as f64,
        })
    }

    async fn open_loop(&self, server: &Server, caller: &Arc<Caller>, mix: &Mix<'_>) -> anyhow::Result<Open> {
        let Mix {
            name,
            fit,
            rate,
            exponent,
            order,
            storm,
        } = *mix;
        let zipf = Zipf::new(self.models, exponent);
        let calls = arrivals(rate, self.open, &zipf, order, &mut Random::new(2));
        let log = server.log_length();
        let waited = "modelmesh_cache_miss_milliseconds_count";
        let waited_before = server.metric(waited).await?;
        let (begun, epoch) = (Instant::now(), SystemTime::now());
        let answers = caller.open_loop(calls.into(), self.streams, begun);
        let calls = tokio::select! {
            calls = answers => calls?,
            ended = storm_of(caller, storm) => ended?,
        };
        let seconds = begun.elapsed().as_secs_f64();
        let loads = server.serves(log, epoch)?;
        let open = Open {
            name,
            fit,
            rate,
            streams: self.streams,
            seconds,
            exponent,
            loads_per_second: loads.len() as f64 / seconds,
            waited: server.metric(waited).await? - waited_before,
            split: split(&calls, &loads),
            resident_bytes: server.memory().await?,
        };
        eprintln!(
            "{name}: {:.0} calls/s, {:.1} loads/s, p99 of {} hits {:.2} ms, of {} misses {:.2} ms; {} waited",
            calls.len() as f64 / seconds,
            open.loads_per_second,
            open.split.hits.count,
            open.split.hits.p99_ms,
            open.split.misses.count,
            open.split.misses.p99_ms,
            open.waited,
        );
        Ok(open)
    }
}

/// Loads these models by a call to each, and says what they cost.
async fn load(server: &Server, caller: &Arc<Caller>, models: &[usize]) -> anyhow::Result<Loads> {
    let count = models.len().max(1) as f64;
    let (cpu, memory) = (server.cpu_seconds()?, server.memory().await?);
    let pace = caller.visit(models, LOADERS).await?;
    let cpu_ms = (server.cpu_seconds()? - cpu) * 1e3 / count;
    let resident_bytes = server.memory().await?;
    let loaded = server.metric("modelmesh_instance_models_total").await?;
    let counted = server.metric("modelmesh_instance_used_bytes").await?;
    eprintln!(
        "{loaded} models loaded: {:.0} loads/s, {:.1} MB resident",
        pace.rate(),
        resident_bytes as f64 / 1e6
    );
    Ok(Loads {
        models: models.len(),
        loaded,
        seconds: pace.took.as_secs_f64(),
        per_second: pace.rate(),
        cpu_ms,
        resident_bytes,
        bytes_per_model: (resident_bytes as f64 - memory as f64) / count,
        counted_per_model: counted as f64 / loaded.max(1) as f64,
    })
}

/// Asks for these models in turn, without end; an error ends it.
async fn storm_of<T>(caller: &Arc<Caller>, models: &[usize]) -> anyhow::Result<T> {
    if models.is_empty() {
        return std::future::pending().await;
    }
    loop {
        caller.visit(models, LOADERS).await?;
    }
}
