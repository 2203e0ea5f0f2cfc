//! GGUF version 3, the container of ggml: metadata as typed key-value pairs, a list of tensors, then their bytes, each tensor
//! at a multiple of 32 bytes.
//!
//! Format: `docs/gguf.md` of ggml. Dimensions are stored fastest first, so the official row-major shape `[out, in]` is
//! written as `in, out`; readers that know GGUF see the official shape again. Names are those of the official state dicts of
//! the fine-tuning frameworks: `spat_encoder.…` and `spec_encoder.…` for the two encoders, which one file holds together,
//! and the names of the head as they are.

mod reader;
mod value;
mod writer;

pub use reader::GgufFile;
pub use value::Value;
pub use writer::{Layout, Writer};

use super::TensorType;

const MAGIC: [u8; 4] = *b"GGUF";
const VERSION: u32 = 3;

/// The value of `general.architecture`.
pub const ARCHITECTURE: &str = "hypersigma";

/// Where tensors start, in bytes.
pub const ALIGNMENT: u64 = 32;

/// ggml keeps names in 64 bytes with a closing zero.
pub const NAME_MAX: usize = 63;

/// ggml's tensors have up to four axes.
pub const AXES_MAX: usize = 4;

/// The number of a type in the file (`enum ggml_type`).
const fn code(kind: TensorType) -> Option<u32> {
    Some(match kind {
        TensorType::F32 => 0,
        TensorType::F16 => 1,
        TensorType::Q4_0 => 2,
        TensorType::Q8_0 => 8,
        TensorType::I8 => 24,
        TensorType::I16 => 25,
        TensorType::I32 => 26,
        TensorType::I64 => 27,
        TensorType::F64 => 28,
        TensorType::BF16 => 30,
        TensorType::U8 | TensorType::Bool => return None,
    })
}

fn tensor_type(number: u32) -> Option<TensorType> {
    const KNOWN: [TensorType; 10] = [
        TensorType::F32,
        TensorType::F16,
        TensorType::Q4_0,
        TensorType::Q8_0,
        TensorType::I8,
        TensorType::I16,
        TensorType::I32,
        TensorType::I64,
        TensorType::F64,
        TensorType::BF16,
    ];
    KNOWN.into_iter().find(|&kind| code(kind) == Some(number))
}
