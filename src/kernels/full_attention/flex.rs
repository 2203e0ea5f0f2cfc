//! Full attention on burn's CPU backend.

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

use super::{AttentionShape, FullAttention, FullAttentionKernels, cpu};
use crate::kernels::flex::{dense, floats};

impl FullAttention for Flex {
    fn attend_fully(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::attention_forward(q, k, v)
    }
}

impl FullAttentionKernels for Flex {
    fn attention_forward(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = AttentionShape::of(&q.shape());
        let [q, k, v] = [q, k, v].map(dense);
        let out = cpu::forward(&shape, floats(&q), floats(&k), floats(&v));
        FlexTensor::from_data(TensorData::new(out, shape.out()))
    }
}
