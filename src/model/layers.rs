//! The two layers that everything is made of.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::parameters::{Builder, ParameterError};
use crate::kernels::layer_norm;

/// `y = x · W + b`, rows of x being samples.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A linear layer with bias; officially `name.weight` `[out, in]` and `name.bias` `[out]`.
    pub fn new(builder: &mut Builder, name: &str, input: usize, out: usize) -> Result<Self, ParameterError> {
        Self::shaped(builder, name, &[input], out, true)
    }

    /// A linear layer without bias.
    pub fn unbiased(builder: &mut Builder, name: &str, input: usize, out: usize) -> Result<Self, ParameterError> {
        Self::shaped(builder, name, &[input], out, false)
    }

    /// A layer that is officially a convolution: `name.weight` is `[out, in…]`.
    pub fn shaped(
        builder: &mut Builder,
        name: &str,
        input: &[usize],
        out: usize,
        bias: bool,
    ) -> Result<Self, ParameterError> {
        let weight = builder.map(format!("{name}.weight"), input, out)?;
        let bias = if bias { Some(builder.vector(format!("{name}.bias"), out)?) } else { None };
        Ok(Self { weight, bias })
    }

    /// `[n, in]` → `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        burn::tensor::module::linear(x, self.weight.val(), self.bias.as_ref().map(|bias| bias.val()))
    }
}

/// Normalisation over the channels of a token, with gain and bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[D]`
    pub weight: Param<Tensor<1>>,
    /// `[D]`
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// SpatViT_fusion.py:387
    const EPSILON: f64 = 1e-6;

    pub fn new(builder: &mut Builder, name: &str, dim: usize) -> Result<Self, ParameterError> {
        Ok(Self {
            weight: builder.vector(format!("{name}.weight"), dim)?,
            bias: builder.vector(format!("{name}.bias"), dim)?,
        })
    }

    /// `[n, D]` → `[n, D]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        layer_norm(x, self.weight.val(), self.bias.val(), Self::EPSILON)
    }
}
