//! How good the weights of a running training are, on pixels that it does not learn from.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::assessment::Assessment;
use super::error::TrainError;
use super::parameters::with_values;
use super::trainer::Trainer;

/// A look at the validation pixels, without augmentation, by the weights that would map now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Share of the pixels that are right, 0..=1.
    pub accuracy: f32,
    /// Mean cross entropy, neither weighted nor smoothed.
    pub loss: f32,
}

impl Validation {
    /// Higher accuracy; with equal accuracy lower loss.
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy == other.accuracy && self.loss < other.loss)
    }
}

impl Trainer {
    /// How good the weights that would map now are on the validation pixels.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the step before or the device failed.
    pub async fn assess(&self) -> Result<Assessment, TrainError> {
        let model = with_values(self.model()?.valid(), &self.names, &self.current());
        Assessment::of(&model, &self.data, &self.device.clone().inner()).await
    }

    pub(super) async fn validate(&self) -> Result<Validation, TrainError> {
        let Assessment { confusion, loss } = self.assess().await?;
        let right: u32 = confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
        let count = confusion.iter().flatten().sum::<u32>().max(1);
        Ok(Validation { accuracy: right as f32 / count as f32, loss: loss as f32 })
    }
}
