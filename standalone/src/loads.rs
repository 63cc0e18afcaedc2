//! Threads on which models are loaded and unloaded: few, and behind those that serve.
//!
//! Preparing a model keeps a processor busy for milliseconds to minutes. At the same priority it would be given turns
//! of milliseconds before requests that need microseconds.

use std::{io, num::NonZeroUsize, time::Duration};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Runtime};
use tokio_util::context::TokioContext;

/// Loads at once. They are bound to one core each, and requests want the others.
const MAX_LOADS: usize = 4;

/// Further threads, so that looking up the size of a file waits for no load.
const LOOKUPS: usize = 4;

/// How much nicer these threads are. A tenth of a busy core is left for them: loads go on when requests want all of it.
const NICE: i32 = 10;

/// As nice as a thread can be.
const NICEST: i32 = 19;

/// Threads stay for this long without work: what they freed is used again by the next load.
const KEEP: Duration = Duration::from_mins(1);

/// Runs loads in the background. Those who wait for them stay on their own threads.
#[derive(Debug)]
pub struct Loads {
    /// Always there until it is dropped.
    runtime: Option<Runtime>,
}

impl Loads {
    /// Starts the threads as they are needed.
    pub fn new() -> io::Result<Self> {
        // Of the thread that serves; threads that are started later inherit from whoever starts them.
        let priority = (getpriority_process(None).unwrap_or(0) + NICE).min(NICEST);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(at_once() + LOOKUPS)
            .thread_keep_alive(KEEP)
            .thread_name("loads")
            .on_thread_start(move || step_back(priority))
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// `work`, with everything that it moves off its thread done here.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        let handle = self.runtime.as_ref().map(|runtime| runtime.handle().clone());
        async move {
            match handle {
                Some(handle) => TokioContext::new(work, handle).await,
                None => work.await,
            }
        }
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait: this may be a thread that serves.
            runtime.shutdown_background();
        }
    }
}

/// Loads that make sense at once on this machine.
pub fn at_once() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MAX_LOADS)
}

/// Lowers the priority of the calling thread; on Linux the call is about one thread.
fn step_back(priority: i32) {
    if let Err(error) = setpriority_process(None, priority) {
        tracing::warn!(%error, "loads have the same priority as requests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_moves_to_threads_behind_ours() {
        let loads = Loads::new().unwrap();
        let ours = getpriority_process(None).unwrap();
        let theirs = loads
            .run(async {
                let waits = rustix::process::getpriority_process(None).unwrap();
                let works =
                    tokio::task::spawn_blocking(|| rustix::process::getpriority_process(None).unwrap());
                (waits, works.await.unwrap())
            })
            .await;
        assert_eq!(theirs, (ours, (ours + NICE).min(NICEST)));
    }
}
