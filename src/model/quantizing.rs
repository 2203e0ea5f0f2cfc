//! A source of parameters whose large matrices are quantized on the way, as a weights file of that quantization holds them.

use super::NamedValues;
use super::parameters::{ParameterError, ParameterSource, StoredWeights};
use crate::kernels::quantized::{BLOCK, WeightKind};
use crate::weights::{Quantization, TensorType, decode, encode};

/// Parameters of another source: projections stay quantized (and frozen), other matrices that a file would quantize are
/// rounded as it would round them, everything small is left alone ([`Quantization::of`]), and what the other source keeps
/// stored stays as it is.
pub struct Quantizing<'a> {
    source: &'a mut dyn ParameterSource,
    quantization: Quantization,
}

impl<'a> Quantizing<'a> {
    pub fn new(source: &'a mut dyn ParameterSource, quantization: Quantization) -> Self {
        Self { source, quantization }
    }

    /// The parameter as the file's bytes.
    fn bytes(&mut self, kind: TensorType, name: &str, shape: &[usize]) -> Result<Vec<u8>, ParameterError> {
        let values = self.source.values(name, shape)?;
        let mut bytes = Vec::with_capacity(kind.bytes(values.len() as u64).unwrap_or_default() as usize);
        match encode(kind, &values, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(index) => {
                let reason = format!("it holds {}, which {} cannot store; choose f32", values[index], kind.name());
                Err(ParameterError::Source { name: name.to_owned(), reason })
            }
        }
    }
}

impl ParameterSource for Quantizing<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let kind = self.quantization.of(name, shape);
        if kind == TensorType::F32 {
            return self.source.values(name, shape);
        }
        let bytes = self.bytes(kind, name, shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        decode(kind, &bytes, &mut values);
        Ok(values)
    }

    fn unused(&mut self, name: &str, shape: &[usize]) -> Result<Option<NamedValues>, ParameterError> {
        self.source.unused(name, shape)
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        if let Some(stored) = self.source.stored(name, shape)? {
            return Ok(Some(stored));
        }
        let tensor = self.quantization.of(name, &shape);
        let kind = match tensor {
            TensorType::F16 => WeightKind::F16,
            TensorType::Q8_0 => WeightKind::Q8_0,
            TensorType::Q4_0 => WeightKind::Q4_0,
            _ => return Ok(None),
        };
        // F16 has no blocks in a file, but is multiplied in blocks.
        if !shape[1].is_multiple_of(BLOCK) {
            return Ok(None);
        }
        Ok(Some(StoredWeights { kind, bytes: self.bytes(tensor, name, &shape)? }))
    }

    fn trains(&self, name: &str) -> bool {
        self.source.trains(name)
    }

    fn low_rank(&self, name: &str) -> Option<(usize, f64)> {
        self.source.low_rank(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Formula;

    #[test]
    fn projections_stay_stored_and_small_tensors_stay_exact() {
        let mut formula = Formula;
        let mut source = Quantizing::new(&mut formula, Quantization::Q4_0);
        let stored = source.stored("spat_encoder.blocks.0.mlp.fc1.weight", [256, 64]).unwrap().unwrap();
        assert_eq!((stored.kind, stored.bytes.len()), (WeightKind::Q4_0, 256 * 64 / 32 * 18));
        for (name, shape) in
            [("spat_encoder.blocks.0.attn.sampling_offsets.weight", [64, 64]), ("spat_encoder.norm.weight", [1, 64])]
        {
            assert_eq!(source.stored(name, shape).unwrap(), None, "{name}");
            assert_eq!(source.values(name, &shape).unwrap(), Formula.values(name, &shape).unwrap(), "{name}");
        }
        // No projection of a block, but large: a file quantizes it, the network computes with what was read back.
        let (name, shape) = ("spec_encoder.spat_map.weight", [64, 4096]);
        assert_ne!(source.values(name, &shape).unwrap(), Formula.values(name, &shape).unwrap());
    }

    #[test]
    fn what_f16_cannot_hold_is_named() {
        struct Large;
        impl ParameterSource for Large {
            fn values(&mut self, _: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
                Ok(vec![1e9; shape.iter().product()])
            }
        }
        let error = Quantizing::new(&mut Large, Quantization::F16)
            .stored("spat_encoder.blocks.0.attn.proj.weight", [32, 32])
            .unwrap_err();
        assert!(error.to_string().contains("attn.proj.weight"), "{error}");
    }
}
