//! Full attention of all heads in one step: `softmax(q · kᵀ · D^-½) · v` without the N × N matrix in memory.
//!
//! ```text
//! in wasm      four queries at a time: their logits for all keys (4 N numbers), softmax, the weighted sum
//! natively     burn's own, which holds one head's matrix or less
//! on the GPU   one query an invocation: keys stream by, largest logit, norm and sum are corrected as they grow
//! ```
//!
//! The gradients are composed of burn's operations, which do hold N × N matrices for a moment: the attention is computed
//! again, so that nothing of that size is kept between the passes.

mod autodiff;
mod cpu;
mod flex;
mod gpu;

pub use cpu::forward as cpu_forward;
pub use gpu::shader_source;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

/// The sizes of a full attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// B
    pub batch: usize,
    /// H
    pub heads: usize,
    /// N
    pub tokens: usize,
    /// Channels of a head, D.
    pub head_dim: usize,
}

impl AttentionShape {
    fn of(shape: &Shape) -> Self {
        Self { batch: shape[0], heads: shape[1], tokens: shape[2], head_dim: shape[3] }
    }

    /// The shape of the output, `[B, N, H * D]`.
    pub fn out(&self) -> [usize; 3] {
        [self.batch, self.tokens, self.heads * self.head_dim]
    }

    /// What the logits are multiplied with, D^-½.
    pub fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
}

/// Full attention of all heads.
///
/// - `q`, `k`, `v`: `[B, H, N, D]` of float32.
/// - Returns `[B, N, H * D]`, heads side by side, ready for the output projection.
///
/// Differentiable in all three on an autodiff device.
///
/// # Panics
/// When the shapes differ (a mistake in the calling code, as with any tensor operation of burn).
pub fn full_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<3> {
    assert_eq!(k.dims(), q.dims(), "full attention: the shape of k differs from that of q");
    assert_eq!(v.dims(), q.dims(), "full attention: the shape of v differs from that of q");
    let out = Dispatch::attend_fully(q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(out)
}

/// The operation as burn's dispatcher sees it.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait FullAttention: Backend {
    /// See [`full_attention`]; the shapes have been checked.
    fn attend_fully(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a concrete backend brings.
pub trait FullAttentionKernels: Backend {
    /// `[B, N, H * D]`
    fn attention_forward(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradients of q, k and v, of burn's operations:
    ///
    /// ```text
    /// a = softmax(s q kᵀ)    ∂v = aᵀ ∂out    ∂a = ∂out vᵀ    ∂logits = a (∂a − Σ a ∂a)    ∂q = s ∂logits k    ∂k = s ∂logitsᵀ q
    /// ```
    fn attention_backward(inputs: [FloatTensor<Self>; 3], grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        let [q, k, v] = inputs;
        let shape = AttentionShape::of(&q.shape());
        let scale = |x| Self::float_mul_scalar(x, shape.scale().into());
        let AttentionShape { batch, heads, tokens, head_dim } = shape;
        let grad = Self::float_reshape(grad, Shape::from(vec![batch, tokens, heads, head_dim]));
        let grad = Self::float_swap_dims(grad, 1, 2); // [B, H, N, D]
        let q = scale(q);

        let logits = Self::float_matmul(q.clone(), Self::float_transpose(k.clone())); // [B, H, N, N]
        let weights = Self::softmax(logits, 3);
        let grad_v = Self::float_matmul(Self::float_transpose(weights.clone()), grad.clone());
        let grad_weights = Self::float_matmul(grad, Self::float_transpose(v));
        let mean = Self::float_sum_dim(Self::float_mul(weights.clone(), grad_weights.clone()), 3); // [B, H, N, 1]
        let grad_logits = Self::float_mul(weights, Self::float_sub(grad_weights, mean));
        let grad_q = scale(Self::float_matmul(grad_logits.clone(), k));
        let grad_k = Self::float_matmul(Self::float_transpose(grad_logits), q);
        [grad_q, grad_k, grad_v]
    }
}
