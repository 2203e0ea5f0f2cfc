//! AdamW (Loshchilov and Hutter, 2019) over named parameters, with a learning-rate factor for each of them.
//!
//! Written on burn tensors instead of wrapping burn's optimiser, because three things have to be ours: the rule of which
//! tensors decay (OFFICIAL_BEHAVIOUR 29) and how fast each learns (layer decay) goes by official name; regularisers add
//! to the gradients; and the state is read and written exactly, so that a resumed run equals an uninterrupted one bit
//! for bit. Nothing here reads the device back.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};

use super::parameters::{Named, Names, flatten, replace};
use super::regularizer::{Regularizer, Weight};

/// The constants of AdamW; the defaults are the official ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Decoupled decay of the tensors that decay at all, see [`Parameter::decays`](crate::model::Parameter::decays).
    pub weight_decay: f64,
    /// Factor on the learning rate from each block to the one below it; 1 = the same everywhere.
    pub layer_decay: f64,
    /// Largest L2 norm of all gradients together; longer ones are scaled down to it. `None` leaves them alone.
    pub clip_norm: Option<f64>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.05, layer_decay: 1.0, clip_norm: None }
    }
}

/// How deep the two encoders are; tells which layer a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderDepth {
    /// Blocks of the spatial encoder.
    pub spatial: usize,
    /// Blocks of the spectral encoder that influence the result.
    pub spectral: usize,
}

/// The factor on a tensor's learning rate: 1 for the heads, `decay` for the last block of an encoder, one more power of
/// `decay` for each block below it, and the lowest for its embeddings.
pub fn layer_factor(name: &str, decay: f64, depth: EncoderDepth) -> f64 {
    let (rest, depth) = match (name.strip_prefix("spat_encoder."), name.strip_prefix("spec_encoder.")) {
        (Some(rest), _) => (rest, depth.spatial),
        (_, Some(rest)) => (rest, depth.spectral),
        _ => return 1.0,
    };
    let below = match rest.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()) {
        Some(number) => match number.parse::<usize>() {
            Ok(block) => depth.saturating_sub(block),
            Err(_) => return 1.0,
        },
        None if is_embedding(rest) => depth + 1,
        // Feature pyramids and projections stand above the blocks.
        None => 0,
    };
    decay.powi(i32::try_from(below).unwrap_or(i32::MAX))
}

fn is_embedding(rest: &str) -> bool {
    ["pos_embed", "patch_embed", "spec_embed", "spat_map"].iter().any(|part| rest.starts_with(part))
}

/// First and second moments of one tensor, flattened.
#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

/// The optimiser and its state.
pub struct AdamW {
    config: AdamWConfig,
    depth: EncoderDepth,
    names: Names,
    steps: u32,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Parameters that `names` lacks are not trained.
    pub fn new(config: AdamWConfig, depth: EncoderDepth, names: Names) -> Self {
        Self { config, depth, names, steps: 0, moments: BTreeMap::new() }
    }

    /// Number of steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// One step: every parameter of `module` that has a gradient in `gradients` is moved, the others are not touched, not
    /// even by decay. `learning_rate` is the rate of tensors with factor 1.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: Gradients,
        learning_rate: f64,
        regularizers: &[&dyn Regularizer],
    ) -> M {
        let mut collector = Collector { names: &self.names, gradients, regularizers, flat: BTreeMap::new() };
        module.visit(&mut collector);
        let mut flat = collector.flat;
        if let Some(limit) = self.config.clip_norm {
            clip(&mut flat, limit);
        }
        self.steps += 1;
        module.map(&mut Stepper { optimizer: self, gradients: flat, learning_rate })
    }

    /// The new values of one flattened tensor.
    fn update(&mut self, parameter: Named, weight: Tensor<1>, gradient: Tensor<1>, rate: f64) -> Tensor<1> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay, layer_decay, .. } = self.config;
        let Named { name, decays } = parameter;
        let rate = rate * layer_factor(&name, layer_decay, self.depth);
        let decay = if decays { rate * weight_decay } else { 0.0 };
        let fresh_first = gradient.clone().mul_scalar(1.0 - beta1);
        let fresh_second = gradient.clone().mul(gradient).mul_scalar(1.0 - beta2);
        let (first, second) = match self.moments.remove(&name) {
            Some(old) => (old.first.mul_scalar(beta1) + fresh_first, old.second.mul_scalar(beta2) + fresh_second),
            None => (fresh_first, fresh_second),
        };
        // Both bias corrections are folded into the scalars: m̂ / (√v̂ + ε) = √c₂ / c₁ · m / (√v + ε √c₂).
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
        let scale = rate * correction2.sqrt() / correction1;
        let denominator = second.clone().sqrt().add_scalar(epsilon * correction2.sqrt());
        let change = (first.clone() / denominator).mul_scalar(scale);
        self.moments.insert(name, Moments { first, second });
        let kept = if decay == 0.0 { weight } else { weight.mul_scalar(1.0 - decay) };
        kept - change
    }

    /// The state as flattened named tensors, `NAME/first` and `NAME/second`; with [`steps`](Self::steps) it is complete.
    pub fn state(&self) -> Vec<(String, Tensor<1>)> {
        let mut state = Vec::with_capacity(2 * self.moments.len());
        for (name, moments) in &self.moments {
            state.push((format!("{name}/first"), moments.first.clone()));
            state.push((format!("{name}/second"), moments.second.clone()));
        }
        state
    }

    /// Takes back what [`state`](Self::state) gave. Entries that do not pair up are dropped and the name of the first of
    /// them is the error.
    pub fn restore(&mut self, steps: u32, state: Vec<(String, Vec<f32>)>, device: &Device) -> Result<(), String> {
        let mut first = BTreeMap::new();
        let mut second = BTreeMap::new();
        for (name, values) in state {
            match name.rsplit_once('/') {
                Some((base, "first")) => first.insert(base.to_owned(), values),
                Some((base, "second")) => second.insert(base.to_owned(), values),
                _ => return Err(name),
            };
        }
        let mut moments = BTreeMap::new();
        for (name, first) in first {
            let second = second.remove(&name).filter(|second| second.len() == first.len());
            let Some(second) = second else { return Err(name) };
            let first = Tensor::<1>::from_floats(first.as_slice(), device);
            let second = Tensor::<1>::from_floats(second.as_slice(), device);
            moments.insert(name, Moments { first, second });
        }
        if let Some((name, _)) = second.pop_first() {
            return Err(name);
        }
        self.steps = steps;
        self.moments = moments;
        Ok(())
    }
}

/// Scales all gradients by `min(1, limit / norm)`; the factor stays on the device.
fn clip(gradients: &mut BTreeMap<String, Tensor<1>>, limit: f64) {
    let squares = gradients.values().map(|gradient| gradient.clone().mul(gradient.clone()).sum());
    let Some(total) = squares.reduce(|sum, square| sum + square) else { return };
    let factor = total.sqrt().add_scalar(1e-6).recip().mul_scalar(limit).clamp_max(1.0);
    for gradient in gradients.values_mut() {
        *gradient = gradient.clone() * factor.clone();
    }
}

/// Takes the gradients out of the tape, adds the regularisers' and flattens them.
struct Collector<'a> {
    names: &'a Names,
    gradients: Gradients,
    regularizers: &'a [&'a dyn Regularizer],
    flat: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(Named { name, .. }) = self.names.get(param.id) else { return };
        let weight = param.val();
        let Some(gradient) = weight.grad_remove(&mut self.gradients) else { return };
        let mut gradient = flatten(gradient);
        if !self.regularizers.is_empty() {
            let values = flatten(weight.inner());
            let weight = Weight { name, rank: D, values: &values };
            for regularizer in self.regularizers {
                if let Some(extra) = regularizer.gradient(&weight) {
                    gradient = gradient + extra;
                }
            }
        }
        self.flat.insert(name.clone(), gradient);
    }
}

/// Moves the parameters.
struct Stepper<'a> {
    optimizer: &'a mut AdamW,
    gradients: BTreeMap<String, Tensor<1>>,
    learning_rate: f64,
}

impl ModuleMapper for Stepper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(named) = self.optimizer.names.get(param.id).cloned() else { return param };
        let Some(gradient) = self.gradients.remove(&named.name) else { return param };
        replace(param, |weight| {
            let shape = weight.dims();
            self.optimizer.update(named, flatten(weight), gradient, self.learning_rate).reshape(shape)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: EncoderDepth = EncoderDepth { spatial: 4, spectral: 2 };

    #[test]
    fn heads_learn_at_full_rate_and_embeddings_slowest() {
        let factor = |name| layer_factor(name, 0.5, DEPTH);
        assert_eq!(factor("conv_features.weight"), 1.0);
        assert_eq!(factor("cls.weight"), 1.0);
        assert_eq!(factor("spat_encoder.fpn1.0.weight"), 1.0);
        assert_eq!(factor("spec_encoder.l1.weight"), 1.0);
        assert_eq!(factor("spat_encoder.blocks.3.attn.qkv.weight"), 0.5);
        assert_eq!(factor("spat_encoder.blocks.0.mlp.fc1.bias"), 0.0625);
        assert_eq!(factor("spat_encoder.blocks.0.mlp.fc1.lora_A.weight"), 0.0625);
        assert_eq!(factor("spat_encoder.pos_embed"), 0.03125);
        assert_eq!(factor("spat_encoder.patch_embed.proj.weight"), 0.03125);
        assert_eq!(factor("spec_encoder.blocks.1.norm1.weight"), 0.5);
        assert_eq!(factor("spec_encoder.spat_map.weight"), 0.125);
        assert_eq!(layer_factor("spat_encoder.blocks.0.norm1.weight", 1.0, DEPTH), 1.0);
    }
}
