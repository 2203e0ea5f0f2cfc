//! Random values for a network that starts fresh, by the rules of the official code (official behaviour 3).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::formula::fnv1a;
use super::parameters::{ParameterError, ParameterSource};

/// Fresh parameters. Each is drawn on the host from the seed and its own name, so neither the device nor the order in
/// which parameters are built matters.
#[derive(Debug, Clone)]
pub struct Initializer {
    seed: u64,
    /// Inputs of each output of the last weight asked for: the bias behind it is drawn from the same range.
    fan_in: usize,
}

impl Initializer {
    pub fn new(seed: u64) -> Self {
        Self { seed, fan_in: 1 }
    }

    /// The parameter `name` comes from elsewhere; a bias behind it may not.
    pub fn skip(&mut self, name: &str, shape: &[usize]) {
        if name.ends_with(".weight") {
            self.fan_in = shape.iter().skip(1).product();
        }
    }
}

impl ParameterSource for Initializer {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let len = shape.iter().product();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ fnv1a(name));
        self.skip(name, shape);
        let values = match rule(name) {
            Rule::Zero => vec![0.0; len],
            Rule::One => vec![1.0; len],
            Rule::Normal { scale } => normal(&mut random, len).map(|x| (x * scale) as f32).collect(),
            // PyTorch's default for convolutions and linear layers, weight and bias alike.
            Rule::Uniform => {
                let bound = 1.0 / (self.fan_in as f64).sqrt();
                (0..len).map(|_| random.random_range(-bound..bound) as f32).collect()
            }
        };
        Ok(values)
    }
}

enum Rule {
    Zero,
    One,
    /// Normal with this standard deviation. The official cut at ±2 is a hundred standard deviations away.
    Normal {
        scale: f64,
    },
    Uniform,
}

/// Linear layers of the encoders: normal with standard deviation 0.02, bias 0; the two that write into the residual
/// stream of block i are divided by √(2 (i + 1)). Norms: 1 and 0. Convolutions and the heads: PyTorch's default, and so the
/// first matrix of an adapter (LoRA as PEFT starts it); the second is 0, so that it starts without effect.
fn rule(name: &str) -> Rule {
    const STD: f64 = 0.02;
    if name.ends_with(".mask_token") {
        return Rule::Normal { scale: STD };
    }
    let Some(rest) = name.strip_prefix("spat_encoder.").or_else(|| name.strip_prefix("spec_encoder.")) else {
        return Rule::Uniform;
    };
    let parts: Vec<&str> = rest.split('.').collect();
    match parts[..] {
        [.., "lora_A", "weight"] => Rule::Uniform,
        [.., "lora_B", "weight"] => Rule::Zero,
        ["pos_embed"] => Rule::Normal { scale: STD },
        ["blocks", _, "norm1" | "norm2", "weight"] | ["norm", "weight"] => Rule::One,
        ["blocks", index, "attn", "proj", "weight"] | ["blocks", index, "mlp", "fc2", "weight"] => {
            let index = index.parse::<f64>().unwrap_or(0.0);
            Rule::Normal { scale: STD / (2.0 * (index + 1.0)).sqrt() }
        }
        ["blocks", .., "weight"] | ["spat_map" | "l1", "weight"] | ["classifier" | "classifier1", _, "weight"] => {
            Rule::Normal { scale: STD }
        }
        ["blocks", .., "bias"] | ["spat_map" | "norm", "bias"] | ["classifier" | "classifier1", _, "bias"] => {
            Rule::Zero
        }
        _ => Rule::Uniform,
    }
}

/// Standard normal numbers by Box and Muller's method.
fn normal(random: &mut ChaCha8Rng, len: usize) -> impl Iterator<Item = f64> {
    let pairs = (0..len.div_ceil(2)).flat_map(move |_| {
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * random.random::<f64>()).sin_cos();
        [radius * cos, radius * sin]
    });
    pairs.take(len)
}
