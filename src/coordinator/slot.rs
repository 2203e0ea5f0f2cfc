//! One federation in memory: its state, and what is remembered of it beside the log.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::limits::Bucket;
use super::machine::{Attendance, Federation};
use crate::federation::protocol::{ClientId, Definition, FederationId, StateView, UpdatePlan};

/// Bodies of requests that are in memory at once, of one client and of all who show the invite: nobody alone can take all the
/// room there is.
const BODIES_OF_ONE: usize = 4;
const BODIES_OF_INVITED: usize = 16;

/// Who is present is counted anew after this time: a poll must not cost a look at every member.
const RECOUNT: Duration = Duration::from_millis(100);

/// One federation and what is remembered of it beside the log.
pub struct Slot {
    pub id: FederationId,
    /// Held from a decision until what follows is stored and applied, so that decisions do not overtake each other.
    turn: Mutex<()>,
    /// Changes in somebody's turn only: whoever found it before comes too late.
    deleted: AtomicBool,
    /// Never held while the disk is waited for: whoever only looks does not wait either.
    state: Mutex<Federation>,
    attendance: Mutex<Option<(Duration, Attendance)>>,
    /// What its updates hold; there once the model is.
    pub(super) plan: OnceLock<UpdatePlan>,
    visitors: Mutex<HashMap<ClientId, Visitor>>,
    invited: Mutex<Visitor>,
    /// Whose finished uploads are being checked; all zeros for the host.
    checking: Mutex<HashSet<ClientId>>,
}

/// How much somebody asks for.
struct Visitor {
    requests: Bucket,
    bodies: Arc<Semaphore>,
}

impl Visitor {
    fn new(rate: f64, bodies: usize, now: Duration) -> Self {
        Self { requests: Bucket::new(rate, now), bodies: Arc::new(Semaphore::new(bodies)) }
    }

    fn admit(&mut self, rate: f64, now: Duration) -> Result<Arc<Semaphore>, u64> {
        self.requests.take(rate, now).map(|()| self.bodies.clone())
    }
}

/// While this lives, no other upload of the same client is checked.
pub(super) struct Checking(Arc<Slot>, ClientId);

impl Drop for Checking {
    fn drop(&mut self) {
        lock(&self.0.checking).remove(&self.1);
    }
}

/// A lock whose holder panicked protects nothing that is half done: what is applied has been stored, and applying does not fail.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(super) fn new(state: Federation, join_rate: f64, now: Duration) -> Arc<Self> {
        Arc::new(Self {
            id: state.id,
            turn: Mutex::default(),
            deleted: AtomicBool::new(false),
            state: Mutex::new(state),
            attendance: Mutex::default(),
            plan: OnceLock::new(),
            visitors: Mutex::default(),
            invited: Mutex::new(Visitor::new(join_rate, BODIES_OF_INVITED, now)),
            checking: Mutex::default(),
        })
    }

    /// Whoever decides waits for it first.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Whether the federation is gone from the log.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Relaxed);
    }

    pub fn state(&self) -> MutexGuard<'_, Federation> {
        lock(&self.state)
    }

    pub fn definition(&self) -> Arc<Definition> {
        self.state().definition.clone()
    }

    /// Where the federation is, for whoever polls.
    pub fn view(&self, client: Option<ClientId>, now: Duration) -> StateView {
        let state = self.state();
        let mut counted = lock(&self.attendance);
        let attendance = match *counted {
            Some((at, attendance)) if now.saturating_sub(at) < RECOUNT => attendance,
            _ => counted.insert((now, state.attendance(now))).1,
        };
        state.state(client, attendance, now)
    }

    /// Begins the check of a client's upload; `None` while another one of the same client is being checked.
    pub(super) fn check(self: &Arc<Self>, client: ClientId) -> Option<Checking> {
        lock(&self.checking).insert(client).then(|| Checking(self.clone(), client))
    }

    pub(super) fn admit_invited(&self, rate: f64, now: Duration) -> Result<Arc<Semaphore>, u64> {
        lock(&self.invited).admit(rate, now)
    }

    pub(super) fn admit_client(&self, client: ClientId, rate: f64, now: Duration) -> Result<Arc<Semaphore>, u64> {
        self.state().saw(client, now);
        let mut visitors = lock(&self.visitors);
        visitors.entry(client).or_insert_with(|| Visitor::new(rate, BODIES_OF_ONE, now)).admit(rate, now)
    }
}
