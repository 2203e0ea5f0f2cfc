//! Features of several scales out of block outputs of one scale.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

use super::config::Scale;
use super::parameters::{Builder, ParameterError};

/// Brings a block output to its own scale (SpatViT_fusion.py:445-511).
#[derive(Module, Debug)]
pub struct Level {
    /// Doubles the grid.
    double: Option<Double>,
    /// Takes the maximum over squares of this side; 1 keeps the map.
    pool: usize,
}

/// Transposed convolution, 2 × 2 with stride 2: every token becomes a square of four.
#[derive(Module, Debug)]
struct Double {
    /// `[D in, D out * 2 * 2]`
    weight: Param<Tensor<2>>,
    /// `[D]`
    bias: Param<Tensor<1>>,
}

impl Level {
    pub fn new(builder: &mut Builder, name: &str, dim: usize, scale: Scale) -> Result<Self, ParameterError> {
        let double = match scale {
            Scale::Double => Some(Double {
                weight: builder.matrix(format!("{name}.0.weight"), &[dim, dim, 2, 2], [dim, dim * 4])?,
                bias: builder.vector(format!("{name}.0.bias"), dim)?,
            }),
            _ => None,
        };
        let pool = if let Scale::Pool(side) = scale { side } else { 1 };
        Ok(Self { double, pool })
    }
}

/// A block output together with the level that makes it a feature. The feature is formed in the way that costs least
/// for what is asked of it; all ways agree up to rounding.
pub struct Feature<'a> {
    /// `[B, N, D]`
    tokens: Tensor<3>,
    /// `[rows, cols]` of the tokens.
    grid: [usize; 2],
    level: &'a Level,
}

impl<'a> Feature<'a> {
    pub fn new(tokens: Tensor<3>, grid: [usize; 2], level: &'a Level) -> Self {
        Self { tokens, grid, level }
    }

    /// The feature itself: `[B, D, h, w]`.
    pub fn map(&self) -> Tensor<4> {
        let [batch, _, dim] = self.tokens.dims();
        let [rows, cols] = self.grid;
        if let Some(double) = &self.level.double {
            let spread = self.tokens.clone().reshape([batch * rows * cols, dim]).matmul(double.weight.val());
            let map = spread
                .reshape([batch, rows, cols, dim, 2, 2])
                .permute([0, 3, 1, 4, 2, 5]) // [B, D, rows, 2, cols, 2]
                .reshape([batch, dim, 2 * rows, 2 * cols]);
            return map + double.bias.val().reshape([1, dim, 1, 1]);
        }
        let map = self.tokens.clone().reshape([batch, rows, cols, dim]).permute([0, 3, 1, 2]); // [B, D, rows, cols]
        match self.level.pool {
            1 => map,
            side => max_pool2d(map, MaxPoolOptions::new([side, side])),
        }
    }

    /// A linear map of the feature at every place: `weights` `[B, D, K]` → `[B, K, h, w]`. With a transposed convolution
    /// both are linear, and K is smaller than D: the two are multiplied first.
    pub fn project(&self, weights: Tensor<3>) -> Tensor<4> {
        let [batch, dim, outputs] = weights.dims();
        let [rows, cols] = self.grid;
        let weights = weights.swap_dims(1, 2); // [B, K, D]
        if let Some(double) = &self.level.double {
            let spread = double
                .weight
                .val()
                .reshape([dim, dim, 4])
                .permute([1, 2, 0]) // [D out, 4, D in]
                .reshape([dim, 4 * dim]);
            let weights = weights.reshape([batch * outputs, dim]); // [B * K, D out]
            let shift = weights.clone().matmul(double.bias.val().unsqueeze_dim(1)); // [B * K, 1]
            let squares = weights.matmul(spread).reshape([batch, outputs * 4, dim]); // [B, K * 4, D in]
            let map = squares
                .matmul(self.tokens.clone().swap_dims(1, 2)) // [B, K * 4, N]
                .reshape([batch, outputs, 2, 2, rows, cols])
                .permute([0, 1, 4, 2, 5, 3]) // [B, K, rows, 2, cols, 2]
                .reshape([batch, outputs, 2 * rows, 2 * cols]);
            return map + shift.reshape([batch, outputs, 1, 1]);
        }
        if self.level.pool == 1 {
            return weights.matmul(self.tokens.clone().swap_dims(1, 2)).reshape([batch, outputs, rows, cols]);
        }
        let map = self.map();
        let [_, _, h, w] = map.dims();
        weights.matmul(map.reshape([batch, dim, h * w])).reshape([batch, outputs, h, w])
    }

    /// Mean over the map: `[B, D]`.
    pub fn mean(&self) -> Tensor<2> {
        let [batch, _, dim] = self.tokens.dims();
        if let Some(double) = &self.level.double {
            let mean = self.tokens.clone().mean_dim(1).reshape([batch, dim]);
            let weight = double.weight.val().reshape([dim, dim, 4]).mean_dim(2).reshape([dim, dim]);
            return mean.matmul(weight) + double.bias.val().unsqueeze();
        }
        if self.level.pool == 1 {
            return self.tokens.clone().mean_dim(1).reshape([batch, dim]);
        }
        let map = self.map();
        let [_, _, h, w] = map.dims();
        map.reshape([batch, dim, h * w]).mean_dim(2).reshape([batch, dim])
    }
}
