//! The spatial encoder: tokens are patches of the tile.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::attention::Tokens;
use super::autoencoder::Cover;
use super::block::Block;
use super::config::Config;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::patch_embed::PatchEmbed;
use super::pyramid::{Feature, Level};

/// A vision transformer over patches; four of its block outputs become features of their own scales. The official
/// final norm exists in checkpoints but is never applied (SpatViT_fusion.py:444).
#[derive(Module, Debug)]
pub struct SpatialEncoder {
    /// `[N, D]`
    pos_embed: Param<Tensor<2>>,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    /// Shallowest first.
    levels: Vec<Level>,
    /// After which block each feature is taken.
    features: [usize; 4],
}

impl SpatialEncoder {
    pub fn new(builder: &mut Builder, config: &Config) -> Result<Self, ParameterError> {
        let [rows, cols] = config.grid();
        let (count, dim) = (rows * cols, config.embed_dim);
        let pos_embed = builder.matrix("spat_encoder.pos_embed".into(), &[1, count, dim], [count, dim])?;
        let patch_embed = PatchEmbed::new(builder, "spat_encoder.patch_embed", config)?;
        let blocks = (0..config.depth)
            .map(|i| Block::new(builder, &format!("spat_encoder.blocks.{i}"), config, i))
            .collect::<Result<_, _>>()?;
        let levels = config
            .scales()
            .into_iter()
            .enumerate()
            .map(|(i, scale)| Level::new(builder, &format!("spat_encoder.fpn{}", i + 1), dim, scale))
            .collect::<Result<_, _>>()?;
        Ok(Self { patch_embed, pos_embed, blocks, levels, features: config.features })
    }

    /// `[B, C, H, W]` → four features, shallowest first.
    pub fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Vec<Feature<'_>> {
        let (mut x, tokens) = self.to_tokens(x, pass); // [B * N, D]
        let mut features = Vec::with_capacity(4);
        for (i, block) in self.blocks.iter().enumerate() {
            x = Self::step(block, i, x, tokens, pass); // [B * N, D]
            for j in self.features_of(i) {
                let feature = self.feature(j, x.clone(), tokens);
                pass.record(format_args!("spat.fpn_out.{}", j + 1), || feature.map());
                features.push(feature);
            }
        }
        features
    }

    /// `[B, C, H, W]` → tokens with their places, `[B * N, D]`.
    pub(super) fn to_tokens(&self, x: Tensor<4>, pass: &mut Pass) -> (Tensor<2>, Tokens) {
        let (x, tokens) = self.patch_embed.forward(x); // [B * N, D]
        let (batch, count, dim) = (tokens.batch, tokens.count(), x.dims()[1]);
        let x = x.reshape([batch, count, dim]); // [B, N, D]
        pass.record("spat.patch_embed", || x.clone());
        ((x + self.pos_embed.val().unsqueeze::<3>()).reshape([batch * count, dim]), tokens)
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Block `index`: `[B * N, D]` → `[B * N, D]`.
    pub(super) fn step(block: &Block, index: usize, x: Tensor<2>, tokens: Tokens, pass: &mut Pass) -> Tensor<2> {
        pass.enter("spat", index);
        let x = block.forward(x, tokens, pass);
        pass.record(format_args!("spat.block.{index}"), || {
            let dim = x.dims()[1];
            x.clone().reshape([tokens.batch, tokens.count(), dim])
        });
        x
    }

    /// The features that are taken after block `index`.
    pub(super) fn features_of(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let features = self.features;
        (0..features.len()).filter(move |j| features[*j] == index)
    }

    /// Feature `j` of a block's output `[B * N, D]`.
    pub(super) fn feature(&self, j: usize, x: Tensor<2>, tokens: Tokens) -> Feature<'_> {
        let dim = x.dims()[1];
        Feature::new(x.reshape([tokens.batch, tokens.count(), dim]), tokens.grid, &self.levels[j])
    }

    /// One tile `[1, C, H, W]` with some tokens covered → tokens after the last block `[N, D]`, and the patches as they are
    /// `[N, C * p * p]`.
    pub(super) fn covered(&self, x: Tensor<4>, cover: &Cover) -> (Tensor<2>, Tensor<2>) {
        let patches = self.patch_embed.patches(x.clone());
        let (x, tokens) = self.patch_embed.forward(x); // [N, D]
        let (count, dim) = (tokens.count(), x.dims()[1]);
        let x = cover.over(x.reshape([1, count, dim])) + self.pos_embed.val().unsqueeze::<3>();
        let x = x.reshape([count, dim]);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, tokens, &mut Pass::evaluation()));
        (x, patches)
    }
}
