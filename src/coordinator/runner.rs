//! What the coordinator does by itself: time passes, and closed rounds are aggregated, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::aggregate::{AggregateError, Contribution, Job, Outcome, aggregate};
use super::machine::{Message, Phase, Round};
use super::service::Coordinator;
use super::slot::Slot;
use super::source::PathSource;
use super::store::Scratch;
use super::uploads::disk;
use crate::federation::protocol::{
    BandStatistics, BandSum, Binding, Definition, FederationId, Hash, Reason, Refusal, UpdateError,
};
use crate::preprocess::projection_of_moments;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Before an aggregation that the disk has stopped is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until it is dropped. Whatever it is doing then is done again after the restart, with the same result.
pub async fn run(coordinator: Arc<Coordinator>) {
    // Apart, so that a long aggregation holds up no other federation's deadline.
    tokio::join!(watch_deadlines(coordinator.clone()), aggregate_closed_rounds(coordinator));
}

async fn watch_deadlines(coordinator: Arc<Coordinator>) {
    loop {
        tokio::time::sleep(TICK).await;
        let ticking = coordinator.clone();
        let ticked = tokio::task::spawn_blocking(move || {
            // Not the first failure only: the others' time has come, too.
            ticking.all().iter().filter(|slot| tick(&ticking, slot).is_err()).count()
        });
        if !matches!(ticked.await, Ok(0)) {
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn aggregate_closed_rounds(coordinator: Arc<Coordinator>) {
    let mut failed: BTreeMap<FederationId, Instant> = BTreeMap::new();
    loop {
        tokio::select! {
            () = coordinator.work.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
        failed.retain(|_, since| since.elapsed() < RETRY);
        for slot in coordinator.all() {
            let id = slot.id;
            if failed.contains_key(&id) || !matches!(slot.state().phase, Phase::Aggregating { .. }) {
                continue;
            }
            let coordinator = coordinator.clone();
            let worked = tokio::task::spawn_blocking(move || aggregate_if_closed(&coordinator, &slot)).await;
            if !matches!(worked, Ok(Ok(()))) {
                failed.insert(id, Instant::now());
            }
        }
    }
}

/// Time has passed.
pub(super) fn tick(coordinator: &Coordinator, slot: &Slot) -> Result<(), Refusal> {
    let phase = slot.state().phase;
    if matches!(phase, Phase::Gathering | Phase::Statistics | Phase::Training { .. }) {
        coordinator.send(slot, &Message::Tick)?;
    }
    Ok(())
}

/// The result of a round that has closed.
pub(super) fn aggregate_if_closed(coordinator: &Coordinator, slot: &Slot) -> Result<(), Refusal> {
    let closed = slot.state().phase;
    let Phase::Aggregating { round } = closed else { return Ok(()) };
    let started = Instant::now();
    let done = if round == 0 { add_statistics(coordinator, slot) } else { aggregate_round(coordinator, slot, round) };
    match &done {
        Ok(()) => coordinator.metrics.aggregated(started.elapsed()),
        // The host has ended the federation meanwhile, and what it was aggregated from is deleted.
        Err(_) if slot.state().phase != closed => return Ok(()),
        Err(refusal) => {
            coordinator.metrics.aggregation_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(federation = %slot.id, round, error = %refusal, "the round could not be aggregated");
        }
    }
    done
}

fn path(coordinator: &Coordinator, hash: Hash) -> Result<PathBuf, Refusal> {
    coordinator.blobs.path(hash).ok_or_else(|| Reason::StorageFailed.because(format!("content {hash} is missing")))
}

/// Round 0: the sum of all band statistics, and the projection that follows.
fn add_statistics(coordinator: &Coordinator, slot: &Slot) -> Result<(), Refusal> {
    let (definition, statistics) = {
        let state = slot.state();
        (state.definition.clone(), state.statistics.clone())
    };
    let bands = definition.input.wavelengths_nm.len();
    let mut sum = BandSum::new(bands);
    for (&client, &blob) in &statistics {
        let binding = Binding { federation: slot.id, client, round: 0, model: Hash([0; 32]) };
        let source = PathSource::open(&path(coordinator, blob)?)
            .map_err(|error| Reason::StorageFailed.because(UpdateError::from(error)))?;
        let read = BandStatistics::read(&source, bands, &binding).map_err(|error| error.reason().because(&error))?;
        sum.add(&read).map_err(|error| Reason::StatisticsInvalid.because(error))?;
    }
    let message = match projection(&definition, &sum) {
        None => Message::Diverged { round: 0 },
        Some(json) => {
            let scratch = scratch(coordinator)?;
            fs::write(scratch.path(), &json).map_err(disk)?;
            let projection = Hash::of(&json);
            coordinator.blobs.adopt(&scratch, projection).map_err(disk)?;
            Message::StatisticsDone { projection }
        }
    };
    coordinator.send(slot, &message).map(drop)
}

/// The common projection as JSON; `None` where the statistics allow none.
fn projection(definition: &Definition, sum: &BandSum) -> Option<Vec<u8>> {
    let options = definition.input.projection?;
    let fitted = projection_of_moments(&definition.title, &definition.input.wavelengths_nm, &options, sum.moments());
    match fitted.map(|projection| serde_json::to_vec(&projection)) {
        Ok(Ok(json)) => Some(json),
        Ok(Err(error)) => {
            tracing::error!(%error, "the projection has numbers that are none");
            None
        }
        Err(error) => {
            tracing::error!(%error, "the band statistics allow no projection");
            None
        }
    }
}

/// What one round is aggregated from and into.
fn job<'a>(
    coordinator: &Coordinator,
    slot: &Slot,
    definition: &'a Definition,
    number: u32,
    round: &Round,
    optimizer: Option<PathBuf>,
    [model_out, optimizer_out]: [&Scratch; 2],
) -> Result<Job<'a>, Refusal> {
    let mut updates = Vec::with_capacity(round.updates.len());
    for (&client, update) in &round.updates {
        let path = path(coordinator, update.blob)?;
        updates.push(Contribution { client, path, samples: update.samples, norm: update.norm });
    }
    Ok(Job {
        federation: slot.id,
        definition,
        round: number,
        model: (round.model, path(coordinator, round.model)?),
        optimizer,
        updates,
        model_out: model_out.path().into(),
        optimizer_out: optimizer_out.path().into(),
    })
}

/// Aggregates all finished rounds again, from the log and the kept updates (`privacy.keep_updates`); the models that come out,
/// round 1 first. They are those of the log, bit for bit.
///
/// # Errors
/// A [`Refusal`] when updates were not kept or the disk fails.
pub fn replay(coordinator: &Coordinator, slot: &Slot) -> Result<Vec<Hash>, Refusal> {
    let state = slot.state().clone();
    let (mut models, mut moments) = (Vec::new(), None::<Scratch>);
    for (number, round) in (1..).zip(&state.rounds).filter(|(_, round)| round.result.is_some()) {
        let (model_out, optimizer_out) = (scratch(coordinator)?, scratch(coordinator)?);
        let before = moments.as_ref().map(|moments| moments.path().to_owned());
        let job = job(coordinator, slot, &state.definition, number, round, before, [&model_out, &optimizer_out])?;
        let outcome = aggregate(&job).map_err(|error| Reason::StorageFailed.because(error))?;
        models.push(outcome.model);
        moments = outcome.optimizer.map(|_| optimizer_out);
    }
    Ok(models)
}

fn scratch(coordinator: &Coordinator) -> Result<Scratch, Refusal> {
    coordinator.blobs.scratch().map_err(disk)
}

/// A round of training.
fn aggregate_round(coordinator: &Coordinator, slot: &Slot, number: u32) -> Result<(), Refusal> {
    let (definition, optimizer, round) = {
        let state = slot.state();
        let round = state.get_round(number).ok_or(Reason::RoundUnknown)?;
        (state.definition.clone(), state.optimizer, round.clone())
    };
    let before = optimizer.map(|hash| path(coordinator, hash)).transpose()?;
    let (model_out, optimizer_out) = (scratch(coordinator)?, scratch(coordinator)?);
    let job = job(coordinator, slot, &definition, number, &round, before, [&model_out, &optimizer_out])?;
    match aggregate(&job) {
        Ok(Outcome { model, optimizer, targets }) => {
            // Stored for good before the log speaks of them.
            coordinator.blobs.adopt(&model_out, model).map_err(disk)?;
            if let Some(optimizer) = optimizer {
                coordinator.blobs.adopt(&optimizer_out, optimizer).map_err(disk)?;
            }
            coordinator.send(slot, &Message::Aggregated { round: number, model, optimizer, targets })?;
            // Where the host has ended the federation meanwhile, nobody needs them.
            coordinator.delete_unneeded([model].into_iter().chain(optimizer).collect());
            Ok(())
        }
        Err(AggregateError::Write(error)) => Err(disk(error)),
        Err(error) if error.is_final() => {
            tracing::error!(federation = %slot.id, round = number, %error, "the round has no result");
            coordinator.send(slot, &Message::Diverged { round: number }).map(drop)
        }
        Err(error) => Err(Reason::StorageFailed.because(error)),
    }
}
