//! Cross entropy on the labelled pixels of a tile.

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};

/// Weights of the classes: 1 each, or inversely proportional to their number of training pixels with mean 1 over the
/// pixels. Classes without training pixels weigh 0 when balanced.
pub fn class_weights(counts: &[usize], balanced: bool) -> Vec<f32> {
    if !balanced {
        return vec![1.0; counts.len()];
    }
    let pixels: usize = counts.iter().sum();
    let present = counts.iter().filter(|&&count| count > 0).count().max(1);
    let weight = |&count: &usize| if count == 0 { 0.0 } else { pixels as f32 / (present * count) as f32 };
    counts.iter().map(weight).collect()
}

/// What the loss wants of one tile, on the device.
pub struct Targets {
    /// Row-major positions of the labelled pixels in the tile, `[n]`.
    positions: Tensor<1, Int>,
    /// Share of each class in each pixel's target, times the pixel's weight over the sum of all weights, `[classes, n]`.
    shares: Tensor<2>,
}

impl Targets {
    /// Targets of `pixels` (position in the tile, 0-based class), or `None` without any that weighs something.
    ///
    /// As PyTorch's `cross_entropy` with `weight` and `label_smoothing`: pixel i of class y contributes
    /// `(1 - s) · w_y · -log p_y + s / K · Σ_c w_c · -log p_c`, and the sum is divided by `Σ_i w_y`.
    pub fn new(pixels: &[(u32, usize)], weights: &[f32], smoothing: f32, device: &Device) -> Option<Self> {
        let total: f32 = pixels.iter().map(|&(_, class)| weights[class]).sum();
        if total <= 0.0 {
            return None;
        }
        let (classes, count) = (weights.len(), pixels.len());
        let mut shares = vec![0.0f32; classes * count];
        for (row, &weight) in shares.chunks_exact_mut(count).zip(weights) {
            row.fill(smoothing / classes as f32 * weight / total);
        }
        for (pixel, &(_, class)) in pixels.iter().enumerate() {
            shares[class * count + pixel] += (1.0 - smoothing) * weights[class] / total;
        }
        let positions: Vec<i32> = pixels.iter().map(|&(position, _)| position as i32).collect();
        Some(Self {
            positions: Tensor::from_data(TensorData::new(positions, [count]), device),
            shares: Tensor::from_data(TensorData::new(shares, [classes, count]), device),
        })
    }

    /// The mean loss, `[1]`, of logits `[1, classes, height, width]`.
    pub fn cross_entropy(&self, logits: Tensor<4>) -> Tensor<1> {
        let picked = pick(logits, self.positions.clone()); // [classes, n]
        log_softmax(picked, 0).mul(self.shares.clone()).sum().neg()
    }
}

/// The logits `[classes, n]` at n row-major positions of `[1, classes, height, width]`.
pub fn picked(logits: Tensor<4>, positions: &[u32]) -> Tensor<2> {
    let positions: Vec<i32> = positions.iter().map(|&position| position as i32).collect();
    let count = positions.len();
    let positions = Tensor::from_data(TensorData::new(positions, [count]), &logits.device());
    pick(logits, positions)
}

fn pick(logits: Tensor<4>, positions: Tensor<1, Int>) -> Tensor<2> {
    let [_, classes, height, width] = logits.dims();
    logits.reshape([classes, height * width]).select(1, positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_give_every_class_the_same_say() {
        let weights = class_weights(&[10, 5, 0, 1], true);
        assert_eq!(weights[2], 0.0);
        let says: Vec<f32> = weights.iter().zip([10.0, 5.0, 0.0, 1.0]).map(|(weight, count)| weight * count).collect();
        assert!((says[0] - says[1]).abs() < 1e-6 && (says[1] - says[3]).abs() < 1e-6);
        assert!((says.iter().sum::<f32>() - 16.0).abs() < 1e-5);
        assert_eq!(class_weights(&[10, 5, 0], false), [1.0, 1.0, 1.0]);
    }

    /// Against the formula written out in float64.
    #[test]
    fn equals_the_formula_with_weights_and_smoothing() {
        let device = Device::flex();
        let logits: Vec<f32> = (0..3 * 6).map(|i| ((i * 7 % 11) as f32 - 5.0) / 3.0).collect();
        let (pixels, weights, smoothing) = ([(1u32, 0usize), (4, 2), (5, 2)], [0.5f32, 1.0, 2.0], 0.1f32);
        let tensor = Tensor::<4>::from_data(TensorData::new(logits.clone(), [1, 3, 2, 3]), &device);
        let targets = Targets::new(&pixels, &weights, smoothing, &device).unwrap();
        let loss: f32 = targets.cross_entropy(tensor).into_scalar();

        let (mut sum, mut total) = (0.0f64, 0.0f64);
        for (position, class) in pixels {
            let scores: Vec<f64> = (0..3).map(|c| f64::from(logits[c * 6 + position as usize])).collect();
            let norm = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
            let nll = |c: usize| norm - scores[c];
            let smooth: f64 = (0..3).map(|c| f64::from(weights[c]) * nll(c)).sum::<f64>() / 3.0;
            let weight = f64::from(weights[class]);
            sum += (1.0 - f64::from(smoothing)) * weight * nll(class) + f64::from(smoothing) * smooth;
            total += weight;
        }
        assert!((f64::from(loss) - sum / total).abs() < 1e-6, "{loss} {}", sum / total);
    }

    #[test]
    fn nothing_to_learn_is_no_target() {
        assert!(Targets::new(&[], &[1.0, 1.0], 0.0, &Device::flex()).is_none());
        assert!(Targets::new(&[(3, 1)], &[1.0, 0.0], 0.0, &Device::flex()).is_none());
    }
}
