//! Layer norm on burn's GPU backend: the Rust side of `shaders/layer_norm_*.wgsl`.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeTensor, KernelSource, SourceTemplate};
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Shape;
use cubecl::client::Client;
use cubecl::prelude::KernelId;

use super::{LayerNorm, LayerNormKernels};
use crate::kernels::launch::{self, GROUP, dense};

impl LayerNorm for Cube {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::layer_norm_forward(x, gamma, beta, epsilon)
    }
}

impl LayerNormKernels for Cube {
    fn layer_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let across = across(&x.client);
        forward_across(x, gamma, beta, epsilon, across)
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
    ) -> [FloatTensor<Self>; 3] {
        let across = across(&x.client);
        backward_across(x, gamma, grad, epsilon, across)
    }
}

/// Invocations of a row on this device.
fn across(client: &Client) -> usize {
    if launch::is_software(client) { 1 } else { GROUP }
}

/// The forward pass with 1 or 64 invocations a row, for tests and measurements.
pub fn forward_across(x: CubeTensor, gamma: CubeTensor, beta: CubeTensor, epsilon: f64, across: usize) -> CubeTensor {
    let [x, gamma, beta] = [x, gamma, beta].map(dense);
    let y = launch::empty(&x, x.shape());
    let kernel = NormKernel::new(Pass::Forward, &x.shape(), epsilon, across);
    launch::run(&x.client, kernel, kernel.groups(), &[&x.handle, &gamma.handle, &beta.handle], &[&y.handle]);
    y
}

/// The gradients of x, gamma and beta with 1 or 64 invocations a row, for tests and measurements.
pub fn backward_across(
    x: CubeTensor,
    gamma: CubeTensor,
    grad: CubeTensor,
    epsilon: f64,
    across: usize,
) -> [CubeTensor; 3] {
    let [x, gamma, grad] = [x, gamma, grad].map(dense);
    let (grad_x, slopes) = (launch::empty(&x, x.shape()), launch::empty(&x, x.shape()));
    let kernel = NormKernel::new(Pass::Backward, &x.shape(), epsilon, across);
    let inputs = [&x.handle, &gamma.handle, &grad.handle];
    launch::run(&x.client, kernel, kernel.groups(), &inputs, &[&grad_x.handle, &slopes.handle]);
    let rows = Shape::from(vec![kernel.rows, kernel.channels]);
    let columns = |tensor| {
        let sum = Cube::float_sum_dim(Cube::float_reshape(tensor, rows.clone()), 0);
        Cube::float_reshape(sum, Shape::from(vec![kernel.channels]))
    };
    [grad_x, columns(slopes), columns(grad)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pass {
    Forward,
    Backward,
}

/// One kernel at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct NormKernel {
    pass: Pass,
    rows: usize,
    channels: usize,
    /// The bits of an f32, which has no `Eq`.
    epsilon: u32,
    /// Invocations of a row.
    across: usize,
}

impl NormKernel {
    fn new(pass: Pass, shape: &Shape, epsilon: f64, across: usize) -> Self {
        let channels = shape[shape.num_dims() - 1];
        let rows = shape.num_elements() / channels.max(1);
        Self { pass, rows, channels, epsilon: (epsilon as f32).to_bits(), across }
    }

    fn groups(&self) -> usize {
        (self.rows * self.across).div_ceil(GROUP)
    }
}

impl KernelSource for NormKernel {
    fn source(&self) -> SourceTemplate {
        let text = match self.pass {
            Pass::Forward => include_str!("../../../shaders/layer_norm_forward.wgsl"),
            Pass::Backward => include_str!("../../../shaders/layer_norm_backward.wgsl"),
        };
        SourceTemplate::new(include_str!("../../../shaders/layer_norm_common.wgsl"))
            .add_template(text)
            .register("total", if self.across == 1 { ALONE } else { TOGETHER })
            .register("rows", self.rows.to_string())
            .register("channels", self.channels.to_string())
            .register("epsilon", format!("{:?}", f32::from_bits(self.epsilon)))
            .register("across", self.across.to_string())
            .register("input", launch::input_access())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(*self)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The sum over the invocations of a row, where there is one.
const ALONE: &str = "fn total(value: f32, lane: u32) -> f32 {
    return value;
}";

/// The same for a workgroup.
const TOGETHER: &str = "var<workgroup> parts: array<f32, 64>;

fn total(value: f32, lane: u32) -> f32 {
    parts[lane] = value;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
    }
    workgroupBarrier();
    let sum = parts[0];
    workgroupBarrier();
    return sum;
}";

/// The complete WGSL texts for `rows` rows of `channels`, with their names; for validation without a device.
pub fn shader_sources(rows: usize, channels: usize) -> Vec<(String, String)> {
    let shape = Shape::from(vec![rows, channels]);
    let kernels = [Pass::Forward, Pass::Backward].into_iter().flat_map(|pass| [1, GROUP].map(|across| (pass, across)));
    kernels
        .map(|(pass, across)| {
            let kernel = NormKernel::new(pass, &shape, 1e-6, across);
            (format!("LayerNorm{pass:?}, {across} across"), kernel.source().complete())
        })
        .collect()
}
