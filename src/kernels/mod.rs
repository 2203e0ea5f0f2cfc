//! What burn lacks: sparse sampling attention (SSA), which it does not have, [`gelu`](gelu()) with its exact derivative,
//! [`layer_norm`](layer_norm()) as one step of the tape, [`full_attention`] without the matrix of weights, and linear layers
//! with frozen [`quantized`] weights.
//!
//! SSA: every query token of every head reads keys and values at P points of its own, placed by predicted offsets, and attends
//! over those P samples only (HyperSIGMA, arXiv 2406.11519, section 3.2; official file `model/SpatViT_fusion.py:96-180`).
//! For the query at (row, col) of the token grid and its point p:
//!
//! ```text
//! k̂_p = bilinear(k, row + dy_p, col + dx_p)     cells outside the grid count as zero
//! v̂_p = bilinear(v, row + dy_p, col + dx_p)
//! a   = softmax_p(q · k̂_p · D^-½)               a point outside keeps its place: logit 0, value 0
//! out = Σ_p a_p v̂_p
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `reference` | both passes as plain loops, generic over f32 and f64: what everything else is measured against |
//! | `cpu` | the same arithmetic arranged for SIMD, for burn's `Flex` backend (native and wasm) |
//! | `gpu` | the Rust side of `shaders/ssa_*.wgsl`, for burn's `Cube` backend (WebGPU, Vulkan) |
//! | `products` | matrix products on the CPU, the innermost loops |
//! | `launch` | how a WGSL text gets to run there |
//! | `autodiff` | the hand-written backward pass on burn's tape |
//! | `self_test` | runs the operation on a device and compares with the reference: invalid shaders become an error |

mod autodiff;
mod cpu;
mod flex;
pub mod full_attention;
pub mod gelu;
mod gpu;
mod launch;
pub mod layer_norm;
mod products;
pub mod quantized;
pub mod reference;
pub mod self_test;

pub use cpu::{backward as cpu_backward, forward as cpu_forward};
pub use gelu::gelu;
pub use gpu::{KeyGradient, backward_with as gpu_backward, shader_sources};
pub use layer_norm::layer_norm;
pub use self_test::{SelfTestError, self_test, self_test_frozen};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// The sizes of one sparse sampling attention. Tokens are row-major on the grid: `token = row * cols + col`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SamplingShape {
    /// Images in the batch, B.
    pub batch: usize,
    /// Attention heads, H.
    pub heads: usize,
    /// Rows of the token grid.
    pub rows: usize,
    /// Columns of the token grid.
    pub cols: usize,
    /// Channels of one head, D.
    pub head_dim: usize,
    /// Sampled points of one query in one head, P.
    pub points: usize,
}

impl SamplingShape {
    /// Tokens of one image, N = rows · cols.
    pub fn tokens(&self) -> usize {
        self.rows * self.cols
    }

    /// The shape of q, k and v: `[B, H, N, D]`.
    pub fn qkv(&self) -> [usize; 4] {
        [self.batch, self.heads, self.tokens(), self.head_dim]
    }

    /// The shape of the offsets: `[B, H, N, P, 2]`, last axis (dx, dy).
    pub fn offsets(&self) -> [usize; 5] {
        [self.batch, self.heads, self.tokens(), self.points, 2]
    }

    /// The shape of the output: `[B, N, H * D]`.
    pub fn out(&self) -> [usize; 3] {
        [self.batch, self.tokens(), self.heads * self.head_dim]
    }

    /// What the logits are multiplied with, D^-½.
    pub fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
}

/// Sparse sampling attention of all heads.
///
/// - `q`, `k`, `v`: `[B, H, N, D]`, N = rows · cols, token = row · cols + col.
/// - `offsets`: `[B, H, N, P, 2]`, last axis (dx, dy) in grid cells, x along columns, from the query's own cell.
/// - `grid`: `[rows, cols]` of the token grid.
/// - Returns `[B, N, H * D]`, heads side by side, ready for the output projection.
///
/// Differentiable in all four tensors on an autodiff device. At whole-numbered sample positions the offset gradient jumps;
/// the one of the cell to the right of and below the sample is taken, as the official code does. All tensors are float32.
///
/// # Panics
/// When the shapes do not fit each other (a mistake in the calling code, as with any tensor operation of burn).
pub fn sparse_sampling_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    offsets: Tensor<5>,
    grid: [usize; 2],
) -> Tensor<3> {
    let [batch, heads, tokens, head_dim] = q.dims();
    let [rows, cols] = grid;
    let points = offsets.dims()[3];
    let shape = SamplingShape { batch, heads, rows, cols, head_dim, points };
    assert_eq!(tokens, shape.tokens(), "sparse sampling attention: {tokens} tokens on a grid of {rows} x {cols}");
    assert_eq!(k.dims(), shape.qkv(), "sparse sampling attention: the shape of k differs from that of q");
    assert_eq!(v.dims(), shape.qkv(), "sparse sampling attention: the shape of v differs from that of q");
    assert_eq!(offsets.dims(), shape.offsets(), "sparse sampling attention: offsets must be [B, H, N, P, 2]");
    assert!(points > 0 && head_dim > 0, "sparse sampling attention: at least one point and one channel");

    let out = <Dispatch as SamplingAttention>::ssa(
        q.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        offsets.into_dispatch(),
        shape,
    );
    Tensor::from_dispatch(out)
}

/// The operation as burn's dispatcher sees it: one method, implemented by every backend we run on.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait SamplingAttention: Backend {
    /// See [`sparse_sampling_attention`]; the shapes have been checked.
    fn ssa(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> FloatTensor<Self>;
}

/// What a concrete backend brings: both passes as kernels of its own.
pub trait SamplingKernels: Backend {
    /// `out` `[B, N, H * D]`.
    fn ssa_forward(inputs: SamplingInputs<Self>, shape: SamplingShape) -> FloatTensor<Self>;

    /// The gradients of q, k, v and offsets, each of its input's shape, for the upstream gradient `[B, N, H * D]`.
    fn ssa_backward(
        inputs: SamplingInputs<Self>,
        grad_out: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> SamplingInputs<Self>;
}

/// The four tensors of the operation, or their gradients.
#[derive(Clone, Debug)]
pub struct SamplingInputs<B: Backend> {
    /// `[B, H, N, D]`
    pub q: FloatTensor<B>,
    /// `[B, H, N, D]`
    pub k: FloatTensor<B>,
    /// `[B, H, N, D]`
    pub v: FloatTensor<B>,
    /// `[B, H, N, P, 2]`
    pub offsets: FloatTensor<B>,
}
