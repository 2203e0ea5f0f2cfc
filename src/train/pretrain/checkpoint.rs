//! A pre-training run as bytes, and back.

use serde::{Deserialize, Serialize};

use super::super::error::TrainError;
use super::super::parameters::{WeightAverage, values};
use super::super::snapshot::{Learned, Numbers, decode, unusable};
use super::config::PretrainConfig;
use super::run::{PretrainReport, Pretrainer};

/// Rises whenever [`Checkpoint`] changes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    config: PretrainConfig,
    history: Vec<PretrainReport>,
    learned: Learned,
    average: Numbers,
}

impl Pretrainer {
    /// The run as bytes, between two epochs; steps of a running epoch are taken again after [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        let groups = [
            self.model.iter().flat_map(|model| values(model, &self.names)).collect(),
            self.optimizer.state(),
            self.average.values().clone().into_iter().collect(),
        ];
        let [weights, moments, average] = Numbers::read(groups).await?;
        let checkpoint = Checkpoint {
            version: VERSION,
            config: self.config.clone(),
            history: self.history.clone(),
            learned: Learned { steps: self.optimizer.steps(), weights, moments },
            average,
        };
        postcard::to_stdvec(&checkpoint).map_err(|error| TrainError::Checkpoint(error.to_string()))
    }

    /// Continues from [`checkpoint`](Self::checkpoint)'s bytes; on the same device the rest of the run is the same bit for
    /// bit as if it had never been interrupted. The run must have been made with the same settings.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the bytes are broken, from another version, or belong to other settings; the run
    /// should not be used then.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let checkpoint: Checkpoint = decode(bytes, VERSION)?;
        if checkpoint.config != self.config {
            return Err(unusable("it was made with other settings"));
        }
        let inner = self.device.clone().inner();
        let Some(model) = self.model.take() else { return Err(unusable("the step before failed")) };
        let model = checkpoint.learned.restore(model, &self.names, &mut self.optimizer, &inner)?;
        let average = checkpoint.average.restore(&values(&model, &self.names), "averaged weights", &inner)?;
        self.model = Some(model);
        self.average = WeightAverage::new(self.config.weight_average, average);
        self.history = checkpoint.history;
        self.restart_epoch();
        Ok(())
    }
}
