//! The transformer block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::{Attention, Tokens};
use super::config::Config;
use super::layers::LayerNorm;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::projection::Projection;

/// Attention, then a two-layer MLP with exact GELU; both normalised before, added after, and dropped for whole samples
/// while training. No layer scale, no dropout inside.
#[derive(Module, Debug)]
pub struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: f64,
}

#[derive(Module, Debug)]
struct Mlp {
    /// D → 4 D
    fc1: Projection,
    /// 4 D → D
    fc2: Projection,
}

impl Block {
    /// Block `index` of an encoder, officially called `name`.
    pub fn new(builder: &mut Builder, name: &str, config: &Config, index: usize) -> Result<Self, ParameterError> {
        let (dim, hidden) = (config.embed_dim, config.embed_dim * config.mlp_ratio);
        Ok(Self {
            norm1: LayerNorm::new(builder, &format!("{name}.norm1"), dim)?,
            attn: Attention::new(builder, &format!("{name}.attn"), config, config.attends_fully(index))?,
            norm2: LayerNorm::new(builder, &format!("{name}.norm2"), dim)?,
            mlp: Mlp {
                fc1: Projection::new(builder, &format!("{name}.mlp.fc1"), dim, hidden)?,
                fc2: Projection::new(builder, &format!("{name}.mlp.fc2"), hidden, dim)?,
            },
            drop_path: config.drop_path_of(index),
        })
    }

    /// `[B * N, D]` → `[B * N, D]`
    pub fn forward(&self, x: Tensor<2>, tokens: Tokens, pass: &mut Pass) -> Tensor<2> {
        let mixed = self.attn.forward(self.norm1.forward(x.clone()), tokens, pass); // [B * N, D]
        let x = x + pass.drop_path(mixed, tokens.batch, self.drop_path);
        let hidden = self.mlp.fc1.forward_gelu(self.norm2.forward(x.clone())); // [B * N, 4 D]
        let mixed = self.mlp.fc2.forward(hidden); // [B * N, D]
        x + pass.drop_path(mixed, tokens.batch, self.drop_path)
    }
}
