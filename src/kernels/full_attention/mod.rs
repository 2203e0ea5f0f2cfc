//! Full attention of all heads in one step: `softmax(q · kᵀ · D^-½) · v` without the N × N matrix in memory.
//!
//! ```text
//! on the CPU   four queries at a time: their logits for all keys (4 N numbers), softmax, the weighted sum
//! on the GPU   one query an invocation: four keys at a time stream by, largest logit, norm and sum are corrected as they grow
//! ```
//!
//! The gradients are composed of burn's operations, which do hold N × N matrices. Up to [`KEPT`] numbers the softmax of the
//! forward pass is kept for them, which then is composed as well; a larger one is computed again, so that nothing of that
//! size lasts between the passes.

mod autodiff;
mod cpu;
mod flex;
mod gpu;

pub use cpu::forward as cpu_forward;
pub use gpu::shader_source;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

/// Numbers of softmax that are kept for the gradients: 16 MiB. Four tiles of Base are 3 million.
pub const KEPT: usize = 1 << 22;

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

    /// Numbers of all N × N matrices.
    fn weights(&self) -> usize {
        self.batch * self.heads * self.tokens * self.tokens
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

    /// `softmax(s q kᵀ)`, `[B, H, N, N]`.
    fn attention_weights(q: FloatTensor<Self>, k: FloatTensor<Self>) -> FloatTensor<Self> {
        let q = Self::float_mul_scalar(q.clone(), AttentionShape::of(&q.shape()).scale().into());
        Self::softmax(Self::float_matmul(q, Self::float_transpose(k)), 3)
    }

    /// `[B, N, H * D]` of the weights and v.
    fn attention_mix(weights: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        let out = Shape::from(AttentionShape::of(&v.shape()).out().to_vec());
        Self::float_reshape(Self::float_swap_dims(Self::float_matmul(weights, v), 1, 2), out)
    }

    /// The gradients of q, k and v, of burn's operations:
    ///
    /// ```text
    /// a = softmax(s q kᵀ)    ∂v = aᵀ ∂out    ∂a = ∂out vᵀ    ∂logits = a (∂a − Σ a ∂a)    ∂q = s ∂logits k    ∂k = s ∂logitsᵀ q
    /// ```
    fn attention_backward(
        [q, k, v]: [FloatTensor<Self>; 3],
        weights: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let shape = AttentionShape::of(&q.shape());
        let scale = |x| Self::float_mul_scalar(x, shape.scale().into());
        let AttentionShape { batch, heads, tokens, head_dim } = shape;
        let grad = Self::float_reshape(grad, Shape::from(vec![batch, tokens, heads, head_dim]));
        let grad = Self::float_swap_dims(grad, 1, 2); // [B, H, N, D]

        let grad_v = Self::float_matmul(Self::float_transpose(weights.clone()), grad.clone());
        let grad_weights = Self::float_matmul(grad, Self::float_transpose(v));
        let mean = Self::float_sum_dim(Self::float_mul(weights.clone(), grad_weights.clone()), 3); // [B, H, N, 1]
        let grad_logits = Self::float_mul(weights, Self::float_sub(grad_weights, mean));
        let grad_q = scale(Self::float_matmul(grad_logits.clone(), k));
        let grad_k = scale(Self::float_matmul(Self::float_transpose(grad_logits), q));
        [grad_q, grad_k, grad_v]
    }
}
