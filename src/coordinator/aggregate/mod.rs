//! The updates of a round become the next model.
//!
//! A pure function of files: the model before, the accepted updates, the state of the server optimiser. It streams: a piece of
//! one tensor at a time is read from every update, so memory does not grow with the model, and with the number of clients by
//! a few kilobytes each only. Its result does not depend on the order of the updates, bit for bit (see `rule`), so
//! aggregating again, after a crash or from a kept history, gives the same file.

mod optimizer;
mod rule;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use optimizer::{Step, moments_layout};
use rule::Combiner;

use super::source::{PathSource, path_source};
use crate::federation::protocol::{
    self, Binding, ClientId, Definition, FederationId, Hash, LayerTarget, Layout, UpdateError, UpdatePlan, read_f32,
};
use crate::scene::SourceError;
use crate::scope::{Fusion, FusionError, Member, Scope, ScopeStatistics, Target, fuse, has_scope};

/// The header of a model is at most this long.
pub const MODEL_HEADER_MAX: u64 = 8 << 20;

/// Bytes of a tensor that is not trained, copied at once.
const COPIED: usize = 1 << 18;

/// What is aggregated.
pub struct Job<'a> {
    pub federation: FederationId,
    pub definition: &'a Definition,
    pub round: u32,
    /// Hash and file of the model with which the round began.
    pub model: (Hash, PathBuf),
    /// What the server optimiser left after the round before.
    pub optimizer: Option<PathBuf>,
    pub updates: Vec<Contribution>,
    /// Where the results are written; both files exist.
    pub model_out: PathBuf,
    pub optimizer_out: PathBuf,
}

/// One accepted update.
pub struct Contribution {
    pub client: ClientId,
    pub path: PathBuf,
    pub samples: u64,
    /// Its norm, where it was checked.
    pub norm: f64,
}

/// What came out.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub model: Hash,
    /// `None` where the server optimiser carries nothing.
    pub optimizer: Option<Hash>,
    /// Scopes for the next round.
    pub targets: Vec<LayerTarget>,
}

/// Why a round has no result.
#[derive(Debug, Error)]
pub enum AggregateError {
    #[error("weight {index} of {tensor} is no longer finite; the updates or the server's learning rate are too large")]
    Diverged { tensor: String, index: usize },
    #[error("an accepted file cannot be read any more: {0}")]
    File(#[from] UpdateError),
    #[error("the scopes cannot be fused: {0}")]
    Fusion(#[from] FusionError),
    #[error("the result cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl AggregateError {
    /// Whether trying again cannot help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Diverged { .. } | Self::Fusion(_) => true,
            Self::File(error) => error.reason() != protocol::Reason::StorageFailed,
            Self::Write(_) => false,
        }
    }
}

impl From<SourceError> for AggregateError {
    fn from(error: SourceError) -> Self {
        Self::File(error.into())
    }
}

impl From<protocol::TensorsError> for AggregateError {
    fn from(error: protocol::TensorsError) -> Self {
        Self::File(error.into())
    }
}

/// Aggregates a round into the files of the job, which are complete but not yet synced when it returns.
///
/// # Errors
/// [`AggregateError`]; the files hold nothing of use then.
pub fn aggregate(job: &Job<'_>) -> Result<Outcome, AggregateError> {
    let base = PathSource::open(&job.model.1)?;
    let layout = Layout::read(&base, MODEL_HEADER_MAX)?;
    let plan = UpdatePlan::new(job.definition, &layout)?;
    let mut opened = Vec::with_capacity(job.updates.len());
    for contribution in &job.updates {
        let binding =
            Binding { federation: job.federation, client: contribution.client, round: job.round, model: job.model.0 };
        opened.push(protocol::Update::open(path_source(&contribution.path)?, &plan, &binding)?);
    }
    let mut combiner = Combiner::new(&job.definition.algorithm, &job.updates);
    let piece = combiner.piece();

    let mut out = Hashed::create(&job.model_out)?;
    // The same header: tensors, types and places never change.
    copy(&job.model.1, 0, layout.data_at, &mut out)?;
    let moments = moments_layout(&job.definition.algorithm.server, &plan);
    let mut moments_out = if moments.is_empty() { None } else { Some(Hashed::create(&job.optimizer_out)?) };
    let moments_before = job.optimizer.as_deref().map(PathSource::open).transpose()?;
    let places = match &mut moments_out {
        None => Vec::new(),
        Some(file) => {
            let header = optimizer::header(&moments);
            file.write_all(&header)?;
            optimizer::places(&moments, header.len() as u64)
        }
    };

    let mut averaged = vec![Target { mean: 0.0, deviation: 0.0 }; plan.layers().count()];
    let layers: Vec<&str> = plan.layers().collect();
    let mut in_file: Vec<_> = layout.tensors.iter().collect();
    in_file.sort_by_key(|(_, tensor)| (tensor.at, tensor.bytes));
    // The optimiser's file lists its tensors by name; the model's may have another order, so moments are put in their place.
    for (name, tensor) in in_file {
        let Ok(index) = plan.tensors().binary_search_by(|(planned, _)| planned.as_str().cmp(name)) else {
            copy(&job.model.1, tensor.at, tensor.bytes, &mut out)?;
            continue;
        };
        let count = tensor.count();
        let mut scope = ScopeStatistics::default();
        for start in (0..count).step_by(piece) {
            let len = (count - start).min(piece);
            let mut weights = vec![0f32; len];
            read_f32(&base, tensor.at, start, &mut weights)?;
            let change = combiner.combine(&opened, index, start, len)?;
            let mut step = Step::new(&job.definition.algorithm.server, len);
            for (moment, &at) in places.get(index).into_iter().flatten().enumerate() {
                if let Some(before) = &moments_before {
                    read_f32(before, at, start, step.moment(moment))?;
                }
            }
            step.take(&mut weights, change);
            if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
                return Err(AggregateError::Diverged { tensor: name.clone(), index: start + at });
            }
            for (moment, &at) in places.get(index).into_iter().flatten().enumerate() {
                if let Some(file) = &mut moments_out {
                    file.put_at(at + start as u64 * 4, step.moment(moment))?;
                }
            }
            scope.add(&weights);
            out.put(&weights)?;
        }
        if has_scope(&tensor.shape)
            && let Some(layer) = layers.iter().position(|layer| layer == name)
            && let Some(scope) = scope.scope()
        {
            averaged[layer] = scope.target();
        }
    }
    let targets = fuse_scopes(job, &opened, &layers, &averaged)?;
    let optimizer = moments_out.map(|file| file.rehash(&job.optimizer_out)).transpose()?;
    Ok(Outcome { model: out.finish()?, optimizer, targets })
}

/// The target of each layer for the next round.
fn fuse_scopes(
    job: &Job<'_>,
    updates: &[protocol::Update<'_>],
    layers: &[&str],
    averaged: &[Target],
) -> Result<Vec<LayerTarget>, AggregateError> {
    let strategy = job.definition.algorithm.wsa.map_or(Fusion::default(), |wsa| wsa.fusion);
    let scopes = updates.iter().map(protocol::Update::scopes).collect::<Result<Vec<_>, _>>()?;
    let fused = layers.iter().enumerate().map(|(layer, name)| {
        let member = |(scopes, contribution): (&Vec<[f64; 4]>, &Contribution)| Member {
            scope: Target { mean: scopes[layer][0], deviation: scopes[layer][1] },
            samples: contribution.samples,
        };
        let members: Vec<Member> = scopes.iter().zip(&job.updates).map(member).collect();
        Ok(LayerTarget::new(name, fuse(strategy, &members, averaged[layer])?))
    });
    fused.collect()
}

/// The scopes of a model's trained layers: the targets of the first round.
///
/// # Errors
/// [`AggregateError`] when the file cannot be read or a layer is not finite.
pub fn scopes_of(path: &Path, layout: &Layout, plan: &UpdatePlan) -> Result<Vec<LayerTarget>, AggregateError> {
    let source = PathSource::open(path)?;
    let mut targets = Vec::new();
    let mut values = vec![0f32; rule::PIECE];
    for (name, tensor) in &layout.tensors {
        if plan.tensors().binary_search_by(|(planned, _)| planned.as_str().cmp(name)).is_err() {
            continue;
        }
        let count = tensor.count();
        let mut statistics = ScopeStatistics::default();
        for start in (0..count).step_by(values.len()) {
            let piece = &mut values[..(count - start).min(rule::PIECE)];
            read_f32(&source, tensor.at, start, piece)?;
            if let Some(at) = piece.iter().position(|weight| !weight.is_finite()) {
                return Err(AggregateError::Diverged { tensor: name.clone(), index: start + at });
            }
            statistics.add(piece);
        }
        if has_scope(&tensor.shape) {
            // Finite weights have a scope unless there are none.
            let none = Target { mean: 0.0, deviation: 0.0 };
            targets.push(LayerTarget::new(name, statistics.scope().map_or(none, |scope: Scope| scope.target())));
        }
    }
    Ok(targets)
}

/// Copies bytes of a file.
fn copy(from: &Path, at: u64, len: u64, out: &mut Hashed) -> io::Result<()> {
    let mut file = File::open(from)?;
    file.seek(SeekFrom::Start(at))?;
    let mut left = file.take(len);
    let mut piece = vec![0; COPIED];
    loop {
        let read = left.read(&mut piece)?;
        if read == 0 {
            return if left.limit() == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        out.write_all(&piece[..read])?;
    }
}

/// A file that is hashed while it is written.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashed {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), hash: Sha256::new() })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }

    fn put(&mut self, values: &[f32]) -> io::Result<()> {
        self.write_all(&bytes_of(values))
    }

    /// Out of order, so the hash has to be taken again: see [`Hashed::rehash`].
    fn put_at(&mut self, at: u64, values: &[f32]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(&bytes_of(values))
    }

    fn finish(mut self) -> io::Result<Hash> {
        self.file.flush()?;
        Ok(Hash(self.hash.finalize().into()))
    }

    fn rehash(mut self, path: &Path) -> io::Result<Hash> {
        self.file.flush()?;
        hash_file(path)
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// SHA-256 of a file.
///
/// # Errors
/// The file system's.
pub fn hash_file(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; COPIED];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Hash(hash.finalize().into())),
            read => hash.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests;
