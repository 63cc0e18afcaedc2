//! Follows a models folder: what changes there is carried out in the registry.
//!
//! ```text
//! inotify, or a slow clock -> scan -> settle (pure) -> operations -> registry
//! ```
//!
//! Every look is a whole scan, so nothing depends on events being complete or in order.

mod events;
pub mod settle;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::Duration,
};

use kit::drain::Drain;
use tokio::{task, time::Instant};
use tonic::Status;
use tracing::{info, warn};

use crate::models::{Model, Models, Scan, count, plan::Operation, walk};
use events::Events;
use settle::Settle;

/// How long a file must look the same before it counts. A writer that pauses longer gives a model that does not load,
/// and another try when it goes on.
const QUIET: Duration = Duration::from_millis(300);

/// Gathers a burst of events into one scan.
const BURST: Duration = Duration::from_millis(20);

/// Scans take at most this part of the time, however busy the folder is: after a scan that took t comes a pause of 9t.
const PAUSE_FACTOR: u32 = 9;

/// The safety net under lost events.
const RESCAN: Duration = Duration::from_mins(1);

/// Between scans when the system gives no events at all.
const RESCAN_WITHOUT_EVENTS: Duration = Duration::from_secs(2);

/// After an event, one more look: a new folder is heard only once it is watched, and files in it may have been earlier.
const ECHO: Duration = Duration::from_secs(1);

/// Until an operation that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Between looks at names that are on their way to another model.
const SWITCH_POLL: Duration = Duration::from_millis(250);

/// Warnings of one scan that are logged; a folder with a thousand bad names needs no thousand lines.
const MAX_WARNINGS: usize = 50;

/// Where the models are served; the router's mesh, but for tests.
pub trait Registry: Send + Sync + 'static {
    /// Makes `name` stand for `model`, once that is loaded if what it stood for before is.
    fn set(&self, name: &str, model: &Model) -> impl Future<Output = Result<Switch, Status>> + Send;
    /// Forgets `name`.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), Status>> + Send;
    /// How far the last [`Registry::set`] of `name` is.
    fn switch(&self, name: &str) -> impl Future<Output = Result<Switch, Status>> + Send;
}

/// How far a name is on its way to another model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is there.
    Done,
    /// The new model is being loaded, the old one serves.
    Loading,
    /// The new model cannot be loaded, the old one serves.
    Failed(String),
}

/// A models folder and what of it is registered.
#[derive(Debug)]
pub struct Watch<R> {
    root: PathBuf,
    registry: R,
    settle: Settle,
    /// Names on their way, with the id of the model they go to.
    switching: BTreeMap<String, String>,
    warned: BTreeSet<String>,
    /// The folder was registered as a whole; from now on every change is news.
    started: bool,
    /// There are no file events, and that was said.
    deaf: bool,
    epoch: Instant,
}

impl<R: Registry> Watch<R> {
    /// Scans `root` and registers what is there.
    pub async fn start(root: PathBuf, registry: R) -> io::Result<Self> {
        let quiet_ms = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let mut watch = Self {
            root,
            registry,
            settle: Settle::new(quiet_ms),
            switching: BTreeMap::new(),
            warned: BTreeSet::new(),
            started: false,
            deaf: false,
            epoch: Instant::now(),
        };
        let scan = watch.scan().await?;
        // Nobody asked for anything yet: there is nothing to protect by waiting for files to be quiet.
        watch.register(&scan.models).await;
        watch.started = true;
        info!(models = count(watch.models()), folder = %watch.root.display(), "models found");
        Ok(watch)
    }

    /// What is registered.
    pub fn models(&self) -> &Models {
        self.settle.models()
    }

    /// What could not be served at the last look.
    pub fn warnings(&self) -> &BTreeSet<String> {
        &self.warned
    }

    /// Follows the folder until `drain` starts.
    pub async fn run(mut self, drain: Drain) {
        let mut events = Events::none();
        // What changed between the first scan and the start of the watch is found at once.
        let mut next_scan = Instant::now();
        loop {
            let mut heard = false;
            let next = if self.switching.is_empty() {
                next_scan
            } else {
                next_scan.min(Instant::now() + SWITCH_POLL)
            };
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep_until(next) => {}
                () = events.wait() => heard = true,
            }
            if heard {
                tokio::time::sleep(BURST).await;
            }
            self.report_switches().await;
            if !heard && Instant::now() < next_scan {
                continue;
            }
            let started = Instant::now();
            events = self.renew(events).await;
            let wake = self.look(&events).await;
            let pause = started.elapsed() * PAUSE_FACTOR;
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let rescan = if events.is_deaf() {
                RESCAN_WITHOUT_EVENTS
            } else {
                RESCAN
            };
            let echo = heard.then_some(started + ECHO);
            next_scan = wake.into_iter().chain(echo).fold(started + rescan, Instant::min);
        }
    }

    /// The same events, or those of the folder that lies where the watched one lay.
    async fn renew(&mut self, events: Events) -> Events {
        let root = self.root.clone();
        let told = std::mem::replace(&mut self.deaf, true);
        let watching = task::spawn_blocking(move || {
            if events.are_of(&root) {
                return events;
            }
            Events::watch(&root).unwrap_or_else(|err| {
                // Once: without events this is tried again at every scan.
                if !told {
                    warn!(error = %err, "no file events, scanning the models folder by the clock");
                }
                Events::none()
            })
        });
        let events = watching.await.unwrap_or_else(|_| Events::none());
        self.deaf = events.is_deaf();
        events
    }

    /// One look at the folder; returns when the next one is due, if something is on its way.
    async fn look(&mut self, events: &Events) -> Option<Instant> {
        let moved = events.take_moved();
        let scan = match self.scan().await {
            Ok(scan) => scan,
            Err(err) => {
                warn!(error = %err, "models folder cannot be read, serving what is known");
                return Some(Instant::now() + RETRY);
            }
        };
        let step = self
            .settle
            .observe(self.now_ms(), &scan.models, |path| moved.covers(path));
        let failed = self.carry_out(step.operations).await;
        let wake = step.wake_ms.map(|ms| self.epoch + Duration::from_millis(ms));
        let retry = failed.then(|| Instant::now() + RETRY);
        wake.into_iter().chain(retry).min()
    }

    async fn scan(&mut self) -> io::Result<Scan> {
        let root = self.root.clone();
        let mut scan = task::spawn_blocking(move || walk::scan(&root))
            .await
            .map_err(io::Error::other)??;
        scan.keep_unreadable(self.settle.models());
        let warnings: BTreeSet<_> = scan.warnings.iter().cloned().collect();
        let new: Vec<_> = warnings.difference(&self.warned).collect();
        for warning in new.iter().take(MAX_WARNINGS) {
            warn!(reason = %warning, "file in the models folder is not served");
        }
        if let Some(more) = new.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            warn!(more, "files in the models folder are not served");
        }
        self.warned = warnings;
        Ok(scan)
    }

    /// Registers everything, of which nothing is known yet. What is refused is tried again at the next look.
    async fn register(&mut self, models: &Models) {
        let mut registered = Vec::with_capacity(models.len());
        for (name, model) in models {
            match self.set(name, model).await {
                Ok(()) => registered.push((name.clone(), model.clone())),
                Err(status) => refused(name, &status),
            }
        }
        // Made of all of them at once, the map has no room between them that is never used.
        self.settle.start_with(registered.into_iter().collect());
    }

    /// Returns whether something failed.
    async fn carry_out(&mut self, operations: Vec<Operation>) -> bool {
        let mut failed = false;
        for operation in operations {
            let done = match &operation {
                Operation::Set { name, model } => self.set(name, model).await,
                Operation::Delete { name } => self.delete(name).await,
            };
            match done {
                Ok(()) => self.settle.applied(operation),
                Err(status) => {
                    failed = true;
                    refused(operation.name(), &status);
                }
            }
        }
        failed
    }

    async fn set(&mut self, name: &str, model: &Model) -> Result<(), Status> {
        let switch = self.registry.set(name, model).await?;
        if switch == Switch::Done {
            self.switching.remove(name);
        } else {
            self.switching.insert(name.to_owned(), model.id.clone());
        }
        // Ten thousand lines at the start would say no more than their number.
        if !self.started {
            return Ok(());
        }
        let Model {
            id,
            path,
            files: _,
            bytes,
        } = model;
        if self.settle.models().contains_key(name) {
            info!(vmodel = name, model = %id, %path, bytes, "model changed");
        } else {
            info!(vmodel = name, model = %id, %path, bytes, "model added");
        }
        Ok(())
    }

    async fn delete(&mut self, name: &str) -> Result<(), Status> {
        self.registry.delete(name).await?;
        self.switching.remove(name);
        info!(vmodel = name, "model removed");
        Ok(())
    }

    async fn report_switches(&mut self) {
        let names: Vec<_> = self.switching.keys().cloned().collect();
        for name in names {
            let switch = self.registry.switch(&name).await;
            let Some(model) = self.switching.get(&name) else {
                continue;
            };
            match switch {
                Ok(Switch::Loading) => continue,
                Ok(Switch::Done) => info!(vmodel = %name, model = %model, "switched to the changed model"),
                Ok(Switch::Failed(reason)) => {
                    warn!(vmodel = %name, model = %model, error = %reason, "changed model cannot be loaded, the one before still serves");
                }
                Err(status) => {
                    warn!(vmodel = %name, error = %status.message(), "state of a changed model is unknown");
                }
            }
            self.switching.remove(&name);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn refused(name: &str, status: &Status) {
    warn!(vmodel = name, error = %status.message(), "change of a model was refused");
}

#[cfg(test)]
mod tests;
