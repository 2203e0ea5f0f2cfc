//! Sparse sampling attention on burn's CPU backend.

use super::{SamplingAttention, SamplingInputs, SamplingKernels, SamplingShape, cpu};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, TensorData};

impl SamplingAttention for Flex {
    fn ssa(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> FloatTensor<Self> {
        Self::ssa_forward(SamplingInputs { q, k, v, offsets }, shape)
    }
}

impl SamplingKernels for Flex {
    fn ssa_forward(inputs: SamplingInputs<Self>, shape: SamplingShape) -> FloatTensor<Self> {
        let (q, k, v, offsets) = (dense(inputs.q), dense(inputs.k), dense(inputs.v), dense(inputs.offsets));
        let out = cpu::forward(&shape, floats(&q), floats(&k), floats(&v), floats(&offsets));
        FlexTensor::from_data(TensorData::new(out, shape.out()))
    }

    fn ssa_backward(
        inputs: SamplingInputs<Self>,
        grad_out: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> SamplingInputs<Self> {
        let (q, k, v, offsets) = (dense(inputs.q), dense(inputs.k), dense(inputs.v), dense(inputs.offsets));
        let grad_out = dense(grad_out);
        let grads = cpu::backward(&shape, floats(&q), floats(&k), floats(&v), floats(&offsets), floats(&grad_out));
        let qkv = |data| FlexTensor::from_data(TensorData::new(data, shape.qkv()));
        SamplingInputs {
            q: qkv(grads.q),
            k: qkv(grads.k),
            v: qkv(grads.v),
            offsets: FlexTensor::from_data(TensorData::new(grads.offsets, shape.offsets())),
        }
    }
}

/// The tensor in row-major order, copied only when it is not already.
pub(super) fn dense(tensor: FlexTensor) -> FlexTensor {
    assert_eq!(tensor.dtype(), DType::F32, "sparse sampling attention takes float32 tensors");
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The elements of a tensor that [`dense`] returned.
pub(super) fn floats(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice::<f32>() {
        Some(slice) => slice,
        None => unreachable!("`dense` has checked the type and the layout"),
    }
}
