//! The spectral encoder: tokens are pooled bands, each a whole image.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::attention::Tokens;
use super::autoencoder::Cover;
use super::block::Block;
use super::config::{Config, REDUCED};
use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::upsample::adaptive_average;

/// A vision transformer over the band axis (SpecViT_fusion.py:563-606). Bands are averaged to T tokens, each embedded
/// by one linear map over all pixels of the tile; the tokens lie on a square grid for sparse sampling.
#[derive(Module, Debug)]
pub struct SpectralEncoder {
    /// `[T, C]`: token t is the mean of these bands.
    pooling: Tensor<2>,
    /// `[T, D]`
    pos_embed: Param<Tensor<2>>,
    /// H * W → D
    spat_map: Linear,
    /// The live blocks; with `complete` the dead ones behind them.
    blocks: Vec<Block>,
    /// How many of them run.
    live: usize,
    /// D → 128, without bias.
    l1: Linear,
    /// `[rows, cols]` of the tokens.
    grid: [usize; 2],
}

impl SpectralEncoder {
    pub fn new(builder: &mut Builder, config: &Config) -> Result<Self, ParameterError> {
        let Config { spectral_tokens: tokens, components, embed_dim: dim, spectral_blocks: live, .. } = *config;
        let pooling = TensorData::new(adaptive_average(components, tokens), [tokens, components]);
        let pooling = Tensor::from_data(pooling, builder.device());
        let pos_embed = builder.matrix("spec_encoder.pos_embed".into(), &[1, tokens, dim], [tokens, dim])?;
        let spat_map = Linear::new(builder, "spec_encoder.spat_map", config.rows * config.cols, dim)?;
        let blocks = (0..if config.complete { config.depth } else { live })
            .map(|i| Block::new(builder, &format!("spec_encoder.blocks.{i}"), config, i))
            .collect::<Result<_, _>>()?;
        let l1 = Linear::unbiased(builder, "spec_encoder.l1", dim, REDUCED)?;
        Ok(Self { pooling, spat_map, pos_embed, blocks, live, l1, grid: config.spectral_grid() })
    }

    /// `[B, C, H, W]` → one number a token, `[B, T]`.
    pub fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<2> {
        let (mut x, tokens) = self.to_tokens(x, pass); // [B * T, D]
        for (i, block) in self.blocks().iter().enumerate() {
            x = Self::step(block, i, x, tokens, pass); // [B * T, D]
        }
        if pass.is_traced() {
            // Dead blocks change nothing; they run only for whoever looks at them.
            let mut dead = x.clone();
            for (i, block) in self.blocks.iter().enumerate().skip(self.live) {
                dead = Self::step(block, i, dead, tokens, pass);
            }
        }
        self.summary(x, tokens, pass)
    }

    /// `[B, C, H, W]` → tokens with their places, `[B * T, D]`.
    pub(super) fn to_tokens(&self, x: Tensor<4>, pass: &mut Pass) -> (Tensor<2>, Tokens) {
        let [batch, bands, height, width] = x.dims();
        let [count, _] = self.pooling.dims();
        let pixels = height * width;
        let x = x.reshape([batch, bands, pixels]); // [B, C, H * W]
        pass.record("spec.spec_embed", || self.pool(x.clone()).swap_dims(1, 2));

        let embedded = self.embed(x); // [B, T, D]
        pass.record("spec.spat_map", || embedded.clone());
        let x = embedded + self.pos_embed.val().unsqueeze::<3>();
        let dim = x.dims()[2];
        (x.reshape([batch * count, dim]), Tokens { batch, grid: self.grid })
    }

    /// The blocks that run.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks[..self.live]
    }

    /// Tokens `[B * T, D]` → one number each, `[B, T]`.
    pub(super) fn summary(&self, x: Tensor<2>, tokens: Tokens, pass: &mut Pass) -> Tensor<2> {
        let (batch, count) = (tokens.batch, tokens.count());
        pass.record("spec.l1", || self.l1.forward(x.clone()).reshape([batch, count, REDUCED]));
        // The mean over the 128 channels of a linear map is the map by the mean of its columns.
        let mean = self.l1.weight.val().mean_dim(1); // [D, 1]
        let pooled = x.matmul(mean).reshape([batch, count]); // [B, T]
        pass.record("spec.pooled", || pooled.clone().unsqueeze_dim::<3>(2));
        pooled
    }

    /// Bands to tokens, embedded: `[B, C, H * W]` → `[B, T, D]`.
    fn embed(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, bands, pixels] = x.dims();
        let [count, _] = self.pooling.dims();
        // Averaging over bands and mapping over pixels are both linear: whichever leaves fewer rows comes first.
        let embedded = if bands < count {
            let mapped = x.reshape([batch * bands, pixels]).matmul(self.spat_map.weight.val()); // [B * C, D]
            let dim = mapped.dims()[1];
            self.pool(mapped.reshape([batch, bands, dim])) // [B, T, D]
        } else {
            let pooled = self.pool(x).reshape([batch * count, pixels]);
            let mapped = pooled.matmul(self.spat_map.weight.val()); // [B * T, D]
            let dim = mapped.dims()[1];
            mapped.reshape([batch, count, dim]) // [B, T, D]
        };
        match &self.spat_map.bias {
            Some(bias) => embedded + bias.val().unsqueeze(),
            None => embedded,
        }
    }

    /// One tile `[1, C, H, W]` with some tokens covered → tokens after the last live block `[T, D]`, and the pooled bands as
    /// they are `[T, H * W]`.
    pub(super) fn covered(&self, x: Tensor<4>, cover: &Cover) -> (Tensor<2>, Tensor<2>) {
        let [_, bands, height, width] = x.dims();
        let x = x.reshape([1, bands, height * width]);
        let pooled = self.pool(x.clone()); // [1, T, H * W]
        let [_, count, pixels] = pooled.dims();
        let x = cover.over(self.embed(x)) + self.pos_embed.val().unsqueeze::<3>(); // [1, T, D]
        let dim = x.dims()[2];
        let tokens = Tokens { batch: 1, grid: self.grid };
        let x = x.reshape([count, dim]);
        let live = self.blocks.iter().take(self.live);
        let x = live.fold(x, |x, block| block.forward(x, tokens, &mut Pass::evaluation()));
        (x, pooled.reshape([count, pixels]))
    }

    /// Block `index`: `[B * T, D]` → `[B * T, D]`.
    pub(super) fn step(block: &Block, index: usize, x: Tensor<2>, tokens: Tokens, pass: &mut Pass) -> Tensor<2> {
        pass.enter("spec", index);
        let x = block.forward(x, tokens, pass); // [B * T, D]
        pass.record(format_args!("spec.block.{index}"), || {
            let dim = x.dims()[1];
            x.clone().reshape([tokens.batch, tokens.count(), dim])
        });
        x
    }

    /// Bands to tokens: `[B, C, n]` → `[B, T, n]`.
    fn pool(&self, x: Tensor<3>) -> Tensor<3> {
        self.pooling.clone().unsqueeze::<3>().matmul(x)
    }
}
