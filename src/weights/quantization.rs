//! Which tensor is stored in which type.

use serde::{Deserialize, Serialize};

use super::TensorType;

/// How a weights file stores its large matrices. Everything small stays F32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    F32,
    F16,
    #[serde(rename = "q8_0")]
    Q8_0,
    #[serde(rename = "q4_0")]
    Q4_0,
}

/// A matrix of an encoder that is no projection is large from here on.
const LARGE: usize = 1 << 18;

impl Quantization {
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// The type of the large matrices.
    pub const fn matrices(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
        }
    }

    /// The name that is also used in JSON.
    pub const fn name(self) -> &'static str {
        self.matrices().name()
    }

    /// The type in which the tensor of this official name and shape is stored.
    ///
    /// Quantized are the projections of the blocks, and other large matrices of the encoders such as `spat_map`, if a row
    /// fills whole blocks. Norms, biases, position tables, sampling offsets (they decide where attention looks) and heads are
    /// F32: together they are about a hundredth of a large network.
    pub fn of(self, name: &str, shape: &[usize]) -> TensorType {
        let &[rows, cols] = shape else { return TensorType::F32 };
        let in_block = name.contains(".blocks.");
        let projection = in_block
            && [".attn.qkv.weight", ".attn.proj.weight", ".mlp.fc1.weight", ".mlp.fc2.weight"]
                .iter()
                .any(|suffix| name.ends_with(suffix));
        let of_encoder = name.starts_with("spat_encoder.") || name.starts_with("spec_encoder.");
        let large = of_encoder && !in_block && name.ends_with(".weight") && rows.saturating_mul(cols) >= LARGE;
        let kind = self.matrices();
        if (projection || large) && cols.is_multiple_of(kind.block_len()) { kind } else { TensorType::F32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_are_quantized_and_everything_small_is_not() {
        let of = |name, shape: &[usize]| Quantization::Q4_0.of(name, shape);
        for (name, shape) in [
            ("spat_encoder.blocks.0.attn.qkv.weight", [192, 64]),
            ("spec_encoder.blocks.11.attn.proj.weight", [64, 64]),
            ("spat_encoder.blocks.0.mlp.fc1.weight", [256, 64]),
            ("spat_encoder.blocks.0.mlp.fc2.weight", [64, 256]),
            ("spec_encoder.spat_map.weight", [768, 16384]),
        ] {
            assert_eq!(of(name, &shape), TensorType::Q4_0, "{name}");
            assert_eq!(Quantization::F16.of(name, &shape), TensorType::F16, "{name}");
        }
        for (name, shape) in [
            ("spat_encoder.blocks.0.attn.qkv.weight", [144, 48].as_slice()),
            ("spat_encoder.blocks.0.attn.qkv.bias", &[192]),
            ("spat_encoder.blocks.0.attn.sampling_offsets.weight", &[256, 1280]),
            ("spat_encoder.blocks.0.norm1.weight", &[64]),
            ("spat_encoder.pos_embed", &[1, 256, 768]),
            ("spat_encoder.patch_embed.proj.weight", &[768, 20, 8, 8]),
            ("spec_encoder.l1.weight", &[128, 64]),
            ("classifier.0.weight", &[256, 512]),
            ("cls.weight", &[9, 128, 1, 1]),
        ] {
            assert_eq!(of(name, shape), TensorType::F32, "{name}");
        }
    }
}
