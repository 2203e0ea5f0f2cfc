//! The spectral enhancement module (SEM): spectral tokens become weights for the channels of spatial features.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

use super::config::{Config, REDUCED};
use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use super::pass::Pass;

/// One gate a feature (`fc_spec1..4`): two linear maps without bias, ReLU between, sigmoid after. A feature x is then
/// enhanced to (1 + w) x.
#[derive(Module, Debug)]
pub struct SpectralEnhancement {
    gates: Vec<Gate>,
}

#[derive(Module, Debug)]
struct Gate {
    /// T → 128
    inner: Linear,
    /// 128 → channels
    outer: Linear,
}

impl SpectralEnhancement {
    pub fn new(builder: &mut Builder, config: &Config) -> Result<Self, ParameterError> {
        let gates = (1..=4)
            .map(|j| {
                let inner = Linear::unbiased(builder, &format!("fc_spec{j}.0"), config.spectral_tokens, REDUCED)?;
                let outer = Linear::unbiased(builder, &format!("fc_spec{j}.2"), REDUCED, config.enhanced_channels())?;
                Ok::<_, ParameterError>(Gate { inner, outer })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { gates })
    }

    /// Spectral tokens `[B, T]` → factors 1 + w for the four features, `[B, channels]` each; **deepest feature first**,
    /// as the official network counts them.
    pub fn forward(&self, spectrum: Tensor<2>, pass: &mut Pass) -> Vec<Tensor<2>> {
        self.gates
            .iter()
            .enumerate()
            .map(|(j, gate)| {
                let hidden = relu(gate.inner.forward(spectrum.clone())); // [B, 128]
                let weight = sigmoid(gate.outer.forward(hidden)); // [B, channels]
                pass.record(format_args!("sem.weight.{}", j + 1), || weight.clone());
                weight.add_scalar(1.0)
            })
            .collect()
    }
}
