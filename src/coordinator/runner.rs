//! What the coordinator does by itself: time passes, and closed rounds are aggregated, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aggregate::{AggregateError, Contribution, Job, aggregate};
use super::machine::{Message, Phase, Round};
use super::service::{Coordinator, Slot};
use super::source::PathSource;
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
    let mut failed: BTreeMap<FederationId, Instant> = BTreeMap::new();
    loop {
        tokio::select! {
            () = coordinator.work.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
        failed.retain(|_, since| since.elapsed() < RETRY);
        for slot in coordinator.all() {
            let (coordinator, waits) = (coordinator.clone(), failed.contains_key(&slot.id));
            let id = slot.id;
            let worked = tokio::task::spawn_blocking(move || work(&coordinator, &slot, waits)).await;
            if !matches!(worked, Ok(Ok(()))) {
                failed.insert(id, Instant::now());
            }
        }
    }
}

/// What is to do for one federation now.
pub(super) fn work(coordinator: &Coordinator, slot: &Slot, waits: bool) -> Result<(), Refusal> {
    let phase = slot.state().phase;
    if matches!(phase, Phase::Gathering | Phase::Statistics | Phase::Training { .. }) {
        coordinator.send(slot, &Message::Tick)?;
    }
    let Phase::Aggregating { round } = slot.state().phase else { return Ok(()) };
    if waits {
        return Ok(());
    }
    let started = Instant::now();
    let done = if round == 0 { add_statistics(coordinator, slot) } else { aggregate_round(coordinator, slot, round) };
    match &done {
        Ok(()) => coordinator.metrics.aggregated(started.elapsed()),
        Err(refusal) => {
            coordinator.metrics.aggregation_failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
            let scratch = coordinator.blobs.scratch().map_err(disk)?;
            fs::write(&scratch, &json).map_err(disk)?;
            let projection = Hash::of(&json);
            coordinator.blobs.adopt(&scratch, projection).map_err(disk)?;
            Message::StatisticsDone { projection }
        }
    };
    coordinator.send(slot, &message)?;
    clean_up(coordinator, slot, statistics.into_values());
    Ok(())
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

/// What one round is aggregated from, with fresh scratch files for its results.
fn job<'a>(
    coordinator: &Coordinator,
    slot: &Slot,
    definition: &'a Definition,
    number: u32,
    round: &Round,
    optimizer: Option<PathBuf>,
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
        model_out: coordinator.blobs.scratch().map_err(disk)?,
        optimizer_out: coordinator.blobs.scratch().map_err(disk)?,
    })
}

/// Aggregates all finished rounds again, from the log and the kept updates (`privacy.keep_updates`); the models that come out,
/// round 1 first. They are those of the log, bit for bit.
///
/// # Errors
/// A [`Refusal`] when updates were not kept or the disk fails.
pub fn replay(coordinator: &Coordinator, slot: &Slot) -> Result<Vec<Hash>, Refusal> {
    let state = slot.state().clone();
    let (mut models, mut optimizer) = (Vec::new(), None::<PathBuf>);
    for (number, round) in (1..).zip(&state.rounds).filter(|(_, round)| round.result.is_some()) {
        let job = job(coordinator, slot, &state.definition, number, round, optimizer.take())?;
        let outcome = aggregate(&job).map_err(|error| Reason::StorageFailed.because(error))?;
        models.push(outcome.model);
        for used in [Some(&job.model_out), job.optimizer.as_ref()].into_iter().flatten() {
            fs::remove_file(used).map_err(disk)?;
        }
        optimizer = outcome.optimizer.map(|_| job.optimizer_out);
    }
    Ok(models)
}

/// A round of training.
fn aggregate_round(coordinator: &Coordinator, slot: &Slot, number: u32) -> Result<(), Refusal> {
    let (definition, optimizer, round) = {
        let state = slot.state();
        let round = state.get_round(number).ok_or(Reason::RoundUnknown)?;
        (state.definition.clone(), state.optimizer, round.clone())
    };
    let before = optimizer.map(|hash| path(coordinator, hash)).transpose()?;
    let job = job(coordinator, slot, &definition, number, &round, before)?;
    let result = aggregate(&job);
    let message = match result {
        Ok(outcome) => {
            // Stored for good before the log speaks of them.
            coordinator.blobs.adopt(&job.model_out, outcome.model).map_err(disk)?;
            if let Some(optimizer) = outcome.optimizer {
                coordinator.blobs.adopt(&job.optimizer_out, optimizer).map_err(disk)?;
            }
            let (model, optimizer, targets) = (outcome.model, outcome.optimizer, outcome.targets);
            Message::Aggregated { round: number, model, optimizer, targets }
        }
        Err(AggregateError::Write(error)) => return Err(disk(error)),
        Err(error) if error.is_final() => {
            tracing::error!(federation = %slot.id, round = number, %error, "the round has no result");
            Message::Diverged { round: number }
        }
        Err(error) => return Err(Reason::StorageFailed.because(error)),
    };
    for scratch in [&job.model_out, &job.optimizer_out] {
        // Adopted, or of no use.
        let _ = fs::remove_file(scratch);
    }
    coordinator.send(slot, &message)?;
    let single = round.updates.into_values().map(|update| update.blob).filter(|_| !definition.privacy.keep_updates);
    clean_up(coordinator, slot, single.chain(optimizer));
    Ok(())
}

/// Deletes what nobody needs any more. What is left after a crash goes at the next start.
fn clean_up(coordinator: &Coordinator, slot: &Slot, hashes: impl Iterator<Item = Hash>) {
    let state = slot.state().clone();
    let needed: std::collections::HashSet<Hash> = state.needed().collect();
    for hash in hashes.filter(|hash| !needed.contains(hash)) {
        if let Err(error) = coordinator.blobs.delete(hash) {
            tracing::warn!(%error, "a content could not be deleted");
        }
    }
    coordinator.discard_stale_uploads(&state);
}
