//! Frozen linear layers on burn's GPU backend: the Rust side of `shaders/quantized_*.wgsl`.

use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeTensor, KernelSource, SourceTemplate};
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Shape;
use cubecl::prelude::KernelId;
use cubecl::server::Handle;

use super::block::WeightKind;
use super::matrix::Storage;
use super::tuning::GpuTile;
use super::upload::{Part, QUAD, Upload};
use super::{Activation, FrozenLinear, FrozenLinearKernels, QuantizedMatrix};
use crate::kernels::launch::{self, GROUP, dense};

/// Rows and outputs of a workgroup, and its invocations, in `quantized_linear_workgroup.wgsl`.
const SIDE: usize = 64;
const SIDE_GROUP: usize = 256;
/// Rows of an invocation in the other kernels.
const TILE: usize = 4;

impl FrozenLinear for Cube {
    fn frozen_linear(x: FloatTensor<Self>, weight: QuantizedMatrix, activation: Activation) -> FloatTensor<Self> {
        Self::linear_forward(x, None, &weight, activation)
    }

    fn frozen_linear_biased(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self> {
        Self::linear_forward(x, Some(bias), &weight, activation)
    }
}

impl FrozenLinearKernels for Cube {
    fn linear_forward(
        x: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        weight: &QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let upload = upload(weight);
        let (x, bias) = (dense(x), bias.map(dense));
        let rows = x.shape()[0];
        let y = launch::empty(&x, Shape::from(vec![rows, upload.outputs]));
        for part in &upload.parts {
            let pass = Pass::Forward { tile: weight.tuning().gpu, bias: bias.is_some(), activation };
            LinearKernel::new(pass, rows, upload, part).run(&x, part, bias.as_ref(), &y);
        }
        y
    }

    fn linear_backward(grad: FloatTensor<Self>, weight: &QuantizedMatrix) -> FloatTensor<Self> {
        let upload = upload(weight);
        let grad = dense(grad);
        let rows = grad.shape()[0];
        let grad_x = launch::empty(&grad, Shape::from(vec![rows, upload.inputs]));
        for part in &upload.parts {
            LinearKernel::new(Pass::Backward, rows, upload, part).run(&grad, part, None, &grad_x);
        }
        grad_x
    }
}

fn upload(weight: &QuantizedMatrix) -> &Upload {
    match &weight.storage {
        Storage::Gpu(upload) => upload,
        Storage::Cpu(_) => panic!("quantized linear: x is on the GPU, the weights are on the CPU"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pass {
    Forward { tile: GpuTile, bias: bool, activation: Activation },
    Backward,
}

/// One kernel at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LinearKernel {
    pass: Pass,
    kind: WeightKind,
    rows: usize,
    inputs: usize,
    /// Outputs of the whole matrix.
    all: usize,
    /// First output of the part.
    first: usize,
    /// Outputs of the part.
    outputs: usize,
}

impl LinearKernel {
    fn new(pass: Pass, rows: usize, upload: &Upload, part: &Part) -> Self {
        let &Upload { kind, inputs, outputs: all, .. } = upload;
        Self { pass, kind, rows, inputs, all, first: part.first, outputs: part.outputs }
    }

    fn run(self, input: &CubeTensor, part: &Part, bias: Option<&CubeTensor>, output: &CubeTensor) {
        let tiles = self.rows.div_ceil(TILE);
        let (group, groups) = match self.pass {
            Pass::Forward { tile: GpuTile::Workgroup, .. } => {
                (SIDE_GROUP, self.rows.div_ceil(SIDE) * self.outputs.div_ceil(SIDE))
            }
            Pass::Forward { tile: GpuTile::Registers, .. } => {
                (GROUP, (tiles * self.outputs.div_ceil(QUAD)).div_ceil(GROUP))
            }
            Pass::Backward => (GROUP, (tiles * self.inputs / 4).div_ceil(GROUP)),
        };
        let inputs: Vec<&Handle> =
            [Some(&input.handle), Some(&part.quants), part.scales.as_ref(), bias.map(|bias| &bias.handle)]
                .into_iter()
                .flatten()
                .collect();
        launch::run_sized(&input.client, self, group, groups, &inputs, &[&output.handle]);
    }

    fn weights(&self) -> &'static str {
        match self.kind {
            WeightKind::F32 => include_str!("../../../shaders/quantized_weights_f32.wgsl"),
            WeightKind::F16 => include_str!("../../../shaders/quantized_weights_f16.wgsl"),
            WeightKind::Q8_0 => include_str!("../../../shaders/quantized_weights_q8_0.wgsl"),
            WeightKind::Q4_0 => include_str!("../../../shaders/quantized_weights_q4_0.wgsl"),
        }
    }
}

impl KernelSource for LinearKernel {
    fn source(&self) -> SourceTemplate {
        let access = launch::input_access();
        // Bindings: x (or the gradient of y) 0, weights 1, scales if there are any, bias if there is one, then the output.
        let after_weights = if self.kind.is_quantized() { 3 } else { 2 };
        let common = SourceTemplate::new(include_str!("../../../shaders/quantized_common.wgsl"))
            .add_template(self.weights())
            .register("rows", self.rows.to_string())
            .register("inputs", self.inputs.to_string())
            .register("all", self.all.to_string())
            .register("first", self.first.to_string())
            .register("outputs", self.outputs.to_string())
            .register("input", access);
        match self.pass {
            Pass::Forward { tile, bias, activation } => {
                let binding = format!("@group(0) @binding({after_weights}) var<storage, {access}> bias: array<f32>;");
                common
                    .add_template(include_str!("../../../shaders/gelu_common.wgsl"))
                    .add_template(match tile {
                        GpuTile::Registers => include_str!("../../../shaders/quantized_linear_registers.wgsl"),
                        GpuTile::Workgroup => include_str!("../../../shaders/quantized_linear_workgroup.wgsl"),
                    })
                    .register("bias_binding", if bias { binding.as_str() } else { "" })
                    .register("plus_bias", if bias { " + bias[output]" } else { "" })
                    .register("last", (after_weights + usize::from(bias)).to_string())
                    .register(
                        "activation",
                        match activation {
                            Activation::None => "sum",
                            Activation::Gelu => "sum * normal(sum).cdf",
                        },
                    )
            }
            Pass::Backward => {
                let whole = self.all.is_multiple_of(QUAD);
                let (lane, gradients) = if whole { ("vec4<f32>", QUADS_WHOLE) } else { ("f32", QUADS_RAGGED) };
                common
                    .add_template(include_str!("../../../shaders/quantized_linear_backward.wgsl"))
                    .register("lane", lane)
                    .register("gradients", gradients)
                    .register("before", if self.first > 0 { "grad_x[at] + " } else { "" })
                    .register("last", after_weights.to_string())
            }
        }
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(*self)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Rows of gradients that are whole quads (parts begin at whole quads).
const QUADS_WHOLE: &str = "return grad_y[(row * ALL_OUTPUTS + FIRST) / 4u + quad];";

/// Other rows: number by number, zero after the last.
const QUADS_RAGGED: &str = "var numbers = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        if (quad * 4u + lane < OUTPUTS) {
            numbers[lane] = grad_y[row * ALL_OUTPUTS + FIRST + quad * 4u + lane];
        }
    }
    return numbers;";

/// The complete WGSL texts for `rows` rows of x and a `[outputs, inputs]` matrix, with their names; for validation without a
/// device.
pub fn shader_sources(rows: usize, [outputs, inputs]: [usize; 2]) -> Vec<(String, String)> {
    let forward = |tile, bias, activation| Pass::Forward { tile, bias, activation };
    let passes = [
        forward(GpuTile::Registers, true, Activation::Gelu),
        forward(GpuTile::Registers, false, Activation::None),
        forward(GpuTile::Workgroup, true, Activation::Gelu),
        forward(GpuTile::Workgroup, false, Activation::None),
        Pass::Backward,
    ];
    let kernels = WeightKind::ALL.into_iter().flat_map(|kind| passes.map(|pass| (kind, pass)));
    kernels
        .map(|(kind, pass)| {
            let kernel = LinearKernel { pass, kind, rows, inputs, all: outputs, first: 0, outputs };
            (format!("{kind:?} {pass:?}"), kernel.source().complete())
        })
        .collect()
}
