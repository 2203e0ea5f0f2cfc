//! A run as bytes, and back: everything that a run continues from, exactly.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::error::TrainError;
use super::parameters::{Values, WeightAverage, read, upload, values, with_values};
use super::trainer::{Kept, Progress, Trainer, Validation};

/// Rises whenever [`Checkpoint`] changes.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    config: TrainConfig,
    /// Of scene cut and labels.
    fingerprint: u64,
    /// SHA-256 of the weights that the run started from; of them only what is trained is here.
    base: Option<String>,
    progress: Progress,
    steps: u32,
    weights: Numbers,
    moments: Numbers,
    average: Option<Numbers>,
    kept: Option<(usize, Option<Validation>, Numbers)>,
}

/// Named values as little-endian bytes.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Numbers(Vec<(String, serde_bytes::ByteBuf)>);

impl Numbers {
    pub(super) fn decode(self) -> Result<BTreeMap<String, Vec<f32>>, TrainError> {
        let numbers = |(name, bytes): (String, serde_bytes::ByteBuf)| {
            let (chunks, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(TrainError::Checkpoint(format!("{name} is cut short")));
            }
            Ok((name, chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()))
        };
        self.0.into_iter().map(numbers).collect()
    }
}

/// Tensors waiting to be read in one go.
#[derive(Default)]
pub(super) struct Pending {
    names: Vec<String>,
    tensors: Vec<Tensor<1>>,
}

impl Pending {
    /// Adds tensors; gives their number.
    pub(super) fn add(&mut self, values: impl IntoIterator<Item = (String, Tensor<1>)>) -> usize {
        let before = self.names.len();
        for (name, tensor) in values {
            self.names.push(name);
            self.tensors.push(tensor);
        }
        self.names.len() - before
    }

    /// Reads them and takes them apart again, as many for each as [`add`](Self::add) said.
    pub(super) async fn read<const N: usize>(self, counts: [usize; N]) -> Result<[Numbers; N], TrainError> {
        let data = read(self.tensors).await?;
        let mut named = self.names.into_iter().zip(data).map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, serde_bytes::ByteBuf::from(bytes))
        });
        Ok(counts.map(|count| Numbers(named.by_ref().take(count).collect())))
    }
}

impl Trainer {
    /// The run as bytes: trained weights, their moments, running average, best weights and history. Between two epochs only: steps of a
    /// running epoch are not kept and are taken again after [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        let mut pending = Pending::default();
        let counts = [
            pending.add(self.model.iter().flat_map(|model| values(model, &self.names))),
            pending.add(self.optimizer.state()),
            pending.add(self.average.iter().flat_map(|average| average.values().clone())),
            pending.add(self.kept.iter().flat_map(|kept| kept.values.clone())),
        ];
        let [weights, moments, average, kept] = pending.read(counts).await?;
        let checkpoint = Checkpoint {
            version: VERSION,
            config: self.config.clone(),
            fingerprint: self.data.fingerprint(),
            base: self.base().map(|base| base.sha256.clone()),
            progress: self.progress.clone(),
            steps: self.optimizer.steps(),
            weights,
            moments,
            average: self.average.is_some().then_some(average),
            kept: self.kept.as_ref().map(|own| (own.epoch, own.validation, kept)),
        };
        postcard::to_stdvec(&checkpoint).map_err(|error| TrainError::Checkpoint(error.to_string()))
    }

    /// Continues from [`checkpoint`](Self::checkpoint)'s bytes; on the same device the rest of the run is the same bit for
    /// bit as if it had never been interrupted. The trainer must have been made with the same settings, scene and split.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the bytes are broken, from another version, or belong to another scene, split or
    /// settings; the trainer should not be used then.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let broken = |what: &str| TrainError::Checkpoint(what.to_owned());
        let (version, _) = postcard::take_from_bytes::<u32>(bytes).map_err(|_| broken("it is broken"))?;
        if version != VERSION {
            return Err(broken("it was made by another version of this program"));
        }
        let checkpoint: Checkpoint = postcard::from_bytes(bytes).map_err(|_| broken("it is broken"))?;
        if checkpoint.fingerprint != self.data.fingerprint() {
            return Err(broken("it belongs to another scene or other labels"));
        }
        if checkpoint.base.as_ref() != self.base().map(|base| &base.sha256) {
            return Err(broken("it started from other weights"));
        }
        if checkpoint.config != self.config {
            return Err(broken("it was made with other settings"));
        }
        let inner = self.device.clone().inner();
        let on_device = |numbers: Numbers| -> Result<Values, TrainError> { Ok(upload(&numbers.decode()?, &inner)) };
        let weights = on_device(checkpoint.weights)?;
        let Some(model) = self.model.take() else { return Err(broken("it is broken")) };
        let expected = values(&model, &self.names);
        let fits = |found: &Values| {
            found.len() == expected.len()
                && expected.iter().all(|(name, own)| found.get(name).is_some_and(|other| other.dims() == own.dims()))
        };
        if !fits(&weights) {
            return Err(broken("its weights do not fit the network"));
        }
        self.model = Some(with_values(model, &self.names, &weights));
        let moments = checkpoint.moments.decode()?.into_iter().collect();
        self.optimizer
            .restore(checkpoint.steps, moments, &inner)
            .map_err(|name| TrainError::Checkpoint(format!("the optimiser's state of {name} is broken")))?;
        if let Some(average) = checkpoint.average {
            let average = on_device(average)?;
            if !fits(&average) {
                return Err(broken("its averaged weights do not fit the network"));
            }
            self.average = Some(WeightAverage::new(self.config.weight_average, average));
        }
        if let Some((epoch, validation, kept)) = checkpoint.kept {
            let values = on_device(kept)?;
            if !fits(&values) {
                return Err(broken("its best weights do not fit the network"));
            }
            self.kept = Some(Kept { epoch, validation, values });
        }
        self.progress = checkpoint.progress;
        self.restart_epoch();
        Ok(())
    }
}
