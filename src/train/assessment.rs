//! A look at the validation pixels of a run's data, without augmentation.

use burn::tensor::{Device, Tensor, TensorData};

use super::augment::plain;
use super::data::TrainingData;
use super::error::TrainError;
use super::loss::picked;
use crate::model::HyperSigma;

/// What a network says of the validation pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// `confusion[truth][predicted]`, 0-based classes.
    pub confusion: Vec<Vec<u32>>,
    /// Mean cross entropy, neither weighted nor smoothed; 0 without pixels.
    pub loss: f64,
}

impl Assessment {
    /// `network` is outside autodiff, on `device`.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device fails.
    pub async fn of(network: &HyperSigma, data: &TrainingData, device: &Device) -> Result<Self, TrainError> {
        let ([height, width], classes) = (data.layout().size(), data.classes());
        let mut confusion = vec![vec![0; classes]; classes];
        let (mut loss, mut count) = (0.0f64, 0usize);
        for tile in data.tiles().iter().filter(|tile| !tile.val.is_empty()) {
            let sample = plain(&tile.area, &tile.cut, &tile.val);
            let input = TensorData::new(sample.pixels, [1, data.components(), height, width]);
            let logits = network.forward(Tensor::from_data(input, device)); // [1, K, H, W]
            let positions: Vec<u32> = sample.targets.iter().map(|target| target.0).collect();
            let scores = picked(logits, &positions).into_data_async().await?;
            let scores: Vec<f32> = scores.iter::<f32>().collect(); // [K, n]
            for (pixel, &(_, truth)) in sample.targets.iter().enumerate() {
                let of = |class: usize| f64::from(scores[class * positions.len() + pixel]);
                let largest = (0..classes).map(of).fold(f64::MIN, f64::max);
                let norm = (0..classes).map(|class| (of(class) - largest).exp()).sum::<f64>().ln();
                // Of equals the right one counts.
                let right = (of(truth) >= largest).then_some(truth);
                let predicted = right.or_else(|| (0..classes).find(|&class| of(class) >= largest));
                // Numbers that are none predict nothing; that is as wrong as another class.
                confusion[truth][predicted.unwrap_or((truth + 1) % classes)] += 1;
                loss += norm + largest - of(truth);
                count += 1;
            }
        }
        Ok(Self { confusion, loss: loss / count.max(1) as f64 })
    }

    /// Number of pixels.
    pub fn pixels(&self) -> u64 {
        self.confusion.iter().flatten().map(|&count| u64::from(count)).sum()
    }
}
