//! Linear resampling along an axis as multiplication with a constant matrix: the same on every device, forward and
//! backward.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// Bilinear resizing of maps with corners aligned.
#[derive(Module, Debug)]
pub struct Upsample {
    /// `[H, h]`
    rows: Tensor<2>,
    /// `[w, W]`
    cols: Tensor<2>,
    unchanged: bool,
}

impl Upsample {
    /// From maps of `from` = `[h, w]` to maps of `to` = `[H, W]`.
    pub fn new(from: [usize; 2], to: [usize; 2], device: &Device) -> Self {
        let rows = TensorData::new(aligned(from[0], to[0]), [to[0], from[0]]);
        let cols = TensorData::new(aligned(from[1], to[1]), [to[1], from[1]]);
        Self {
            rows: Tensor::from_data(rows, device),
            cols: Tensor::<2>::from_data(cols, device).transpose(),
            unchanged: from == to,
        }
    }

    /// `[B, K, h, w]` → `[B, K, H, W]`
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        if self.unchanged {
            return maps;
        }
        let [batch, channels, h, w] = maps.dims();
        let [height, _] = self.rows.dims();
        let [_, width] = self.cols.dims();
        let wide = maps.reshape([batch * channels * h, w]).matmul(self.cols.clone()); // [B * K * h, W]
        let wide = wide.reshape([batch * channels, h, width]);
        let full = self.rows.clone().unsqueeze::<3>().matmul(wide); // [B * K, H, W]
        full.reshape([batch, channels, height, width])
    }
}

/// Weights `[to, from]` of linear interpolation with the first and last samples on top of each other.
///
/// As PyTorch does, places are computed in float32.
fn aligned(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    let step = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
    for (i, row) in weights.chunks_exact_mut(from).enumerate() {
        let place = step * i as f32;
        let below = (place as usize).min(from - 1);
        let above = (below + 1).min(from - 1);
        let share = place - below as f32;
        row[below] += 1.0 - share;
        row[above] += share;
    }
    weights
}

/// Weights `[to, from]` of adaptive averaging: output t is the mean of inputs floor(t n / T) .. ceil((t + 1) n / T).
/// Fewer inputs than outputs are repeated or blended.
pub fn adaptive_average(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    for (t, row) in weights.chunks_exact_mut(from).enumerate() {
        let range = t * from / to..((t + 1) * from).div_ceil(to);
        let share = 1.0 / range.len() as f32;
        row[range].fill(share);
    }
    weights
}
