//! Threads on which models are loaded and unloaded: few, and behind those that serve.
//!
//! Preparing a model keeps a processor busy for milliseconds to minutes. At the same priority it would be given turns
//! of milliseconds before requests that need microseconds.

use std::{io, num::NonZeroUsize, thread, time::Duration};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

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

/// Runs loads in the background.
///
/// A thread of usual priority drives them, and those below it do the work. Threads that serve share no lock with the
/// latter: one that has to wait for a turn while it holds a lock would make them wait too.
#[derive(Debug)]
pub struct Loads {
    handle: Handle,
    /// Ends the threads when it is dropped.
    _end: oneshot::Sender<()>,
}

impl Loads {
    /// Starts the thread that drives, and the others as they are needed.
    pub fn new() -> io::Result<Self> {
        // Of the thread that serves; threads that are started later inherit from whoever starts them.
        let priority = (getpriority_process(None).unwrap_or(0) + NICE).min(NICEST);
        // With this kind of runtime only threads for blocking work are started by it.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(at_once() + LOOKUPS)
            .thread_keep_alive(KEEP)
            .thread_name("load")
            .on_thread_start(move || step_back(priority))
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("loads".to_owned()).spawn(move || {
            // Nothing is ever sent; the other side is dropped.
            let _dropped = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }

    /// Does `work`; dropping the future cancels it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let task = AbortOnDropHandle::new(self.handle.spawn(work));
        match task.await {
            Ok(result) => result,
            Err(err) if err.is_panic() => Err(Status::internal("the runtime panicked")),
            Err(_) => Err(Status::unavailable("the runtime is shutting down")),
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
    async fn work_is_done_behind_ours_and_driven_beside() {
        let loads = Loads::new().unwrap();
        let ours = getpriority_process(None).unwrap();
        let (drives, works) = loads
            .run(async {
                let drives = getpriority_process(None).unwrap();
                let works = tokio::task::spawn_blocking(|| getpriority_process(None).unwrap());
                Ok((drives, works.await.unwrap()))
            })
            .await
            .unwrap();
        assert_eq!((drives, works), (ours, (ours + NICE).min(NICEST)));
        let panicked = loads.run::<()>(async { panic!("on purpose") }).await;
        assert_eq!(panicked.unwrap_err().code(), tonic::Code::Internal);
    }
}
