//! Pixels to tokens.

use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::Tokens;
use super::config::Config;
use super::layers::Linear;
use super::parameters::{Builder, ParameterError};

/// Cuts the tile into patches and maps each linearly to a token: officially a convolution whose stride is its kernel.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// C * p * p → D
    proj: Linear,
    patch: usize,
}

impl PatchEmbed {
    pub fn new(builder: &mut Builder, name: &str, config: &Config) -> Result<Self, ParameterError> {
        let Config { components, patch, embed_dim, .. } = *config;
        let proj = Linear::shaped(builder, &format!("{name}.proj"), &[components, patch, patch], embed_dim, true)?;
        Ok(Self { proj, patch })
    }

    /// `[B, C, H, W]` → `[B * N, D]`. Pixels past the last whole patch are ignored (SpatViT_fusion.py:314-320).
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<2>, Tokens) {
        let [batch, _, height, width] = x.dims();
        let grid = [height / self.patch, width / self.patch];
        (self.proj.forward(self.patches(x)), Tokens { batch, grid })
    }

    /// The patches themselves: `[B, C, H, W]` → `[B * N, C * p * p]`.
    pub(super) fn patches(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, channels, height, width] = x.dims();
        let p = self.patch;
        let [rows, cols] = [height / p, width / p];
        let x = if [rows * p, cols * p] == [height, width] {
            x
        } else {
            x.slice([0..batch, 0..channels, 0..rows * p, 0..cols * p])
        };
        x.reshape([batch, channels, rows, p, cols, p])
            .permute([0, 2, 4, 1, 3, 5]) // [B, rows, cols, C, p, p]
            .reshape([batch * rows * cols, channels * p * p])
    }
}
