//! Weights on a device.

use std::sync::Arc;

use burn::backend::Cube;
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use super::block::WeightKind;
use super::panels::Panels;
use super::tuning::Tuning;
use super::upload::Upload;
use crate::kernels::products::BLOCK;

/// A frozen matrix of weights `[outputs N, inputs K]` on a device, dequantized only while it is multiplied.
///
/// Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct QuantizedMatrix {
    kind: WeightKind,
    outputs: usize,
    inputs: usize,
    tuning: Tuning,
    pub(super) storage: Storage,
}

/// Where the weights are.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Cpu(Arc<Panels>),
    Gpu(Arc<Upload>),
}

/// Weights that cannot be a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MatrixError {
    #[error(
        "a matrix of {outputs} x {inputs} weights is empty or beyond the memory of this machine; the file is damaged"
    )]
    Size { outputs: usize, inputs: usize },
    #[error(
        "a matrix with {inputs} inputs cannot be stored in blocks of 32; convert it without quantisation, as an ordinary layer"
    )]
    Inputs { inputs: usize },
    #[error(
        "a {} matrix of {outputs} x {inputs} weights takes {expected} bytes, not {found}; the file is damaged", kind.name()
    )]
    Bytes { kind: WeightKind, outputs: usize, inputs: usize, expected: usize, found: usize },
}

impl QuantizedMatrix {
    /// Rearranges weights for a device and moves them there.
    ///
    /// - `bytes`: N rows of K weights as in a GGUF file, K a multiple of 32. They are needed no longer afterwards.
    /// - `device`: an autodiff device is taken for the one it wraps.
    ///
    /// # Errors
    /// [`MatrixError`] when the sizes and the bytes do not fit each other.
    pub fn new(
        kind: WeightKind,
        [outputs, inputs]: [usize; 2],
        bytes: &[u8],
        device: &Device,
    ) -> Result<Self, MatrixError> {
        Self::build(kind, [outputs, inputs], bytes, device, None)
    }

    /// The same with a choice of implementations, for measurements.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tuned(
        kind: WeightKind,
        shape: [usize; 2],
        bytes: &[u8],
        device: &Device,
        tuning: Tuning,
    ) -> Result<Self, MatrixError> {
        Self::build(kind, shape, bytes, device, Some(tuning))
    }

    fn build(
        kind: WeightKind,
        [outputs, inputs]: [usize; 2],
        bytes: &[u8],
        device: &Device,
        tuning: Option<Tuning>,
    ) -> Result<Self, MatrixError> {
        if !inputs.is_multiple_of(BLOCK) {
            return Err(MatrixError::Inputs { inputs });
        }
        // The largest arrangement, the CPU's, takes not more than 4 bytes a weight, and 8 outputs are laid side by side.
        let largest = outputs.checked_add(8).and_then(|n| n.checked_mul(inputs)).and_then(|n| n.checked_mul(4));
        if outputs == 0 || inputs == 0 || largest.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            return Err(MatrixError::Size { outputs, inputs });
        }
        let expected = outputs * (inputs / BLOCK) * kind.block_bytes();
        if bytes.len() != expected {
            return Err(MatrixError::Bytes { kind, outputs, inputs, expected, found: bytes.len() });
        }
        // A tensor of burn's tells what the device is.
        let probe = Tensor::<1>::zeros([1], &device.clone().without_autodiff()).try_into_primitive::<Cube>();
        let (tuning, storage) = match probe {
            Ok(gpu) => {
                let tuning = tuning.unwrap_or_else(|| Tuning::of_gpu(&gpu.client));
                let upload = Upload::new(kind, [outputs, inputs], bytes, &gpu.client, tuning.binding_limit);
                (tuning, Storage::Gpu(Arc::new(upload)))
            }
            Err(_) => {
                let panels = Panels::new(kind, [outputs, inputs], bytes);
                (tuning.unwrap_or_else(|| Tuning::of_cpu(kind)), Storage::Cpu(Arc::new(panels)))
            }
        };
        Ok(Self { kind, outputs, inputs, tuning, storage })
    }

    /// N
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// K
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn kind(&self) -> WeightKind {
        self.kind
    }

    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// Buffers that hold the weights; on the CPU they are in one piece.
    pub fn parts(&self) -> usize {
        match &self.storage {
            Storage::Cpu(_) => 1,
            Storage::Gpu(upload) => upload.parts.len(),
        }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Cpu(panels) => panels.bytes(),
            Storage::Gpu(upload) => upload.bytes(),
        }
    }
}
