//! The exact GELU, `x · Φ(x)` with the normal distribution function Φ, and its exact derivative.
//!
//! burn has the operation, but its GPU backend takes the derivative of another function (the tanh approximation, with
//! rounded constants; burn-backend 0.22.1, `ops/activation.rs`), and its CPU backend computes the error function one
//! element at a time: in the browser that costs more than the matrix products around it (for 324 tokens of 768 channels
//! 4.5 ms forward and 10.6 ms backward, against 1.1 ms in vectors).
//!
//! The error function is Abramowitz and Stegun 7.1.26, off by at most 1.5e-7: rounding of float32, here as in the shaders.

use super::launch::{self, GROUP, dense, input_access};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{KernelSource, SourceTemplate};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use cubecl::prelude::KernelId;
use wide::f32x4;

/// GELU (exact, with the error function) of a float32 tensor of any shape. Differentiable on an autodiff device.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Gelu>::exact_gelu(x.into_dispatch()))
}

/// The operation as burn's dispatcher sees it.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait Gelu: Backend {
    /// See [`gelu`].
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a concrete backend brings.
pub trait GeluKernels: Backend {
    /// `x · Φ(x)`
    fn gelu_forward(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// `grad · (Φ(x) + x · φ(x))`
    fn gelu_exact_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Gelu for Flex {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::gelu_forward(x)
    }
}

impl GeluKernels for Flex {
    fn gelu_forward(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let x = super::flex::dense(x);
        FlexTensor::from_data(TensorData::new(forward(super::flex::floats(&x)), shape))
    }

    fn gelu_exact_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let (x, grad) = (super::flex::dense(x), super::flex::dense(grad));
        FlexTensor::from_data(TensorData::new(backward(super::flex::floats(&x), super::flex::floats(&grad)), shape))
    }
}

impl<B: GeluKernels, C: CheckpointStrategy> Gelu for Autodiff<B, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GeluBackward;

        impl<B: GeluKernels> Backward<B, 1> for GeluBackward {
            type State = FloatTensor<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let [parent] = ops.parents;
                if let Some(parent) = parent {
                    grads.register::<B>(parent.id, B::gelu_exact_backward(ops.state, grad));
                }
            }
        }

        let node = x.node();
        let x = x.into_primitive();
        match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::gelu_forward(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::gelu_forward(x)),
        }
    }
}

impl Gelu for Cube {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::gelu_forward(x)
    }
}

impl GeluKernels for Cube {
    fn gelu_forward(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = dense(x);
        let y = launch::empty(&x, x.shape());
        let groups = x.shape().num_elements().div_ceil(GROUP);
        launch::run(&x.client, GeluKernel::Forward, groups, &[&x.handle], &[&y.handle]);
        y
    }

    fn gelu_exact_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, grad) = (dense(x), dense(grad));
        let grad_x = launch::empty(&x, x.shape());
        let groups = x.shape().num_elements().div_ceil(GROUP);
        launch::run(&x.client, GeluKernel::Backward, groups, &[&x.handle, &grad.handle], &[&grad_x.handle]);
        grad_x
    }
}

/// The kernels, one WGSL file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum GeluKernel {
    Forward,
    Backward,
}

impl KernelSource for GeluKernel {
    fn source(&self) -> SourceTemplate {
        let text = match self {
            GeluKernel::Forward => include_str!("../../shaders/gelu_forward.wgsl"),
            GeluKernel::Backward => include_str!("../../shaders/gelu_backward.wgsl"),
        };
        SourceTemplate::new(include_str!("../../shaders/gelu_common.wgsl"))
            .add_template(text)
            .register("input", input_access())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(*self)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The complete WGSL texts, with their names.
pub(super) fn shader_sources() -> impl Iterator<Item = (String, String)> {
    [GeluKernel::Forward, GeluKernel::Backward]
        .into_iter()
        .map(|kernel| (format!("Gelu{kernel:?}"), kernel.source().complete()))
}

/// `x · Φ(x)` on the CPU.
pub(super) fn forward(x: &[f32]) -> Vec<f32> {
    map(x, x, |x, _| x * normal(x).0)
}

/// `x · Φ(x)` on the CPU, for the end of a kernel that computes something else.
#[inline]
pub(super) fn in_place(x: &mut [f32]) {
    let (quads, rest) = x.as_chunks_mut::<4>();
    for quad in quads {
        let x = f32x4::from(*quad);
        *quad = (x * normal(x).0).to_array();
    }
    for x in rest {
        *x *= normal(f32x4::splat(*x)).0.to_array()[0];
    }
}

/// `grad · (Φ(x) + x · φ(x))` on the CPU.
pub(super) fn backward(x: &[f32], grad: &[f32]) -> Vec<f32> {
    map(x, grad, |x, grad| {
        let (cdf, density) = normal(x);
        grad * (cdf + x * density)
    })
}

/// Element by element, four at a time.
#[inline(always)]
fn map(a: &[f32], b: &[f32], f: impl Fn(f32x4, f32x4) -> f32x4) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    let (a, a_tail) = a.as_chunks::<4>();
    let (b, b_tail) = b.as_chunks::<4>();
    let (rows, tail) = out.as_chunks_mut::<4>();
    for ((row, &a), &b) in rows.iter_mut().zip(a).zip(b) {
        *row = f(f32x4::from(a), f32x4::from(b)).to_array();
    }
    for ((x, &a), &b) in tail.iter_mut().zip(a_tail).zip(b_tail) {
        *x = f(f32x4::splat(a), f32x4::splat(b)).to_array()[0];
    }
    out
}

/// Φ and φ, the normal distribution's function and density.
#[inline(always)]
fn normal(x: f32x4) -> (f32x4, f32x4) {
    let one = f32x4::splat(1.0);
    let a = x.abs() * f32x4::splat(std::f32::consts::FRAC_1_SQRT_2);
    let t = one / (one + f32x4::splat(0.327_591_1) * a);
    let p = [1.421_413_8, -0.284_496_72, 0.254_829_6]
        .into_iter()
        .fold(f32x4::splat(1.061_405_4) * t + f32x4::splat(-1.453_152_1), |p, c| p * t + f32x4::splat(c));
    let power = (-(a * a)).exp();
    let tail = f32x4::splat(0.5) * t * p * power;
    let cdf = x.simd_lt(f32x4::splat(0.0)).select(tail, one - tail);
    (cdf, f32x4::splat(0.398_942_3) * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivative_is_that_of_the_function() {
        // Differences of the float32 function itself are too coarse; these of the normal distribution are not.
        let x: Vec<f32> = (-400..=400).map(|i| i as f32 * 0.02).collect();
        let slope = backward(&x, &vec![1.0; x.len()]);
        let y = forward(&x);
        for i in 1..x.len() - 1 {
            let difference = (f64::from(y[i + 1]) - f64::from(y[i - 1])) / 0.04;
            assert!((difference - f64::from(slope[i])).abs() < 3e-4, "at {}: {difference} {}", x[i], slope[i]);
        }
    }

    #[test]
    fn extremes_keep_their_limits() {
        assert_eq!(forward(&[0.0, 50.0, -50.0, 1e30, -1e30]), [0.0, 50.0, 0.0, 1e30, 0.0]);
        assert_eq!(backward(&[50.0, -50.0, 0.0], &[2.0, 2.0, 2.0]), [2.0, 0.0, 1.0]);
        assert!(forward(&[f32::NAN])[0].is_nan());
    }
}
