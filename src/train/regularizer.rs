//! Terms added to the gradients of the loss, one weight tensor at a time.
//!
//! A regulariser sees every trained tensor just before the optimiser step and may add the gradient of its own penalty.
//! It needs no autodiff: penalties of this kind (L2, the proximal term of FedProx, weight scope alignment) have closed
//! forms that cost one pass over the weights.

use burn::tensor::Tensor;

/// What a regulariser is shown of one weight tensor.
pub struct Weight<'a> {
    /// Official name, for example `spat_encoder.blocks.0.attn.qkv.weight`.
    pub name: &'a str,
    /// Number of dimensions of the tensor before it was flattened.
    pub rank: usize,
    /// The current values, flattened to `[n]`, outside autodiff.
    pub values: &'a Tensor<1>,
    /// Steps that the optimiser has taken before this one.
    pub steps: u32,
}

/// A penalty on the weights, given by its gradient.
pub trait Regularizer {
    /// The gradient of the penalty with respect to this tensor, flattened to `[n]` in the same order and on the same
    /// device; `None` where the penalty does not touch it. Must not read the device.
    fn gradient(&self, weight: &Weight<'_>) -> Option<Tensor<1>>;
}

/// Ridge penalty `strength / 2 · Σ w²` on tensors of two or more dimensions.
///
/// Unlike the decoupled weight decay of [`AdamW`](super::AdamW) its gradient passes through the moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2 {
    pub strength: f64,
}

impl Regularizer for L2 {
    fn gradient(&self, weight: &Weight<'_>) -> Option<Tensor<1>> {
        (weight.rank > 1).then(|| weight.values.clone().mul_scalar(self.strength))
    }
}
