//! Graceful shutdown: one token that every task holds, with a deadline.
//!
//! ```text
//! signal -> start() -> started() wakes listeners, /ready turns 503
//!                   -> guards drop as requests finish -> finished() returns, at the deadline at the latest
//! ```

use std::{
    fmt,
    future::Future,
    io, process,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    signal::unix::{self, SignalKind},
    time::Instant,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::exit;

/// Cheap to clone; all clones are the same drain.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    grace: Duration,
    started: CancellationToken,
    deadline: OnceLock<Instant>,
    open: TaskTracker,
}

/// Work in flight: the drain waits until it is dropped.
#[derive(Debug)]
pub struct Guard {
    _token: TaskTrackerToken,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing was in flight any more.
    Clean,
    /// The deadline passed first; so many guards were still held.
    Late(usize),
}

impl Drain {
    /// A drain that may take `grace` once it has started.
    pub fn new(grace: Duration) -> Self {
        Self(Arc::new(Inner {
            grace,
            started: CancellationToken::new(),
            deadline: OnceLock::new(),
            open: TaskTracker::new(),
        }))
    }

    /// Starts the drain; later calls change nothing.
    pub fn start(&self) {
        self.0.deadline.get_or_init(|| Instant::now() + self.0.grace);
        self.0.open.close();
        self.0.started.cancel();
    }

    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        self.0.started.is_cancelled()
    }

    /// Waits until it starts.
    pub async fn started(&self) {
        self.0.started.cancelled().await;
    }

    /// As [`Drain::started`], for a task that outlives the borrow.
    pub fn into_started(self) -> impl Future<Output = ()> + Send + 'static {
        self.0.started.clone().cancelled_owned()
    }

    /// When everything must have ended; `None` before the start.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }

    /// How long a drain may take.
    pub fn grace(&self) -> Duration {
        self.0.grace
    }

    /// Marks work in flight.
    pub fn guard(&self) -> Guard {
        Guard {
            _token: self.0.open.token(),
        }
    }

    /// Guards that are held now.
    pub fn in_flight(&self) -> usize {
        self.0.open.len()
    }

    /// Waits for the start, then until no guard is held or the deadline passes.
    pub async fn finished(&self) -> Drained {
        self.started().await;
        let deadline = self.deadline().unwrap_or_else(Instant::now);
        match tokio::time::timeout_at(deadline, self.0.open.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_) => Drained::Late(self.in_flight()),
        }
    }
}

/// Why the process should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
        })
    }
}

/// Installs handlers for SIGTERM and SIGINT; the future ends at the first signal. A second one ends the process at
/// once, with the exit code of failed work. Call once, on the runtime, before anything is served.
pub fn shutdown_signal() -> io::Result<impl Future<Output = Signal> + Send + 'static> {
    let mut signals = Signals::install()?;
    Ok(async move {
        let first = signals.next().await;
        tokio::spawn(async move {
            let second = signals.next().await;
            tracing::warn!(signal = %second, "second signal, exiting without drain");
            process::exit(i32::from(exit::FAILED));
        });
        first
    })
}

/// [`shutdown_signal`] that starts `drain`; for `main`.
pub fn start_on_signal(drain: &Drain) -> io::Result<()> {
    let signal = shutdown_signal()?;
    let drain = drain.clone();
    tokio::spawn(async move {
        let signal = signal.await;
        tracing::info!(%signal, grace = %humantime::format_duration(drain.grace()), "draining");
        drain.start();
    });
    Ok(())
}

struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a future would have to wait now.
    async fn waits(future: impl Future) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn waits_for_work_in_flight() {
        let drain = Drain::new(Duration::from_hours(1));
        let guard = drain.guard();
        assert_eq!(
            (drain.is_started(), drain.deadline(), drain.in_flight()),
            (false, None, 1)
        );
        assert!(waits(drain.started()).await);

        drain.start();
        drain.started().await;
        assert!(waits(drain.finished()).await);
        drop(guard);
        assert_eq!(drain.finished().await, Drained::Clean);
    }

    #[tokio::test]
    async fn ends_at_the_deadline_of_the_first_start() {
        let drain = Drain::new(Duration::from_millis(5));
        let (_first, _second) = (drain.guard(), drain.guard());
        drain.start();
        let deadline = drain.deadline().unwrap();
        assert_eq!(drain.finished().await, Drained::Late(2));
        assert!(Instant::now() >= deadline);
        drain.start();
        assert_eq!(drain.deadline(), Some(deadline));
    }

    #[tokio::test]
    async fn without_work_it_is_done_at_once() {
        let drain = Drain::new(Duration::ZERO);
        let started = drain.clone().into_started();
        drain.start();
        started.await;
        assert_eq!(drain.finished().await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_signal_starts_the_drain() {
        let drain = Drain::new(Duration::ZERO);
        start_on_signal(&drain).unwrap();
        let sent = process::Command::new("kill")
            .args(["-TERM", &process::id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        drain.started().await;
    }
}
