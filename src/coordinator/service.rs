//! The coordinator: all federations, what is stored of them, and the only way to change one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::sync::{Notify, Semaphore};

use super::aggregate::MODEL_HEADER_MAX;
use super::limits::Bucket;
use super::machine::{Event, Federation, Message, Phase};
use super::metrics::{Gauges, Metrics};
use super::source::PathSource;
use super::store::{Blobs, Entry, Log, StoreError};
use super::tokens::{self, Claim, Token};
use super::uploads;
use crate::federation::protocol::{ClientId, Definition, FederationId, Hash, Layout, Reason, Refusal, UpdatePlan};

/// Bodies of requests that are in memory at once.
const BODIES: usize = 64;

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
}

/// One federation and what is remembered of it beside the log.
pub struct Slot {
    pub id: FederationId,
    state: Mutex<Federation>,
    /// What its updates hold; there once the model is.
    pub(super) plan: OnceLock<UpdatePlan>,
    requests: Mutex<HashMap<ClientId, Bucket>>,
    joins: Mutex<Bucket>,
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

/// A lock whose holder panicked protects nothing that is half done: state changes are single assignments after a commit.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub fn state(&self) -> MutexGuard<'_, Federation> {
        lock(&self.state)
    }

    pub fn definition(&self) -> Arc<Definition> {
        self.state().definition.clone()
    }
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
            return Err(StartError::Broken { federation, what: "its first event is not its creation".into() });
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
            checks: Arc::new(Semaphore::new(2)),
        };
        let mut slots = BTreeMap::new();
        let mut needed = HashSet::new();
        for (id, mut state) in states {
            state.restart(Duration::ZERO);
            needed.extend(state.needed());
            coordinator.discard_stale_uploads(&state);
            let slot = coordinator.slot(state);
            coordinator.prepare(&slot).map_err(|what| StartError::Broken { federation: id, what })?;
            slots.insert(id, slot);
        }
        for hash in coordinator.blobs.list()? {
            if !needed.contains(&hash) {
                coordinator.blobs.delete(hash)?;
            }
        }
        *coordinator.federations.write().unwrap_or_else(PoisonError::into_inner) = slots;
        Ok(coordinator)
    }

    fn slot(&self, state: Federation) -> Arc<Slot> {
        let joins = Mutex::new(Bucket::new(self.capacity.join_rate, self.now()));
        let (plan, requests) = (OnceLock::new(), Mutex::default());
        Arc::new(Slot { id: state.id, state: Mutex::new(state), plan, requests, joins })
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
        let mut federations = self.federations.write().unwrap_or_else(PoisonError::into_inner);
        let open = |slot: &&Arc<Slot>| !matches!(slot.state().phase, Phase::Finished(_));
        if federations.values().filter(open).count() >= self.capacity.max_federations {
            return Err(Reason::TooManyFederations.into());
        }
        let token = Token::new(Claim::Invite).map_err(uploads::disk)?;
        let id = FederationId(tokens::random().map_err(uploads::disk)?);
        let event = Event::Created { definition, invite: token.hash() };
        let state = Federation::new(id, &event).ok_or(Reason::DefinitionInvalid)?;
        self.append(id, 0, vec![event])?;
        federations.insert(id, self.slot(state));
        Ok((id, token))
    }

    /// Decides on a message, stores what follows, and only then lets it take effect. Waits for the disk.
    ///
    /// # Errors
    /// The [`Refusal`] when it has no effect.
    pub fn send(&self, slot: &Slot, message: &Message) -> Result<Reason, Refusal> {
        let mut state = slot.state();
        let decision = state.decide(message, self.now())?;
        let changed = !decision.events.is_empty();
        self.commit(&mut state, decision.events)?;
        if changed {
            // What this was the last condition for happens at once. Should the store fail here, the next tick does it.
            if let Ok(next) = state.decide(&Message::Tick, self.now())
                && let Err(error) = self.commit(&mut state, next.events)
            {
                tracing::error!(federation = %slot.id, %error, "a transition could not be stored");
            }
        }
        if matches!(state.phase, Phase::Aggregating { .. }) {
            self.work.notify_one();
        }
        Ok(decision.reason)
    }

    /// What would become of a message now.
    ///
    /// # Errors
    /// The reason why it would have no effect.
    pub fn ask(&self, slot: &Slot, message: &Message) -> Result<Reason, Reason> {
        slot.state().decide(message, self.now()).map(|decision| decision.reason)
    }

    fn commit(&self, state: &mut Federation, events: Vec<Event>) -> Result<(), Refusal> {
        if events.is_empty() {
            return Ok(());
        }
        let entries = self.append(state.id, state.events, events)?;
        for entry in entries {
            audit(state.id, &entry.event);
            state.apply(&entry.event, self.now());
        }
        Ok(())
    }

    fn append(&self, federation: FederationId, first: u64, events: Vec<Event>) -> Result<Vec<Entry>, Refusal> {
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let entries: Vec<Entry> = events.into_iter().map(|event| Entry { at_unix_ms, event }).collect();
        self.log.append(federation, first, &entries).map_err(|error| {
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

    /// Counts a request. Everybody with the invite shares one bucket, which fills as fast as clients may join.
    ///
    /// # Errors
    /// Milliseconds to wait.
    pub fn admit(&self, slot: &Slot, who: Claim) -> Result<(), u64> {
        let now = self.now();
        match who {
            Claim::Admin => Ok(()),
            Claim::Invite => lock(&slot.joins).take(self.capacity.join_rate, now),
            Claim::Client(client) => {
                slot.state().saw(client, now);
                let rate = self.capacity.request_rate;
                let mut requests = lock(&slot.requests);
                requests.entry(client).or_insert_with(|| Bucket::new(rate, now)).take(rate, now)
            }
        }
    }

    /// Deletes what the past rounds of a federation have left.
    pub(super) fn discard_stale_uploads(&self, state: &Federation) {
        let open = !matches!(state.phase, Phase::Finished(_) | Phase::Aggregating { .. });
        let current = match state.phase {
            Phase::Gathering => "model".to_owned(),
            _ => format!("{}-", state.round()),
        };
        let folder = self.blobs.upload(state.id, "");
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            if !(open && entry.file_name().to_string_lossy().starts_with(&current)) {
                uploads::discard(&entry.path());
            }
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let mut gauges = Gauges::default();
        for slot in self.all() {
            let view = slot.state().state(None, self.now());
            gauges.present += u64::from(view.present);
            let phase = match slot.state().phase {
                Phase::Gathering => "gathering",
                Phase::Statistics => "statistics",
                Phase::Training { .. } => "training",
                Phase::Aggregating { .. } => "aggregating",
                Phase::Finished(_) => "finished",
                Phase::Paused { .. } => "paused",
            };
            *gauges.federations.entry(phase).or_default() += 1;
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

/// One line for every event. Clients are random numbers; nothing tells who they are or where they come from.
fn audit(federation: FederationId, event: &Event) {
    match event {
        Event::Joined { client, .. } => tracing::info!(target: "audit", %federation, %client, "joined"),
        Event::Left { client } => tracing::info!(target: "audit", %federation, %client, "left"),
        Event::StatisticsAccepted { client, blob } => {
            tracing::info!(target: "audit", %federation, %client, %blob, "statistics accepted");
        }
        Event::UpdateAccepted { client, round, update } => {
            let (blob, samples, norm) = (update.blob, update.samples, update.norm);
            tracing::info!(target: "audit", %federation, %client, round, %blob, samples, norm, "update accepted");
        }
        Event::Aggregated { round, model, .. } => {
            tracing::info!(target: "audit", %federation, round, %model, "aggregated")
        }
        Event::Evaluated { client, round, .. } => {
            tracing::info!(target: "audit", %federation, %client, round, "evaluated")
        }
        Event::RoundOpened { round } => tracing::info!(target: "audit", %federation, round, "round opened"),
        Event::RoundClosed { round } => tracing::info!(target: "audit", %federation, round, "round closed"),
        Event::StatisticsDone { projection } => tracing::info!(target: "audit", %federation, %projection, "projection"),
        Event::Finished { cause } => tracing::info!(target: "audit", %federation, ?cause, "finished"),
        Event::Created { .. } => tracing::info!(target: "audit", %federation, "created"),
        Event::Invited { .. } => tracing::info!(target: "audit", %federation, "invite renewed"),
        Event::ModelStored { .. } => tracing::info!(target: "audit", %federation, "model stored"),
        Event::StatisticsOpened => tracing::info!(target: "audit", %federation, "statistics opened"),
        Event::Paused => tracing::info!(target: "audit", %federation, "paused"),
        Event::Resumed => tracing::info!(target: "audit", %federation, "resumed"),
    }
}
