//! The sessions of one model. A session runs one call at a time, so a model whose calls have to wait gets more of them,
//! within bounds; a model whose calls are short or rare never has more than one.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use ort::{
    ep,
    session::{
        Session,
        builder::{AutoDevicePolicy, GraphOptimizationLevel},
    },
};
use parking_lot::{Condvar, Mutex};

use super::{
    environment::Runtime,
    file::{ModelFile, Stamp},
    reason::contained,
};

/// How long a call waits before its model gets another session: longer than small models run, shorter than people
/// notice.
const PATIENCE: Duration = Duration::from_millis(2);

/// Memory of second and further sessions, all models of the process together. It is part of what is left beside the
/// capacity for models, and no part of any model's size.
const SPARE_BYTES: u64 = 64 << 20;

/// What of it is taken.
static SPARE_TAKEN: AtomicU64 = AtomicU64::new(0);

/// A share of [`SPARE_BYTES`]; given back when dropped.
#[derive(Debug)]
struct Share(u64);

impl Share {
    fn take(bytes: u64) -> Option<Self> {
        let share = Self(bytes);
        // Counted first, so that two can never take the last of it.
        let taken = SPARE_TAKEN.fetch_add(bytes, Relaxed);
        (taken.saturating_add(bytes) <= SPARE_BYTES).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        SPARE_TAKEN.fetch_sub(self.0, Relaxed);
    }
}

/// Makes a session of a model.
pub(super) fn make(runtime: &Runtime, file: &ModelFile) -> ort::Result<Session> {
    // No arena: it keeps what the largest call took, for each session. No memory pattern: batches differ.
    let mut builder = Session::builder(runtime.environment())?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_memory_pattern(false)?;
    for (location, content) in &file.external {
        builder = builder.with_external_initializer_file_in_memory(location, content.clone())?;
    }
    builder.commit_from_memory(&file.inspected.bytes)
}

/// Sessions of one model.
#[derive(Debug)]
pub(super) struct Sessions {
    runtime: Runtime,
    path: PathBuf,
    stamps: Vec<Stamp>,
    session_bytes: u64,
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Session>,
    made: usize,
    shares: Vec<Share>,
    /// Somebody makes a session.
    is_growing: bool,
    /// The files are still those of the first session.
    may_grow: bool,
}

impl Sessions {
    /// `first` was made from `file`; each takes `session_bytes`.
    pub(super) fn new(runtime: Runtime, file: ModelFile, first: Session, session_bytes: u64) -> Self {
        Self {
            runtime,
            path: file.path,
            stamps: file.stamps,
            session_bytes,
            most: thread::available_parallelism().map_or(1, usize::from),
            state: Mutex::new(State {
                idle: vec![first],
                made: 1,
                shares: Vec::new(),
                is_growing: false,
                may_grow: true,
            }),
            freed: Condvar::new(),
        }
    }

    /// Whether all of them are in use.
    pub(super) fn are_busy(&self) -> bool {
        self.state.lock().idle.is_empty()
    }

    /// Runs `work` on a session that nobody else uses, waiting for one if need be.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        let mut lease = Lease {
            sessions: self,
            session: Some(self.take()),
        };
        // Taken out only by the drop.
        let session = lease.session.as_mut().expect("the lease holds its session");
        work(session)
    }

    fn take(&self) -> Session {
        let mut state = self.state.lock();
        loop {
            if let Some(session) = state.idle.pop() {
                return session;
            }
            if !state.may_grow || state.is_growing || state.made >= self.most {
                self.freed.wait(&mut state);
                continue;
            }
            let waited = self.freed.wait_for(&mut state, PATIENCE);
            if !waited.timed_out() || !state.idle.is_empty() || state.is_growing || !state.may_grow {
                continue;
            }
            let Some(share) = Share::take(self.session_bytes) else {
                continue;
            };
            state.is_growing = true;
            drop(state);
            let grown = self.grow();
            state = self.state.lock();
            state.is_growing = false;
            // Those who waited for this may want one more, or have to know that there will be none.
            self.freed.notify_all();
            match grown {
                Some(session) => {
                    state.made += 1;
                    state.shares.push(share);
                    return session;
                }
                None => state.may_grow = false,
            }
        }
    }

    /// Another session of the same model; `None` where the files are no longer the same.
    fn grow(&self) -> Option<Session> {
        let grown = contained(|| {
            let file = ModelFile::read(&self.path).ok()?;
            (file.stamps == self.stamps)
                .then(|| make(&self.runtime, &file).ok())
                .flatten()
        });
        let session = grown.ok().flatten();
        if session.is_none() {
            tracing::debug!(path = %self.path.display(), "no further session for this model");
        }
        session
    }
}

/// A session in use; given back when dropped.
struct Lease<'a> {
    sessions: &'a Sessions,
    session: Option<Session>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.sessions.state.lock();
        state.idle.extend(self.session.take());
        drop(state);
        self.sessions.freed.notify_one();
    }
}
