//! Attention: full, or sparse sampling (SSA).

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::Config;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::projection::Projection;
use crate::kernels::full_attention::full_attention;
use crate::kernels::sparse_sampling_attention;

/// How the rows of a `[B * N, D]` matrix of tokens lie: samples, then token rows, then token columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    pub batch: usize,
    /// `[rows, cols]`
    pub grid: [usize; 2],
}

impl Tokens {
    /// Tokens of one sample.
    pub fn count(&self) -> usize {
        self.grid[0] * self.grid[1]
    }
}

/// Multi-head attention among the tokens of one sample.
///
/// With `sampling_offsets` it is sparse: every query predicts, for each head, P places on the token grid relative to
/// its own, reads keys and values there by bilinear interpolation, and attends to those P samples only
/// (SpatViT_fusion.py:96-180). Without, every query attends to all tokens (:201-246).
#[derive(Module, Debug)]
pub struct Attention {
    /// D → 3 D: query, key, value.
    qkv: Projection,
    /// D → H * P * 2: offsets (dx, dy) in grid cells, ordered head, point, axis.
    sampling_offsets: Option<Projection>,
    /// D → D
    proj: Projection,
    heads: usize,
    points: usize,
}

impl Attention {
    pub fn new(builder: &mut Builder, name: &str, config: &Config, full: bool) -> Result<Self, ParameterError> {
        let dim = config.embed_dim;
        let qkv = Projection::new(builder, &format!("{name}.qkv"), dim, 3 * dim)?;
        let sampling_offsets = if full {
            None
        } else {
            let offsets = config.heads * config.points * 2;
            Some(Projection::new(builder, &format!("{name}.sampling_offsets"), dim, offsets)?)
        };
        let proj = Projection::new(builder, &format!("{name}.proj"), dim, dim)?;
        Ok(Self { qkv, sampling_offsets, proj, heads: config.heads, points: config.points })
    }

    /// `[B * N, D]` → `[B * N, D]`
    pub fn forward(&self, x: Tensor<2>, tokens: Tokens, pass: &mut Pass) -> Tensor<2> {
        let dim = x.dims()[1];
        let qkv = self.qkv.forward(x); // [B * N, 3 D]
        let mixed = match &self.sampling_offsets {
            None => self.attend(qkv, tokens), // [B * N, D]
            Some(offsets) => {
                // From the whole, unscaled query of a token, all heads together.
                let query = qkv.clone().narrow(1, 0, dim); // [B * N, D]
                let offsets = offsets.forward(query); // [B * N, H * P * 2]
                pass.record_in_block("attn.sampling_offsets", || {
                    offsets.clone().reshape([tokens.batch, tokens.count(), self.heads * self.points * 2])
                });
                self.sample(qkv, offsets, tokens) // [B * N, D]
            }
        };
        self.proj.forward(mixed)
    }

    /// Every query attends to all tokens.
    fn attend(&self, qkv: Tensor<2>, tokens: Tokens) -> Tensor<2> {
        let [q, k, v] = self.split(qkv, tokens); // [B, H, N, d] each
        let [batch, heads, count, width] = q.dims();
        full_attention(q, k, v).reshape([batch * count, heads * width]) // [B * N, D]
    }

    /// Every query attends to P samples of its own choice.
    fn sample(&self, qkv: Tensor<2>, offsets: Tensor<2>, tokens: Tokens) -> Tensor<2> {
        let [q, k, v] = self.split(qkv, tokens); // [B, H, N, d] each
        let [batch, heads, count, width] = q.dims();
        let offsets = offsets.reshape([batch, count, heads, self.points, 2]).permute([0, 2, 1, 3, 4]); // [B, H, N, P, 2]
        let mixed = sparse_sampling_attention(q, k, v, offsets, tokens.grid); // [B, N, D]
        mixed.reshape([batch * count, heads * width])
    }

    /// `[B * N, 3 D]` → query, key and value, `[B, H, N, d]` each.
    fn split(&self, qkv: Tensor<2>, tokens: Tokens) -> [Tensor<4>; 3] {
        let (batch, count) = (tokens.batch, tokens.count());
        let dim = qkv.dims()[1] / 3;
        [0, 1, 2].map(|part| {
            qkv.clone()
                .narrow(1, part * dim, dim) // [B * N, D]
                .reshape([batch, count, self.heads, dim / self.heads])
                .swap_dims(1, 2) // [B, H, N, d]
        })
    }
}
