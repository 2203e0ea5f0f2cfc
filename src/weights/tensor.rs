//! Types of stored numbers.

use serde::{Deserialize, Serialize};

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorType {
    F32,
    F16,
    BF16,
    F64,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    /// ggml: 32 numbers share one F16 scale, 8 bits each.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// ggml: 32 numbers share one F16 scale, 4 bits each.
    #[serde(rename = "q4_0")]
    Q4_0,
}

impl TensorType {
    /// The name that is also used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Numbers that are stored together.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 => 32,
            _ => 1,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Q8_0 => 2 + 32,
            Self::Q4_0 => 2 + 16,
        }
    }

    /// Bytes of that many numbers; `None` where they do not fill whole blocks, or are too many to count.
    pub fn bytes(self, values: u64) -> Option<u64> {
        let block = self.block_len() as u64;
        if !values.is_multiple_of(block) {
            return None;
        }
        (values / block).checked_mul(self.block_bytes() as u64)
    }
}

/// What a file says about one of its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    pub name: String,
    /// Row-major; no axes for a single number.
    pub shape: Vec<usize>,
    pub kind: TensorType,
}

impl TensorInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }
}
