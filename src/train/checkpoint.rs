//! A run as bytes, and back: everything that a run continues from, exactly.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::error::TrainError;
use super::parameters::{WeightAverage, values};
use super::snapshot::{Learned, Numbers, decode, unusable};
use super::trainer::{Kept, Progress, Trainer};
use super::validation::Validation;

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
    learned: Learned,
    average: Option<Numbers>,
    kept: Option<(usize, Option<Validation>, Numbers)>,
}

impl Trainer {
    /// The run as bytes: trained weights, their moments, running average, best weights and history. Between two epochs only: steps of a
    /// running epoch are not kept and are taken again after [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        let groups = [
            self.model.iter().flat_map(|model| values(model, &self.names)).collect(),
            self.optimizer.state(),
            self.average.iter().flat_map(|average| average.values().clone()).collect(),
            self.kept.iter().flat_map(|kept| kept.values.clone()).collect(),
        ];
        let [weights, moments, average, kept] = Numbers::read(groups).await?;
        let checkpoint = Checkpoint {
            version: VERSION,
            config: self.config.clone(),
            fingerprint: self.data.fingerprint(),
            base: self.base().map(|base| base.sha256.clone()),
            progress: self.progress.clone(),
            learned: Learned { steps: self.optimizer.steps(), weights, moments },
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
        let checkpoint: Checkpoint = decode(bytes, VERSION)?;
        if checkpoint.fingerprint != self.data.fingerprint() {
            return Err(unusable("it belongs to another scene or other labels"));
        }
        if checkpoint.base.as_ref() != self.base().map(|base| &base.sha256) {
            return Err(unusable("it started from other weights"));
        }
        if checkpoint.config != self.config {
            return Err(unusable("it was made with other settings"));
        }
        let inner = self.device.clone().inner();
        let Some(model) = self.model.take() else { return Err(unusable("the step before failed")) };
        let model = checkpoint.learned.restore(model, &self.names, &mut self.optimizer, &inner)?;
        let own = values(&model, &self.names);
        self.model = Some(model);
        if let Some(average) = checkpoint.average {
            let average = average.restore(&own, "averaged weights", &inner)?;
            self.average = Some(WeightAverage::new(self.config.weight_average, average));
        }
        if let Some((epoch, validation, kept)) = checkpoint.kept {
            let values = kept.restore(&own, "best weights", &inner)?;
            self.kept = Some(Kept { epoch, validation, values });
        }
        self.progress = checkpoint.progress;
        self.restart_epoch();
        Ok(())
    }
}
