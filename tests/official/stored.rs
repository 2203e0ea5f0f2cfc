//! The tensors of a reference file.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::Mismatch;

/// A tensor of a reference file, integers as numbers too.
#[derive(Debug, Clone)]
pub struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Stored {
    pub fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|value| *value as f32).collect()
    }

    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.floats(), self.shape.clone()), device)
    }
}

/// The tensors of a safetensors file.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Stored>, Mismatch> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| Mismatch(error.to_string()))?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView)| {
        let values = match view.dtype() {
            Dtype::F32 => chunks(view.data(), |chunk| f64::from(f32::from_le_bytes(chunk))),
            Dtype::F64 => chunks(view.data(), f64::from_le_bytes),
            Dtype::I64 => chunks(view.data(), |chunk| i64::from_le_bytes(chunk) as f64),
            other => return Err(Mismatch(format!("{name}: {other:?}"))),
        };
        Ok((name.to_string(), Stored { shape: view.shape().to_vec(), values }))
    };
    file.iter().map(stored).collect()
}

fn chunks<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}
