//! One loaded copy as requests see it: in-flight count, last use, and whether it still lets anyone in.

use std::{
    fmt,
    sync::{
        OnceLock, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{model::ModelId, request::IdHeaders};

/// One load of one model; every load gets a new number, so a late answer can never hit a later load.
pub type Generation = u64;

/// Nobody enters any more; the copy is on its way out.
const CLOSED: u64 = 1 << 63;
/// Somebody waits for a slot: newcomers must queue behind, and leavers must say that they left.
const CONTENDED: u64 = 1 << 62;
/// The in-flight count.
const COUNT: u64 = (1 << 24) - 1;
/// The count of all who entered, which begins anew when it is full.
const TOTAL: u64 = CONTENDED - 1 - COUNT;
/// One more who entered.
const ENTERED: u64 = COUNT + 1;

/// Told when a request leaves a gate that is closed or contended.
pub trait Home: Send + Sync {
    /// A request left `generation`.
    fn left(&self, generation: Generation);
}

/// The door of one loaded copy. Entering and leaving are one atomic operation each; no lock, no allocation.
///
/// What every request touches is one cache line, together with the counts of the [`Arc`](std::sync::Arc) around it: with
/// tens of thousands of models each of them is cold, and a cold line costs more than all the rest.
pub struct Gate {
    state: AtomicU64,
    last_used: AtomicU64,
    id: ModelId,
    rest: Box<Rest>,
    /// Requests that may be inside at once; 0 = any number.
    limit: AtomicU32,
}

/// The two counts of an `Arc` come on top.
const _: () = assert!(size_of::<Gate>() <= 64 - 2 * size_of::<usize>());

/// What is not needed to enter and leave.
struct Rest {
    generation: Generation,
    home: Weak<dyn Home>,
    /// The id as headers, made for the first request.
    id_headers: OnceLock<IdHeaders>,
}

impl Gate {
    /// A gate that is open, with nobody inside.
    pub fn new(id: ModelId, generation: Generation, last_used: u64, home: Weak<dyn Home>) -> Self {
        Self {
            state: AtomicU64::new(0),
            last_used: AtomicU64::new(last_used),
            id,
            rest: Box::new(Rest {
                generation,
                home,
                id_headers: OnceLock::new(),
            }),
            limit: AtomicU32::new(0),
        }
    }

    /// The id as headers.
    pub fn id_headers(&self) -> &IdHeaders {
        self.rest.id_headers.get_or_init(|| IdHeaders::of(&self.id))
    }

    /// The model behind the gate.
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// The load that made this copy.
    pub fn generation(&self) -> Generation {
        self.rest.generation
    }

    /// Takes a place inside, unless the gate is closed, full, or others wait in front of it.
    pub fn enter(&self, now: u64) -> bool {
        let entered = self.take(CLOSED | CONTENDED);
        if entered {
            self.touch(now);
        }
        entered
    }

    /// Takes a place for one who waited: passes the queue, not the limit.
    pub(crate) fn admit(&self, now: u64) -> bool {
        let entered = self.take(CLOSED);
        if entered {
            self.touch(now);
        }
        entered
    }

    fn take(&self, refusing: u64) -> bool {
        let limit = u64::from(self.limit.load(Ordering::Relaxed));
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let inside = state & COUNT;
            if state & refusing != 0 || inside == COUNT || (limit != 0 && inside >= limit) {
                return false;
            }
            let next = (state & !TOTAL | state.wrapping_add(ENTERED) & TOTAL) + 1;
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(current) => state = current,
            }
        }
    }

    /// Gives a place back that [`Gate::enter`] gave, and tells the home when it has to know.
    pub fn leave(&self) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before & COUNT > 0, "left more often than entered");
        if before & (CLOSED | CONTENDED) != 0
            && let Some(home) = self.rest.home.upgrade()
        {
            home.left(self.rest.generation);
        }
    }

    /// Marks a use; the stamp never goes back. Writes at most once per tick of the clock.
    pub fn touch(&self, now: u64) {
        if self.last_used.load(Ordering::Relaxed) < now {
            self.last_used.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Time of the last use.
    pub fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Requests inside.
    pub fn in_flight(&self) -> u64 {
        self.state.load(Ordering::Acquire) & COUNT
    }

    /// Requests that entered since `before`, which an earlier call returned, and what the next one is given.
    pub fn entered_since(&self, before: u64) -> (u64, u64) {
        let total = self.state.load(Ordering::Relaxed) & TOTAL;
        ((total.wrapping_sub(before) & TOTAL) / ENTERED, total)
    }

    /// Whether nobody can enter any more.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Requests that may be inside at once; 0 = any number.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    pub(crate) fn set_contended(&self, contended: bool) {
        if contended {
            self.state.fetch_or(CONTENDED, Ordering::AcqRel);
        } else {
            self.state.fetch_and(!CONTENDED, Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("id", &self.id)
            .field("generation", &self.rest.generation)
            .field("in_flight", &self.in_flight())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::{Gate, Generation, Home};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Home for Count {
        fn left(&self, _generation: Generation) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn gate() -> (Gate, Arc<Count>) {
        let count = Arc::new(Count::default());
        let home: Arc<dyn Home> = count.clone();
        (Gate::new("m".into(), 1, 5, Arc::downgrade(&home)), count)
    }

    #[test]
    fn a_closed_gate_lets_nobody_in_and_reports_leavers() {
        let (gate, left) = gate();
        assert!(gate.enter(7));
        assert_eq!((gate.in_flight(), gate.last_used()), (1, 7));
        gate.close();
        assert!(!gate.enter(9) && !gate.admit(9));
        assert_eq!(gate.last_used(), 7, "a refused request is no use");
        assert_eq!(left.0.load(Ordering::Relaxed), 0);
        gate.leave();
        assert_eq!((gate.in_flight(), left.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn a_contended_gate_admits_only_from_the_queue() {
        let (gate, left) = gate();
        gate.set_limit(1);
        assert!(gate.enter(6));
        assert!(!gate.enter(6), "full");
        gate.set_contended(true);
        gate.leave();
        assert_eq!(left.0.load(Ordering::Relaxed), 1);
        assert!(!gate.enter(6), "others wait in front");
        assert!(gate.admit(6));
        assert!(!gate.admit(6), "the limit holds for them too");
        gate.set_contended(false);
        gate.leave();
        assert_eq!(left.0.load(Ordering::Relaxed), 1, "nobody waits, nobody is told");
    }

    #[test]
    fn those_who_entered_are_counted() {
        let (gate, _left) = gate();
        let (_, start) = gate.entered_since(0);
        for _ in 0..3 {
            assert!(gate.enter(1));
            gate.leave();
        }
        assert!(gate.enter(1));
        let (three, then) = gate.entered_since(start);
        assert_eq!((three, gate.in_flight()), (4, 1));
        // The count is about to begin anew, and takes nothing else with it.
        gate.state.fetch_or(super::TOTAL, Ordering::Relaxed);
        let (_, last) = gate.entered_since(then);
        gate.close();
        gate.state.fetch_and(!super::CLOSED, Ordering::Relaxed);
        assert!(gate.enter(1) && gate.enter(1));
        assert_eq!(gate.entered_since(last).0, 2);
        assert_eq!((gate.in_flight(), gate.is_closed()), (3, false));
    }

    #[test]
    fn stamps_never_go_back() {
        let (gate, _left) = gate();
        gate.touch(9);
        gate.touch(3);
        assert_eq!(gate.last_used(), 9);
    }
}
