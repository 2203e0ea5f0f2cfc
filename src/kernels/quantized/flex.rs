//! Frozen linear layers on burn's CPU backend.

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};

use super::cpu::{self, chunks};
use super::matrix::Storage;
use super::panels::Panels;
use super::tuning::CpuMethod;
use super::{Activation, FrozenLinear, FrozenLinearKernels, QuantizedMatrix};
use crate::kernels::flex::{dense, floats};
use crate::kernels::gelu;
use crate::kernels::products::{BLOCK, PANEL};

/// Panels that are float32 at a time for burn's product: 512 outputs.
const SLICE: usize = 64;

impl FrozenLinear for Flex {
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

impl FrozenLinearKernels for Flex {
    fn linear_forward(
        x: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        weight: &QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let panels = panels(weight);
        let (x, bias) = (dense(x), bias.map(dense));
        let bias = bias.as_ref().map(floats);
        let rows = x.shape()[0];
        let out = match weight.tuning().cpu {
            CpuMethod::Slices => slices(x, panels, bias, activation),
            method => cpu::forward(floats(&x), rows, panels, bias, activation, method),
        };
        FlexTensor::from_data(TensorData::new(out, [rows, panels.outputs]))
    }

    fn linear_backward(grad: FloatTensor<Self>, weight: &QuantizedMatrix) -> FloatTensor<Self> {
        let panels = panels(weight);
        match weight.tuning().cpu {
            CpuMethod::Slices => slices_backward(grad, panels),
            CpuMethod::Integer | CpuMethod::Float => {
                let grad = dense(grad);
                let rows = grad.shape()[0];
                FlexTensor::from_data(TensorData::new(
                    cpu::backward(floats(&grad), rows, panels),
                    [rows, panels.inputs],
                ))
            }
        }
    }
}

fn panels(weight: &QuantizedMatrix) -> &Panels {
    match &weight.storage {
        Storage::Cpu(panels) => panels,
        Storage::Gpu(_) => panic!("quantized linear: x is on the CPU, the weights are on the GPU"),
    }
}

/// Forward by burn's product, some panels of weights at a time as a matrix `[K, outputs]`.
fn slices(x: FlexTensor, panels: &Panels, bias: Option<&[f32]>, activation: Activation) -> Vec<f32> {
    let (rows, outputs) = (x.shape()[0], panels.outputs);
    let mut out = vec![0.0; rows * outputs];
    for range in chunks(panels.count(), SLICE) {
        let (first, weights) = slice(panels, range);
        let width = weights.shape()[1];
        let y = dense(Flex::float_matmul(x.clone(), weights)); // [M, width]
        for (out, y) in out.chunks_exact_mut(outputs).zip(floats(&y).chunks_exact(width)) {
            let out = &mut out[first..first + width];
            out.copy_from_slice(y);
            if let Some(bias) = bias {
                out.iter_mut().zip(&bias[first..first + width]).for_each(|(out, bias)| *out += bias);
            }
            if activation == Activation::Gelu {
                gelu::in_place(out);
            }
        }
    }
    out
}

/// Backward by burn's product.
fn slices_backward(grad: FlexTensor, panels: &Panels) -> FlexTensor {
    chunks(panels.count(), SLICE)
        .map(|range| {
            let (first, weights) = slice(panels, range);
            let width = weights.shape()[1];
            let part = Flex::float_slice(grad.clone(), &[(..).into(), (first..first + width).into()]); // [M, width]
            Flex::float_matmul(part, Flex::float_transpose(weights)) // [M, K]
        })
        .reduce(Flex::float_add)
        .unwrap_or_else(|| unreachable!("a matrix has outputs"))
}

/// The weights of some panels as float32, `[K, outputs]`, and the first of these outputs.
fn slice(panels: &Panels, range: Range<usize>) -> (usize, FlexTensor) {
    let first = range.start * PANEL;
    let width = (range.end * PANEL).min(panels.outputs) - first;
    let mut weights = vec![0.0; panels.inputs * width];
    let mut buffer = Vec::new();
    for (at, panel) in range.enumerate() {
        let lanes = PANEL.min(width - at * PANEL);
        let rows = panels.floats(panel, 0..panels.inputs / BLOCK, &mut buffer);
        for (weights, row) in weights.chunks_exact_mut(width).zip(rows) {
            weights[at * PANEL..][..lanes].copy_from_slice(&row[..lanes]);
        }
    }
    (first, FlexTensor::from_data(TensorData::new(weights, Shape::from(vec![panels.inputs, width]))))
}
