//! The large layers of a transformer block.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use crate::kernels::gelu;
use crate::kernels::quantized::{Activation, QuantizedMatrix, quantized_linear};

/// `y = x · Wᵀ + b`: dense and trainable, or frozen with the weights as a file holds them.
#[derive(Module, Debug)]
pub enum Projection {
    Dense(Linear),
    Frozen(Frozen),
}

/// A layer whose weights no step of the optimiser reaches. Its bias is an ordinary parameter.
#[derive(Module, Debug)]
pub struct Frozen {
    /// `[out, in]`; stays on the device it was built on.
    #[module(skip)]
    weight: QuantizedMatrix,
    /// `[out]`
    bias: Param<Tensor<1>>,
}

impl Projection {
    /// Officially `name.weight` `[out, in]` and `name.bias` `[out]`. The source of the parameters decides whether it is frozen.
    pub fn new(builder: &mut Builder, name: &str, input: usize, out: usize) -> Result<Self, ParameterError> {
        Ok(match builder.stored(&format!("{name}.weight"), input, out)? {
            None => Self::Dense(Linear::new(builder, name, input, out)?),
            Some(weight) => Self::Frozen(Frozen { weight, bias: builder.vector(format!("{name}.bias"), out)? }),
        })
    }

    /// `[n, in]` → `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(linear) => linear.forward(x),
            Self::Frozen(frozen) => frozen.forward(x, Activation::None),
        }
    }

    /// The same, then GELU: one step where nothing is differentiated.
    pub fn forward_gelu(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(linear) => gelu(linear.forward(x)),
            Self::Frozen(frozen) => frozen.forward(x, Activation::Gelu),
        }
    }
}

impl Frozen {
    fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        quantized_linear(x, &self.weight, Some(self.bias.val()), activation)
    }
}
