//! The large layers of a transformer block.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::layers::Linear;
use super::parameters::{Builder, ParameterError};
use crate::kernels::gelu;
use crate::kernels::quantized::{Activation, QuantizedMatrix, quantized_linear};

/// `y = x · Wᵀ + b`, perhaps adapted: `y = x · Wᵀ + b + (α / r) · (x · Aᵀ) · Bᵀ` (LoRA, arXiv 2106.09685, section 4.1).
#[derive(Module, Debug)]
pub struct Projection {
    base: Base,
    adapter: Option<LowRank>,
}

/// Dense weights, or the weights as a file holds them, which no step of the optimiser reaches.
#[derive(Module, Debug)]
enum Base {
    Dense(Linear),
    Frozen(Frozen),
}

#[derive(Module, Debug)]
struct Frozen {
    /// `[out, in]`; stays on the device it was built on.
    #[module(skip)]
    weight: QuantizedMatrix,
    /// `[out]`
    bias: Param<Tensor<1>>,
}

/// What is learnt beside weights that stay: their change, a product of two thin matrices.
#[derive(Module, Debug)]
struct LowRank {
    /// in → r
    a: Linear,
    /// r → out
    b: Linear,
    /// α / r
    scale: f64,
}

impl Projection {
    /// Officially `name.weight` `[out, in]` and `name.bias` `[out]`; adapters are called as PEFT calls them,
    /// `name.lora_A.weight` `[r, in]` and `name.lora_B.weight` `[out, r]`. The source of the parameters decides whether the
    /// weights are frozen and whether there is an adapter.
    pub fn new(builder: &mut Builder, name: &str, input: usize, out: usize) -> Result<Self, ParameterError> {
        let base = match builder.stored(&format!("{name}.weight"), input, out)? {
            None => Base::Dense(Linear::new(builder, name, input, out)?),
            Some(weight) => Base::Frozen(Frozen { weight, bias: builder.vector(format!("{name}.bias"), out)? }),
        };
        let adapter = match builder.low_rank(name) {
            None => None,
            Some((rank, scale)) => Some(LowRank {
                a: Linear::unbiased(builder, &format!("{name}.lora_A"), input, rank)?,
                b: Linear::unbiased(builder, &format!("{name}.lora_B"), rank, out)?,
                scale,
            }),
        };
        Ok(Self { base, adapter })
    }

    /// `[n, in]` → `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.adapter {
            None => self.base.forward(x),
            Some(adapter) => self.base.forward(x.clone()) + adapter.forward(x),
        }
    }

    /// The same, then GELU: one step where nothing is differentiated.
    pub fn forward_gelu(&self, x: Tensor<2>) -> Tensor<2> {
        match (&self.base, &self.adapter) {
            (Base::Frozen(frozen), None) => frozen.forward(x, Activation::Gelu),
            _ => gelu(self.forward(x)),
        }
    }
}

impl Base {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(linear) => linear.forward(x),
            Self::Frozen(frozen) => frozen.forward(x, Activation::None),
        }
    }
}

impl Frozen {
    fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        quantized_linear(x, &self.weight, Some(self.bias.val()), activation)
    }
}

impl LowRank {
    /// `[n, in]` → `[n, out]`
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.b.forward(self.a.forward(x)).mul_scalar(self.scale)
    }
}
