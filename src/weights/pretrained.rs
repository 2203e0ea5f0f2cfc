//! A weights file that a training starts from.

use std::cell::RefCell;

use sha2::{Digest, Sha256};

use super::conversion::{hexadecimal, notes};
use super::{Checkpoint, Counts, Description, LoadReport, Plan, Procedure, Take, TensorType, WeightsError, plan};
use crate::model::Config;
use crate::scene::SharedSource;

/// Bytes that are hashed at once.
const HASHED: u64 = 1 << 20;

/// A weights file, open: GGUF by the conversion, or any other whole checkpoint. Tensors are read when a network is built.
pub struct Pretrained {
    source: SharedSource,
    checkpoint: Checkpoint,
    hash: RefCell<Hash>,
}

#[derive(Clone)]
enum Hash {
    /// So many bytes are done.
    Reading(u64, Sha256),
    Known(String),
}

impl Pretrained {
    /// Opens a file; reads no numbers.
    ///
    /// # Errors
    /// [`WeightsError`] when it cannot be read or is none of HyperSIGMA.
    pub fn open(source: SharedSource) -> Result<Self, WeightsError> {
        let checkpoint = Checkpoint::open(std::slice::from_ref(&source), None)?;
        Ok(Self { source, checkpoint, hash: RefCell::new(Hash::Reading(0, Sha256::new())) })
    }

    /// The same for a file whose SHA-256 (in hexadecimal) has just been verified, so that it is not read again for that.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_verified(source: SharedSource, sha256: String) -> Result<Self, WeightsError> {
        Ok(Self { hash: RefCell::new(Hash::Known(sha256)), ..Self::open(source)? })
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.source.len()
    }

    /// What the file says about its network.
    pub fn description(&self) -> &Description {
        self.checkpoint.description()
    }

    /// Does the file have a tensor of this official name?
    pub fn holds(&self, name: &str) -> bool {
        self.checkpoint.found().iter().any(|found| found.name == name)
    }

    /// Which tensors `network` takes: the official procedure where the file is an official checkpoint, by names otherwise.
    ///
    /// # Errors
    /// [`WeightsError`] when the network is impossible or has other blocks than the file.
    pub fn plan(&self, network: &Config) -> Result<Plan, WeightsError> {
        let official = self.checkpoint.is_official_pretraining();
        let procedure = if official { Procedure::Frameworks } else { Procedure::Names };
        let known = &self.description().network;
        let grid = (known.patch > 0).then(|| known.grid());
        plan(self.name(), self.checkpoint.found(), grid, procedure, network)
    }

    /// What becomes of every tensor when `network` starts from this file.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn report(&self, network: &Config) -> Result<LoadReport, WeightsError> {
        let Description { origin, size, .. } = self.description();
        let tensors = self.plan(network)?.tensors;
        let mut inputs = self.checkpoint.inputs();
        if let Hash::Known(hash) = &*self.hash.borrow() {
            inputs[0].sha256 = Some(hash.clone());
        }
        Ok(LoadReport {
            inputs,
            origin: *origin,
            size: size.clone(),
            quantization: None,
            bytes: 0,
            counts: Counts::of(&tensors),
            notes: notes(&tensors, network, *origin),
            network: network.clone(),
            tensors,
        })
    }

    /// All numbers of a tensor of a plan of this file, in the shape of the network.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read.
    pub fn values(&self, take: &Take) -> Result<Vec<f32>, WeightsError> {
        self.checkpoint.values(take)
    }

    /// The bytes of a tensor of a plan as they lie in the file; `None` in formats that are not ggml's.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read.
    pub fn stored(&self, take: &Take) -> Result<Option<(TensorType, Vec<u8>)>, WeightsError> {
        self.checkpoint.stored(take)
    }

    /// Reads the next MiB for [`sha256`](Self::sha256); false when the hash is known.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read.
    pub fn hash_next(&self) -> Result<bool, WeightsError> {
        let mut hash = self.hash.borrow_mut();
        let Hash::Reading(at, hasher) = &mut *hash else { return Ok(false) };
        let mut bytes = vec![0; (self.source.len() - *at).min(HASHED) as usize];
        self.source.read_at(*at, &mut bytes)?;
        hasher.update(&bytes);
        *at += bytes.len() as u64;
        if *at == self.source.len() {
            let known = hexadecimal(&hasher.clone().finalize());
            *hash = Hash::Known(known);
        }
        Ok(true)
    }

    /// SHA-256 of the file in hexadecimal; reads what has not been hashed yet.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read.
    pub fn sha256(&self) -> Result<String, WeightsError> {
        loop {
            if let Hash::Known(hash) = &*self.hash.borrow() {
                return Ok(hash.clone());
            }
            self.hash_next()?;
        }
    }
}
