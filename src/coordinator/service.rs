//! The coordinator: all federations, what is stored of them, and the only way to change one.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::sync::{Notify, Semaphore};

use super::aggregate::MODEL_HEADER_MAX;
use super::audit::audit;
use super::machine::{Event, Federation, Message, Phase};
use super::metrics::{Gauges, Metrics};
use super::slot::{Slot, lock};
use super::source::PathSource;
use super::store::{Blobs, Entry, Log, StoreError};
use super::tokens::{self, Claim, Token};
use super::uploads;
use crate::federation::protocol::{Definition, FederationId, Hash, Layout, Reason, Refusal, UpdatePlan};

/// Bodies of requests that are in memory at once.
const BODIES: usize = 64;

/// Finished uploads that are checked at once: more than there are cores, because much of it is waiting for the disk.
const CHECKS: usize = 8;

/// How much the coordinator takes on.
#[derive(Debug, Clone)]
pub struct Capacity {
    pub max_federations: usize,
    /// Requests a second of one client.
    pub request_rate: f64,
    /// Joining clients a second, for each federation.
    pub join_rate: f64,
    /// For the body of one request.
    pub body_timeout: Duration,
}

/// All federations of one process.
pub struct Coordinator {
    federations: RwLock<BTreeMap<FederationId, Arc<Slot>>>,
    pub(super) log: Box<dyn Log>,
    pub(super) blobs: Box<dyn Blobs>,
    admin: Hash,
    pub(super) capacity: Capacity,
    started: Instant,
    pub(super) metrics: Metrics,
    /// A round may have closed.
    pub(super) work: Notify,
    /// Permits for bodies in memory, and for checks of finished uploads.
    pub(super) bodies: Semaphore,
    pub(super) checks: Arc<Semaphore>,
    /// Held while a federation is created, so that no more are than may be.
    creating: Mutex<()>,
    /// Whether the last append failed.
    log_failed: AtomicBool,
}

/// Why the coordinator does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the data folder cannot be used: {0}; choose another one with --data")]
    Folder(#[from] std::io::Error),
    #[error("federation {federation} cannot be resumed: {what}; restore the data folder from a backup")]
    Broken { federation: FederationId, what: String },
}

impl Coordinator {
    /// Reads the log and goes on where it ends. Contents that no federation needs any more are deleted.
    ///
    /// # Errors
    /// [`StartError`] when the store cannot be read, or lacks what the log says is there.
    pub fn open(log: Box<dyn Log>, blobs: Box<dyn Blobs>, admin: Hash, capacity: Capacity) -> Result<Self, StartError> {
        let mut states: BTreeMap<FederationId, Federation> = BTreeMap::new();
        let mut broken = None;
        log.read(&mut |id, Entry { event, .. }| match states.get_mut(&id) {
            Some(state) => state.apply(&event, Duration::ZERO),
            None => match Federation::new(id, &event) {
                Some(state) => drop(states.insert(id, state)),
                None => broken = Some(id),
            },
        })?;
        if let Some(federation) = broken {
            return Err(StartError::Broken { federation, what: "its log does not begin with a definition".into() });
        }
        let coordinator = Self {
            federations: RwLock::default(),
            log,
            blobs,
            admin,
            capacity,
            started: Instant::now(),
            metrics: Metrics::new(),
            work: Notify::new(),
            bodies: Semaphore::new(BODIES),
            checks: Arc::new(Semaphore::new(CHECKS)),
            creating: Mutex::default(),
            log_failed: AtomicBool::new(false),
        };
        let mut slots = BTreeMap::new();
        let mut needed = HashSet::new();
        for (id, mut state) in states {
            state.restart(Duration::ZERO);
            needed.extend(state.needed());
            coordinator.discard_stale_uploads(id, state.phase, state.round());
            let slot = Slot::new(state, coordinator.capacity.join_rate, Duration::ZERO);
            coordinator.prepare(&slot).map_err(|what| StartError::Broken { federation: id, what })?;
            slots.insert(id, slot);
        }
        coordinator.discard_uploads_of_others(&slots);
        for hash in coordinator.blobs.list()? {
            if !needed.contains(&hash) {
                coordinator.blobs.delete(hash)?;
            }
        }
        *coordinator.federations.write().unwrap_or_else(PoisonError::into_inner) = slots;
        Ok(coordinator)
    }

    /// Reads what the updates of a federation hold from its model.
    fn prepare(&self, slot: &Slot) -> Result<(), String> {
        let (definition, model) = {
            let state = slot.state();
            (state.definition.clone(), state.model)
        };
        let Some(model) = model else { return Ok(()) };
        let path = self.blobs.path(model).ok_or_else(|| format!("content {model} is missing"))?;
        let plan = plan_of(&path, &definition).map_err(|refusal| refusal.to_string())?;
        // It may be there already; it is the same then.
        let _ = slot.plan.set(plan);
        Ok(())
    }

    /// The time of the state machine.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn get(&self, id: FederationId) -> Option<Arc<Slot>> {
        self.federations.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Slot>> {
        self.federations.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A new federation of this definition (JSON that has been checked), and its invite token.
    ///
    /// # Errors
    /// A [`Refusal`] when there are too many, or it cannot be stored.
    pub fn create(&self, definition: String) -> Result<(FederationId, Token), Refusal> {
        let _creating = lock(&self.creating);
        let open = |slot: &&Arc<Slot>| !matches!(slot.state().phase, Phase::Finished(_));
        if self.all().iter().filter(open).count() >= self.capacity.max_federations {
            return Err(Reason::TooManyFederations.into());
        }
        let token = Token::new(Claim::Invite).map_err(uploads::disk)?;
        let id = FederationId(tokens::random().map_err(uploads::disk)?);
        let event = Event::Created { definition, invite: token.hash() };
        let state = Federation::new(id, &event).ok_or(Reason::DefinitionInvalid)?;
        for Entry { event, .. } in self.append(id, 0, vec![event])? {
            audit(id, &event);
        }
        self.federations
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Slot::new(state, self.capacity.join_rate, self.now()));
        Ok((id, token))
    }

    /// Decides on a message, stores what follows, and only then lets it take effect. Waits for the disk.
    ///
    /// # Errors
    /// The [`Refusal`] when it has no effect.
    pub fn send(&self, slot: &Slot, message: &Message) -> Result<Reason, Refusal> {
        let _turn = slot.turn();
        if slot.is_deleted() {
            return Err(Reason::FederationUnknown.into());
        }
        let before = {
            let state = slot.state();
            (state.phase, state.optimizer)
        };
        let (reason, changed) = self.step(slot, message)?;
        // What this was the last condition for happens at once. Should the store fail here, the next tick does it.
        if changed && let Err(error) = self.step(slot, &Message::Tick) {
            tracing::error!(federation = %slot.id, %error, "a transition could not be stored");
        }
        let phase = slot.state().phase;
        if phase != before.0 {
            self.tidy(slot, before.1);
        }
        if matches!(phase, Phase::Aggregating { .. }) {
            self.work.notify_one();
        }
        Ok(reason)
    }

    /// Deletes a finished federation: first from the log, then from memory, then its contents. What a crash leaves of them goes at
    /// the next start.
    ///
    /// # Errors
    /// The [`Refusal`] when it goes on, or the log cannot be written; everything is still there then.
    pub fn delete(&self, slot: &Slot) -> Result<(), Refusal> {
        let _turn = slot.turn();
        if slot.is_deleted() {
            return Err(Reason::FederationUnknown.into());
        }
        let needed: Vec<Hash> = {
            let state = slot.state();
            if !matches!(state.phase, Phase::Finished(_)) {
                return Err(Reason::NotFinished.into());
            }
            state.needed().collect()
        };
        self.log.remove(slot.id).map_err(|error| {
            tracing::error!(federation = %slot.id, %error, "the log failed");
            Refusal::from(Reason::StorageFailed)
        })?;
        slot.set_deleted();
        self.federations.write().unwrap_or_else(PoisonError::into_inner).remove(&slot.id);
        tracing::info!(target: "audit", federation = %slot.id, "deleted");
        self.delete_unneeded(needed);
        uploads::discard(&self.blobs.upload(slot.id, ""));
        Ok(())
    }

    /// Decides, stores, applies; the caller holds the turn. Also says whether anything changed.
    fn step(&self, slot: &Slot, message: &Message) -> Result<(Reason, bool), Refusal> {
        let (decision, first) = {
            let state = slot.state();
            (state.decide(message, self.now())?, state.events)
        };
        if decision.events.is_empty() {
            return Ok((decision.reason, false));
        }
        let entries = self.append(slot.id, first, decision.events)?;
        let mut state = slot.state();
        for Entry { event, .. } in &entries {
            audit(slot.id, event);
            state.apply(event, self.now());
        }
        Ok((decision.reason, true))
    }

    /// What would become of a message now.
    ///
    /// # Errors
    /// The reason why it would have no effect.
    pub fn ask(&self, slot: &Slot, message: &Message) -> Result<Reason, Reason> {
        slot.state().decide(message, self.now()).map(|decision| decision.reason)
    }

    fn append(&self, federation: FederationId, first: u64, events: Vec<Event>) -> Result<Vec<Entry>, Refusal> {
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let entries: Vec<Entry> = events.into_iter().map(|event| Entry { at_unix_ms, event }).collect();
        let stored = self.log.append(federation, first, &entries);
        self.log_failed.store(stored.is_err(), Ordering::Relaxed);
        stored.map_err(|error| {
            tracing::error!(%federation, %error, "the log failed");
            Refusal::from(Reason::StorageFailed)
        })?;
        self.metrics.appended.fetch_add(entries.len() as u64, Ordering::Relaxed);
        Ok(entries)
    }

    /// Who shows this token in this federation.
    ///
    /// # Errors
    /// [`Reason::TokenWrong`]
    pub fn identify(&self, slot: Option<&Slot>, token: &Token) -> Result<Claim, Reason> {
        let known = match (token.claim(), slot) {
            (Claim::Admin, _) => token.is(self.admin),
            (_, None) => false,
            (Claim::Invite, Some(slot)) => token.is(slot.state().invite),
            (Claim::Client(client), Some(slot)) => {
                let member = slot.state().members.get(&client).copied();
                member.is_some_and(|member| token.is(member.token) && !member.departed)
            }
        };
        if known { Ok(token.claim()) } else { Err(Reason::TokenWrong) }
    }

    /// Counts a request, and says how many bodies whoever asks may send at once; the host as many as there is room for. Everybody
    /// with the invite shares one bucket, which fills as fast as clients may join.
    ///
    /// # Errors
    /// Milliseconds to wait.
    pub fn admit(&self, slot: &Slot, who: Claim) -> Result<Option<Arc<Semaphore>>, u64> {
        match who {
            Claim::Admin => Ok(None),
            Claim::Invite => slot.admit_invited(self.capacity.join_rate, self.now()).map(Some),
            Claim::Client(client) => slot.admit_client(client, self.capacity.request_rate, self.now()).map(Some),
        }
    }

    /// Whether what is stored now would be stored.
    ///
    /// # Errors
    /// The file system's, or that of the last append.
    pub fn ready(&self) -> std::io::Result<()> {
        fs::write(self.blobs.scratch()?.path(), b"ready")?;
        if self.log_failed.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("the last append to the log failed"));
        }
        Ok(())
    }

    /// Deletes those of these contents that no federation needs; another one may have computed the same. What is left after a
    /// crash goes at the next start.
    pub(super) fn delete_unneeded(&self, mut hashes: Vec<Hash>) {
        for slot in self.all() {
            if hashes.is_empty() {
                return;
            }
            let needed: HashSet<Hash> = slot.state().needed().collect();
            hashes.retain(|hash| !needed.contains(hash));
        }
        for hash in hashes {
            if let Err(error) = self.blobs.delete(hash) {
                tracing::warn!(%error, "a content could not be deleted");
            }
        }
    }

    /// After a phase has ended: deletes what was needed for it only, `optimizer` being what the server optimiser had left before.
    fn tidy(&self, slot: &Slot, optimizer: Option<Hash>) {
        let (mut hashes, phase, round) = {
            let state = slot.state();
            (state.released(), state.phase, state.round())
        };
        hashes.extend(optimizer);
        self.delete_unneeded(hashes);
        self.discard_stale_uploads(slot.id, phase, round);
    }

    /// Deletes what the past rounds of a federation have left.
    fn discard_stale_uploads(&self, id: FederationId, phase: Phase, round: u32) {
        let current = match phase {
            Phase::Gathering => Some("model".to_owned()),
            Phase::Statistics | Phase::Training { .. } | Phase::Paused { .. } => Some(format!("{round}-")),
            Phase::Aggregating { .. } | Phase::Finished(_) => None,
        };
        let Ok(entries) = fs::read_dir(self.blobs.upload(id, "")) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !current.as_ref().is_some_and(|current| name.to_string_lossy().starts_with(current)) {
                uploads::discard(&entry.path());
            }
        }
    }

    /// Deletes what a chunk that came while its federation was being deleted has left.
    fn discard_uploads_of_others(&self, known: &BTreeMap<FederationId, Arc<Slot>>) {
        let folder = self.blobs.upload(FederationId([0; 8]), "");
        let Some(Ok(entries)) = folder.parent().map(fs::read_dir) else { return };
        for entry in entries.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<FederationId>().ok());
            if id.is_some_and(|id| !known.contains_key(&id)) {
                uploads::discard(&entry.path());
            }
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let mut gauges = Gauges::default();
        for slot in self.all() {
            let view = slot.view(None, self.now());
            gauges.present += u64::from(view.present);
            *gauges.federations.entry(view.phase.name()).or_default() += 1;
        }
        gauges
    }
}

/// What updates hold for a model file.
pub(super) fn plan_of(model: &Path, definition: &Definition) -> Result<UpdatePlan, Refusal> {
    let malformed = |error: &dyn std::fmt::Display| Reason::TensorsMalformed.because(error);
    let source = PathSource::open(model).map_err(|error| malformed(&error))?;
    let layout = Layout::read(&source, MODEL_HEADER_MAX).map_err(|error| malformed(&error))?;
    UpdatePlan::new(definition, &layout).map_err(|error| error.reason().because(&error))
}
