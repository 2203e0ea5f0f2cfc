//! Layer normalisation over the last axis as one operation on burn's tape.
//!
//! burn's tape has no such operation: it records the nine elementary ones and their derivatives, each a pass over the
//! whole tensor. Here both passes are one loop over the rows, on the CPU as in a shader; mean and variance are computed again
//! on the way back, which costs less than keeping them.
//!
//! ```text
//! x̂ = (x − mean) r,  r = (variance + ε)^-½         y = γ x̂ + β
//! ∂x = r (h − mean(h) − x̂ mean(h x̂)),  h = γ ∂y    ∂γ = Σ_rows ∂y x̂    ∂β = Σ_rows ∂y
//! ```

mod gpu;

pub use gpu::{backward_across, forward_across, shader_sources};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use wide::f32x4;

/// Layer normalisation over the last axis: `x` `[.., C]` of float32, `gamma` and `beta` `[C]`. Differentiable in all three
/// on an autodiff device.
///
/// # Panics
/// When the last axis of `x` is not as long as `gamma` and `beta`.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    assert_eq!([channels; 2], [gamma.dims()[0], beta.dims()[0]], "layer norm: the lengths of gamma and beta");
    Tensor::from_dispatch(<Dispatch as LayerNorm>::fused_layer_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    ))
}

/// The operation as burn's dispatcher sees it.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait LayerNorm: Backend {
    /// See [`layer_norm`].
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// What a concrete backend brings.
pub trait LayerNormKernels: Backend {
    /// `y`, of the shape of `x`.
    fn layer_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// The gradients of x, gamma and beta.
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
    ) -> [FloatTensor<Self>; 3];
}

impl LayerNorm for Flex {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::layer_norm_forward(x, gamma, beta, epsilon)
    }
}

impl LayerNormKernels for Flex {
    /// burn's CPU backend has this one.
    fn layer_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::layer_norm(x, gamma, Some(beta), epsilon)
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
    ) -> [FloatTensor<Self>; 3] {
        let (shape, columns) = (x.shape(), gamma.shape());
        let [x, gamma, grad] = [x, gamma, grad].map(crate::kernels::flex::dense);
        let [x, gamma, grad] = [&x, &gamma, &grad].map(crate::kernels::flex::floats);
        let [grad_x, grad_gamma, grad_beta] = backward(x, gamma, grad, epsilon as f32);
        let column = |data| FlexTensor::from_data(TensorData::new(data, columns.clone()));
        [FlexTensor::from_data(TensorData::new(grad_x, shape)), column(grad_gamma), column(grad_beta)]
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl<B: LayerNormKernels> Backward<B, 3> for LayerNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, gamma, epsilon) = ops.state;
        let gradients = B::layer_norm_backward(x, gamma, grad, epsilon);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LayerNormKernels, C: CheckpointStrategy> LayerNorm for Autodiff<B, C> {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
        match LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::layer_norm_forward(x.clone(), gamma.clone(), beta, epsilon);
                prep.finish((x, gamma, epsilon), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::layer_norm_forward(x, gamma, beta, epsilon)),
        }
    }
}

/// The gradients of x `[R, C]`, gamma and beta `[C]` on the CPU.
fn backward(x: &[f32], gamma: &[f32], grad: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    let channels = gamma.len();
    let mut grad_x = vec![0.0; x.len()];
    let (mut grad_gamma, mut grad_beta) = (vec![0.0; channels], vec![0.0; channels]);
    let share = 1.0 / channels as f32;
    let rows = x.chunks_exact(channels).zip(grad.chunks_exact(channels)).zip(grad_x.chunks_exact_mut(channels));
    for ((x, grad), grad_x) in rows {
        let mean = share * sum(x, x, |x, _| x);
        let centre = f32x4::splat(mean);
        let variance = share * sum(x, x, |x, _| (x - centre) * (x - centre));
        let r = 1.0 / (variance + epsilon).sqrt();
        let flat = share * sum(grad, gamma, |g, gamma| g * gamma);
        // h is needed against x as well: three operands, so grad_x holds h for a moment.
        for ((h, &g), &gamma) in grad_x.iter_mut().zip(grad).zip(gamma) {
            *h = g * gamma;
        }
        let along = share * sum(grad_x, x, |h, x| h * ((x - centre) * f32x4::splat(r)));
        for (h, &x) in grad_x.iter_mut().zip(x) {
            *h = r * (*h - flat - (x - mean) * r * along);
        }
        for (((total, shift), &g), &x) in grad_gamma.iter_mut().zip(&mut grad_beta).zip(grad).zip(x) {
            *total += g * ((x - mean) * r);
            *shift += g;
        }
    }
    [grad_x, grad_gamma, grad_beta]
}

/// `Σ f(a, b)` over two rows of the same length, four elements at a time.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], f: impl Fn(f32x4, f32x4) -> f32x4) -> f32 {
    let (a, a_tail) = a.as_chunks::<4>();
    let (b, b_tail) = b.as_chunks::<4>();
    let mut total = f32x4::ZERO;
    for (&a, &b) in a.iter().zip(b) {
        total += f(f32x4::from(a), f32x4::from(b));
    }
    let rest: f32 = a_tail.iter().zip(b_tail).map(|(&a, &b)| f(f32x4::splat(a), f32x4::splat(b)).to_array()[0]).sum();
    total.reduce_add() + rest
}
