//! Uploads: chunks, and what is checked before an upload counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;

use super::super::aggregate::{AggregateError, MODEL_HEADER_MAX, scopes_of};
use super::super::machine::{self, Message};
use super::super::service::{Coordinator, plan_of};
use super::super::slot::Slot;
use super::super::source::{PathSource, path_source};
use super::super::uploads::{self, disk};
use super::endpoint::Upload;
use super::handlers::blocking;
use super::{body, json, told};
use crate::federation::protocol::{
    BandStatistics, Binding, CHUNK_BYTES, ClientId, FinishUpload, Hash, Layout, Reason, Received, Refusal, Update,
    UpdateError, statistics_bytes,
};

/// How long a finished upload waits for its check.
const TURN: Duration = Duration::from_secs(30);

/// Who uploads what, where.
#[derive(Clone, Copy)]
pub(in crate::coordinator) struct Transfer {
    upload: Upload,
    /// All zeros for the host.
    client: ClientId,
}

impl Transfer {
    pub(in crate::coordinator) fn new(upload: Upload, client: Option<ClientId>) -> Self {
        Self { upload, client: client.unwrap_or(ClientId([0; 8])) }
    }

    /// The folder of its chunks. Begins with the round, so that those of past rounds are found.
    pub(in crate::coordinator) fn folder(&self, coordinator: &Coordinator, slot: &Slot) -> PathBuf {
        let name = match self.upload {
            Upload::Model => "model".to_owned(),
            Upload::Statistics => format!("0-{}", self.client),
            Upload::Update { round } => format!("{round}-{}", self.client),
        };
        coordinator.blobs.upload(slot.id, &name)
    }

    /// The longest upload that can be right.
    fn max(&self, slot: &Slot) -> Result<u64, Reason> {
        let definition = slot.definition();
        Ok(match self.upload {
            Upload::Model => definition.model.weights.bytes,
            Upload::Statistics => statistics_bytes(definition.input.wavelengths_nm.len()),
            Upload::Update { .. } => slot.plan.get().ok_or(Reason::ModelMissing)?.bytes_max(),
        })
    }

    /// The message that follows when this content is right.
    fn message(&self, finish: &FinishUpload, norm: f64) -> Message {
        let (client, blob) = (self.client, finish.sha256);
        match self.upload {
            Upload::Model => Message::ModelStored { targets: Vec::new() },
            Upload::Statistics => Message::Statistics { client, blob },
            Upload::Update { round } => {
                let update = machine::Update { blob, samples: finish.samples, norm, metrics: finish.metrics };
                Message::Update { client, round, update }
            }
        }
    }

    /// Whether such an upload is wanted now, before anything of it is stored.
    fn is_wanted(&self, coordinator: &Coordinator, slot: &Slot) -> Result<(), Reason> {
        let nothing = FinishUpload { sha256: Hash([0; 32]), bytes: 0, samples: 1, metrics: None };
        match coordinator.ask(slot, &self.message(&nothing, 0.0))? {
            Reason::Duplicate => Err(Reason::AlreadySubmitted),
            _ => Ok(()),
        }
    }
}

pub(super) async fn chunk(
    coordinator: &Arc<Coordinator>,
    slot: &Arc<Slot>,
    client: Option<ClientId>,
    upload: Upload,
    index: u32,
    request: Request,
) -> Result<Response, Refusal> {
    let transfer = Transfer::new(upload, client);
    transfer.is_wanted(coordinator, slot)?;
    let chunks = uploads::chunks(transfer.max(slot)?);
    if u64::from(index) >= chunks {
        return Err(Reason::UploadTooLarge.because(format!("at most {chunks} chunks")));
    }
    let bytes = body::bytes(coordinator, request, CHUNK_BYTES as usize).await?;
    let folder = transfer.folder(coordinator, slot);
    blocking(move || uploads::put_chunk(&folder, index, &bytes)).await?;
    Ok(told(coordinator, Reason::Stored))
}

pub(super) async fn received(
    coordinator: &Arc<Coordinator>,
    slot: &Arc<Slot>,
    client: Option<ClientId>,
    upload: Upload,
) -> Result<Response, Refusal> {
    let transfer = Transfer::new(upload, client);
    let accepted = {
        let state = slot.state();
        match upload {
            Upload::Model => state.model.map(|_| state.definition.model.weights.sha256),
            Upload::Statistics => state.statistics.get(&transfer.client).copied(),
            Upload::Update { round } => {
                let round = state.get_round(round).ok_or(Reason::RoundUnknown)?;
                round.updates.get(&transfer.client).map(|update| update.blob)
            }
        }
    };
    let folder = transfer.folder(coordinator, slot);
    let received = blocking(move || uploads::received(&folder)).await?;
    Ok(json(Reason::Done, &Received { chunk_bytes: CHUNK_BYTES, received, accepted }))
}

pub(super) async fn finish(
    coordinator: &Arc<Coordinator>,
    slot: &Arc<Slot>,
    client: Option<ClientId>,
    upload: Upload,
    request: Request,
) -> Result<Response, Refusal> {
    let transfer = Transfer::new(upload, client);
    let finish: FinishUpload = body::json(coordinator, request).await?;
    // One at a time: of two contents of which one will count, neither can take the other's place.
    let checking = slot.check(transfer.client).ok_or(Reason::Busy)?;
    let expected = slot.definition().model.weights.sha256;
    if transfer.upload == Upload::Model && finish.sha256 != expected {
        let folder = transfer.folder(coordinator, slot);
        blocking(move || {
            uploads::discard(&folder);
            Ok(())
        })
        .await?;
        return Err(Reason::HashMismatch.because(format!("the federation was defined with {expected}")));
    }
    // The answer that needs no look at the content: a duplicate, a late one, a wrong number of samples.
    if coordinator.ask(slot, &transfer.message(&finish, 0.0))? == Reason::Duplicate {
        return Ok(told(coordinator, Reason::Duplicate));
    }
    let max = transfer.max(slot)?;
    if finish.bytes > max {
        return Err(Reason::UploadTooLarge.because(format!("at most {max} bytes")));
    }
    let turn = tokio::time::timeout(TURN, coordinator.checks.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = turn else { return Err(Reason::Busy.into()) };
    let (submitting, submitted) = (coordinator.clone(), slot.clone());
    // In one piece: it comes to its end also when the connection breaks, so nothing is left half done.
    let reason = blocking(move || {
        let _until_done = (checking, permit);
        submit(&submitting, &submitted, &transfer, &finish)
    })
    .await?;
    Ok(told(coordinator, reason))
}

/// Checks an upload, makes it a content, and lets it count. What is refused leaves no content behind; chunks that can never count
/// are forgotten, others (while the federation is paused) are kept.
pub(in crate::coordinator) fn submit(
    coordinator: &Coordinator,
    slot: &Slot,
    transfer: &Transfer,
    finish: &FinishUpload,
) -> Result<Reason, Refusal> {
    let folder = transfer.folder(coordinator, slot);
    let forget = |refusal: &Refusal| {
        if !matches!(refusal.reason, Reason::ChunksMissing | Reason::StorageFailed) {
            uploads::discard(&folder);
        }
    };
    let scratch = uploads::assemble(coordinator.blobs.as_ref(), &folder, finish).inspect_err(forget)?;
    let checked = match transfer.upload {
        Upload::Model => check_model(slot, scratch.path()),
        Upload::Statistics => check_statistics(slot, transfer, scratch.path()).map(|()| transfer.message(finish, 0.0)),
        Upload::Update { round } => {
            check_update(slot, transfer, round, scratch.path()).map(|norm| transfer.message(finish, norm))
        }
    };
    let message = checked.inspect_err(forget)?;
    coordinator.blobs.adopt(&scratch, finish.sha256).map_err(disk)?;
    let sent = coordinator.send(slot, &message);
    match &sent {
        Ok(_) => uploads::discard(&folder),
        // Whether a failing store holds the event is not known before it is read again.
        Err(refusal) if refusal.reason == Reason::StorageFailed => {}
        Err(_) => coordinator.delete_unneeded(vec![finish.sha256]),
    }
    sent
}

fn check_model(slot: &Slot, path: &Path) -> Result<Message, Refusal> {
    let definition = slot.definition();
    let plan = plan_of(path, &definition)?;
    let malformed = |error: &dyn std::fmt::Display| Reason::TensorsMalformed.because(error);
    let source = PathSource::open(path).map_err(|error| malformed(&error))?;
    let layout = Layout::read(&source, MODEL_HEADER_MAX).map_err(|error| malformed(&error))?;
    let targets = scopes_of(path, &layout, &plan).map_err(|error| match &error {
        AggregateError::File(file) => file.reason().because(error),
        _ => Reason::NotFinite.because(error),
    })?;
    // There is one model; another thread may have set the same plan.
    let _ = slot.plan.set(plan);
    Ok(Message::ModelStored { targets })
}

fn check_statistics(slot: &Slot, transfer: &Transfer, path: &Path) -> Result<(), Refusal> {
    let bands = slot.definition().input.wavelengths_nm.len();
    let binding = Binding { federation: slot.id, client: transfer.client, round: 0, model: Hash([0; 32]) };
    let source = PathSource::open(path).map_err(|error| Reason::StorageFailed.because(error))?;
    let read = BandStatistics::read(&source, bands, &binding).map_err(|error| error.reason().because(&error))?;
    drop(read);
    Ok(())
}

/// The norm of an update that may count.
fn check_update(slot: &Slot, transfer: &Transfer, round: u32, path: &Path) -> Result<f64, Refusal> {
    let plan = slot.plan.get().ok_or(Reason::ModelMissing)?;
    let model = slot.state().get_round(round).ok_or(Reason::RoundUnknown)?.model;
    let binding = Binding { federation: slot.id, client: transfer.client, round, model };
    let refused = |error: UpdateError| error.reason().because(&error);
    let source = path_source(path).map_err(|error| refused(error.into()))?;
    let update = Update::open(source, plan, &binding).map_err(refused)?;
    Ok(update.check(slot.definition().limits.max_norm).map_err(refused)?.norm)
}
