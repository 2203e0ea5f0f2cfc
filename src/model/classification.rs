//! The classification head: one class for the whole window.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::{Config, REDUCED};
use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;
use super::pyramid::Feature;

/// Officially (ss_fusion_cls.py:223-240): reduce each feature to 128 channels (`DR1..4`), enhance, average over the map,
/// concatenate, three linear layers with dropout between and no activation. Reducing is linear, so the average is taken
/// first: the same up to rounding.
#[derive(Module, Debug)]
pub struct ClassificationHead {
    /// D → 128 each, deepest feature first.
    reduce: Vec<Linear>,
    /// 512 → 256 → 128 → classes
    classifier: Vec<Linear>,
    dropout: f64,
}

impl ClassificationHead {
    pub fn new(builder: &mut Builder, config: &Config) -> Result<Self, ParameterError> {
        let reduce = (1..=4)
            .map(|j| Linear::shaped(builder, &format!("DR{j}"), &[config.embed_dim, 1, 1], REDUCED, false))
            .collect::<Result<_, _>>()?;
        let classifier = [(0, 4 * REDUCED, 256), (2, 256, 128), (4, 128, config.classes)]
            .into_iter()
            .map(|(i, input, out)| Linear::new(builder, &format!("classifier.{i}"), input, out))
            .collect::<Result<_, _>>()?;
        Ok(Self { reduce, classifier, dropout: config.dropout })
    }

    /// Features (shallowest first) and factors `[B, 128]` (deepest first) → logits `[B, classes]`.
    pub fn forward(&self, features: &[Feature], factors: &[Tensor<2>], pass: &mut Pass) -> Tensor<2> {
        let mut parts = Vec::with_capacity(features.len());
        for (j, (feature, factor)) in features.iter().rev().zip(factors).enumerate() {
            let reduce = &self.reduce[j];
            pass.record(format_args!("spat.feature.{}", j + 1), || feature.map());
            pass.record(format_args!("head.DR{}", j + 1), || {
                let weights = reduce.weight.val().unsqueeze::<3>();
                feature.project(weights.repeat_dim(0, factor.dims()[0])) // [B, 128, h, w]
            });
            parts.push(reduce.forward(feature.mean()) * factor.clone()); // [B, 128]
        }
        let mut x = Tensor::cat(parts, 1); // [B, 512]
        for (i, layer) in self.classifier.iter().enumerate() {
            if i > 0 {
                x = pass.dropout(x, self.dropout);
            }
            x = layer.forward(x); // [B, 256], [B, 128], [B, classes]
        }
        pass.record("logits", || x.clone());
        x
    }
}
