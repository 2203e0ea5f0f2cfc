//! How good the weights of a running training are, on pixels that it does not learn from.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::augment::plain;
use super::error::TrainError;
use super::loss::picked;
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
    /// Looks at the validation pixels.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device fails.
    pub(super) async fn validate(&self) -> Result<Validation, TrainError> {
        let model = with_values(self.model()?.valid(), &self.names, &self.current());
        let device = self.device.clone().inner();
        let (mut right, mut loss, mut count) = (0usize, 0.0f64, 0usize);
        for tile in self.data.tiles().iter().filter(|tile| !tile.val.is_empty()) {
            let sample = plain(&tile.area, &tile.cut, &tile.val);
            let targets = sample.targets.clone();
            let input = self.input(sample).to_device(&device);
            let logits = model.forward(input); // [1, K, H, W]
            let positions: Vec<u32> = targets.iter().map(|target| target.0).collect();
            let scores = picked(logits, &positions).into_data_async().await?;
            let scores: Vec<f32> = scores.iter::<f32>().collect(); // [K, n]
            for (pixel, &(_, class)) in targets.iter().enumerate() {
                let of = |class: usize| f64::from(scores[class * targets.len() + pixel]);
                let largest = (0..self.data.classes()).map(of).fold(f64::MIN, f64::max);
                let norm = (0..self.data.classes()).map(|class| (of(class) - largest).exp()).sum::<f64>().ln();
                right += usize::from(of(class) >= largest);
                loss += norm + largest - of(class);
                count += 1;
            }
        }
        let count = count.max(1);
        Ok(Validation { accuracy: right as f32 / count as f32, loss: (loss / count as f64) as f32 })
    }
}
