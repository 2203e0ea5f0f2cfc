//! The segmentation head: a class for every pixel.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::{Config, REDUCED};
use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::pyramid::Feature;
use super::upsample::Upsample;

/// Officially (ss_fusion_seg.py:222-243): up-sample each feature to the tile, enhance, reduce to 128 channels
/// (`DR1..4`), concatenate, 1 × 1 convolution to 128 (`conv`), 1 × 1 convolution to classes (`cls`).
///
/// All of that is linear at each pixel and the same for every pixel, so it commutes with the up-sampling. Here the three
/// maps of each feature are multiplied into one `[D, classes]` matrix first, applied on the small grid, and only the
/// class maps are up-sampled: the same logits up to rounding, about 15 GFLOP less for Base on a 128 × 128 tile.
#[derive(Module, Debug)]
pub struct SegmentationHead {
    /// D → 128 each, deepest feature first.
    reduce: Vec<Linear>,
    /// 128 → classes
    cls: Linear,
    /// 4 * 128 → 128
    conv: Linear,
    /// To the size of the tile, one for each feature, deepest first.
    upsample: Vec<Upsample>,
}

impl SegmentationHead {
    pub fn new(builder: &mut Builder, config: &Config) -> Result<Self, ParameterError> {
        let reduce = (1..=4)
            .map(|j| Linear::shaped(builder, &format!("DR{j}"), &[config.embed_dim, 1, 1], REDUCED, false))
            .collect::<Result<_, _>>()?;
        let cls = Linear::shaped(builder, "cls", &[REDUCED, 1, 1], config.classes, true)?;
        let conv = Linear::shaped(builder, "conv", &[4 * REDUCED, 1, 1], REDUCED, true)?;
        let upsample = config
            .scales()
            .iter()
            .rev()
            .map(|scale| Upsample::new(scale.grid(config.grid()), [config.rows, config.cols], builder.device()))
            .collect();
        Ok(Self { reduce, conv, cls, upsample })
    }

    /// Features (shallowest first) and factors `[B, D]` (deepest first) → logits `[B, classes, H, W]`.
    pub fn forward(&self, features: &[Feature], factors: &[Tensor<2>], pass: &mut Pass) -> Tensor<4> {
        let cls = self.cls.weight.val(); // [128, classes]
        let fused = self.conv.weight.val().matmul(cls.clone()); // [4 * 128, classes]

        let mut logits: Option<Tensor<4>> = None;
        let mut small: Option<Tensor<4>> = None;
        for (j, (feature, factor)) in features.iter().rev().zip(factors).enumerate() {
            self.trace(j, feature, factor, pass);
            let fused = fused.clone().narrow(0, j * REDUCED, REDUCED); // [128, classes]
            let weights = self.reduce[j].weight.val().matmul(fused); // [D, classes]
            let weights = weights.unsqueeze::<3>() * factor.clone().unsqueeze_dim(2); // [B, D, classes]
            let map = feature.project(weights); // [B, classes, h, w]
            // Maps of the same size are added before they are up-sampled.
            let map = match small.take() {
                Some(deeper) if deeper.dims() == map.dims() => deeper + map,
                Some(deeper) => {
                    let full = self.upsample[j - 1].forward(deeper); // [B, classes, H, W]
                    logits = Some(match logits.take() {
                        Some(sum) => sum + full,
                        None => full,
                    });
                    map
                }
                None => map,
            };
            small = Some(map);
        }

        let bias = self.bias(cls); // [1, classes, 1, 1]
        let last = match small {
            Some(map) => self.upsample[features.len() - 1].forward(map),
            None => return bias,
        };
        let sum = match logits {
            Some(sum) => sum + last,
            None => last,
        };
        let logits = sum + bias;
        pass.record("logits", || logits.clone());
        logits
    }

    /// What both biases add to every logit.
    fn bias(&self, cls: Tensor<2>) -> Tensor<4> {
        let mut bias = Tensor::<2>::zeros([1, cls.dims()[1]], &cls.device());
        if let Some(conv) = &self.conv.bias {
            bias = bias + conv.val().unsqueeze::<2>().matmul(cls); // [1, classes]
        }
        if let Some(own) = &self.cls.bias {
            bias = bias + own.val().unsqueeze();
        }
        let [_, classes] = bias.dims();
        bias.reshape([1, classes, 1, 1])
    }

    /// The intermediates of the official order, which this order never forms.
    fn trace(&self, j: usize, feature: &Feature, factor: &Tensor<2>, pass: &mut Pass) {
        pass.record(format_args!("spat.feature.{}", j + 1), || self.upsample[j].forward(feature.map()));
        pass.record(format_args!("head.DR{}", j + 1), || {
            let weights = self.reduce[j].weight.val().unsqueeze::<3>() * factor.clone().unsqueeze_dim(2); // [B, D, 128]
            self.upsample[j].forward(feature.project(weights)) // [B, 128, H, W]
        });
    }
}
