//! Full attention on burn's CPU backend.

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::ops::{AttentionModuleOptions, FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};

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
        if !cfg!(target_family = "wasm") {
            // burn's own: wider vectors, chosen at run time, and threads. Its N x N matrix is that of one head.
            let out = Self::attention(q, k, v, None, None, AttentionModuleOptions::default()); // [B, H, N, D]
            return Self::float_reshape(Self::float_swap_dims(out, 1, 2), Shape::from(shape.out().to_vec()));
        }
        let [q, k, v] = [q, k, v].map(dense);
        let out = cpu::forward(&shape, floats(&q), floats(&k), floats(&v));
        FlexTensor::from_data(TensorData::new(out, shape.out()))
    }
}
