//! How a change of weights is written.

use half::f16;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::tensors::{numbers, read_f32};
use crate::scene::{Source, SourceError};

/// Values that share a scale in [`Encoding::Int8`].
pub const BLOCK: usize = 64;

/// How a change of weights is written. What writing loses is kept by the client and added to its next update (error feedback:
/// Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847), so that nothing is lost for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Four bytes a value, nothing lost.
    Float32,
    /// Two bytes a value.
    Float16,
    /// One byte a value, and one F32 scale for every [`BLOCK`] values: the largest magnitude of the block over 127.
    Int8,
}

/// The name of the tensor with the scales of `name`.
pub(super) fn scale_name(name: &str) -> String {
    format!("{name}::scale")
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::Int8];

    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
            Self::Int8 => Dtype::I8,
        }
    }

    /// Bytes of so many values of one tensor, scales and all.
    pub(super) fn bytes(self, count: u64) -> u64 {
        match self {
            Self::Float32 => count * 4,
            Self::Float16 => count * 2,
            Self::Int8 => count + count.div_ceil(BLOCK as u64) * 4,
        }
    }

    /// Values and scales as they are written; `values` becomes what writing has lost. The values are finite.
    pub(super) fn encode(self, values: &mut [f32], data: &mut Vec<u8>, scales: &mut Vec<u8>) {
        match self {
            Self::Float32 => {
                for value in values {
                    data.extend(value.to_le_bytes());
                    *value = 0.0;
                }
            }
            Self::Float16 => {
                for value in values {
                    let written = f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
                    data.extend(written.to_le_bytes());
                    *value -= written.to_f32();
                }
            }
            Self::Int8 => {
                for block in values.chunks_mut(BLOCK) {
                    let largest = block.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                    let scale = largest / 127.0;
                    scales.extend(scale.to_le_bytes());
                    for value in block {
                        // A block of the smallest numbers has no scale: all of it is left for the next update.
                        let quotient = if scale > 0.0 { (*value / scale).round().clamp(-127.0, 127.0) } else { 0.0 };
                        data.extend((quotient as i8).to_le_bytes());
                        *value -= quotient * scale;
                    }
                }
            }
        }
    }

    /// Fills `out` with values from `start` on, a multiple of [`BLOCK`]. Values and scales begin at these bytes; types and sizes
    /// have been checked.
    pub(super) fn decode(
        self,
        source: &dyn Source,
        values: u64,
        scale: Option<u64>,
        start: usize,
        out: &mut [f32],
    ) -> Result<(), SourceError> {
        let len = out.len();
        match (self, scale) {
            (Self::Float16, _) => {
                let read = numbers::<f16>(source, values, start, len)?;
                out.iter_mut().zip(read).for_each(|(out, value)| *out = value.to_f32());
            }
            (Self::Int8, Some(scale)) => {
                let mut scales = numbers::<f32>(source, scale, start / BLOCK, len.div_ceil(BLOCK))?;
                let mut read = numbers::<i8>(source, values, start, len)?;
                for block in out.chunks_mut(BLOCK) {
                    let scale = scales.next().unwrap_or(0.0);
                    block.iter_mut().zip(&mut read).for_each(|(out, value)| *out = f32::from(value) * scale);
                }
            }
            _ => read_f32(source, values, start, out)?,
        }
        Ok(())
    }
}
