//! Linear layers whose weights are frozen and stored as ggml stores them: `y = x · Wᵀ + b`, dequantized on the fly.
//!
//! W is `[outputs N, inputs K]`, every row in blocks of 32 weights along K with a scale each (Q8_0: signed bytes, Q4_0: half
//! bytes less 8), or plain F16 or F32. The weights never exist as a whole in float32: a matrix takes the memory of its file.
//!
//! | file | what |
//! | --- | --- |
//! | `block` | ggml's bytes, block by block |
//! | `matrix` | [`QuantizedMatrix`]: the weights on a device |
//! | `tuning` | which of several implementations a matrix is multiplied with |
//! | `panels` | the weights on the CPU, arranged for SIMD |
//! | `cpu` | both passes in SIMD, native and wasm |
//! | `flex` | the same for burn's `Flex` backend, or by its own product |
//! | `upload` | the weights on the GPU, arranged for aligned loads |
//! | `gpu` | the Rust side of `shaders/quantized_*.wgsl`, both passes for burn's `Cube` backend |
//! | `autodiff` | the gradient of x (and of the bias) on burn's tape; weights have none |

mod autodiff;
mod block;
mod cpu;
mod flex;
mod gpu;
mod matrix;
mod panels;
mod tuning;
mod upload;

pub use super::products::BLOCK;
pub use block::WeightKind;
pub use gpu::shader_sources;
pub use matrix::{MatrixError, QuantizedMatrix};
pub use tuning::{CpuMethod, GpuTile, Tuning, faster, measure};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// What is applied to `x · Wᵀ + b`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    #[default]
    None,
    /// The exact GELU of [`super::gelu()`]. Part of the same kernel where nothing has to be differentiated.
    Gelu,
}

/// A linear layer with frozen weights.
///
/// - `x`: `[M, K]` of float32, any M.
/// - `weight`: `[N, K]`, on the device of `x`.
/// - `bias`: `[N]`.
/// - Returns `[M, N]`.
///
/// Differentiable in `x` and `bias` on an autodiff device; the weights are constants.
///
/// # Panics
/// When the shapes do not fit each other or the weights lie on another kind of device (a mistake in the calling code, as with
/// any tensor operation of burn).
pub fn quantized_linear(
    x: Tensor<2>,
    weight: &QuantizedMatrix,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    assert_eq!(inputs, weight.inputs(), "quantized linear: the inputs of x and of the weights");
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [weight.outputs()], "quantized linear: the length of the bias");
    }
    if rows == 0 {
        return Tensor::zeros([0, weight.outputs()], &x.device());
    }
    let (x, weight) = (x.into_dispatch(), weight.clone());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::frozen_linear_biased(x, bias.into_dispatch(), weight, activation),
        None => Dispatch::frozen_linear(x, weight, activation),
    })
}

/// The operation as burn's dispatcher sees it, which knows no optional tensors.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait FrozenLinear: Backend {
    /// See [`quantized_linear`]; the shapes have been checked.
    fn frozen_linear(x: FloatTensor<Self>, weight: QuantizedMatrix, activation: Activation) -> FloatTensor<Self>;

    /// The same with a bias.
    fn frozen_linear_biased(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

/// What a concrete backend brings.
pub trait FrozenLinearKernels: Backend {
    /// `activation(x · Wᵀ + b)`: `[M, K]` → `[M, N]`.
    fn linear_forward(
        x: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        weight: &QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The gradient of x, `∂y · W`: `[M, N]` → `[M, K]`.
    fn linear_backward(grad: FloatTensor<Self>, weight: &QuantizedMatrix) -> FloatTensor<Self>;
}
