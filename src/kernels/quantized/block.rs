//! ggml's blocks, as GGUF files hold them.
//!
//! Q8_0: an F16 scale d, then 32 signed bytes q; w = d q. Q4_0: an F16 scale d, then 16 bytes, byte i holding weight i in its
//! low and weight i + 16 in its high half; w = d (q − 8). F16 and F32 have no blocks; here they are read 32 at a time as well.

use half::f16;

use crate::kernels::products::BLOCK;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightKind {
    F32,
    F16,
    /// 8.5 bits a weight.
    Q8_0,
    /// 4.5 bits a weight.
    Q4_0,
}

impl WeightKind {
    pub const ALL: [WeightKind; 4] = [WeightKind::F32, WeightKind::F16, WeightKind::Q8_0, WeightKind::Q4_0];

    /// The name that is also used in files.
    pub const fn name(self) -> &'static str {
        match self {
            WeightKind::F32 => "f32",
            WeightKind::F16 => "f16",
            WeightKind::Q8_0 => "q8_0",
            WeightKind::Q4_0 => "q4_0",
        }
    }

    /// Stored bytes of 32 weights.
    pub const fn block_bytes(self) -> usize {
        match self {
            WeightKind::F32 => 4 * BLOCK,
            WeightKind::F16 => 2 * BLOCK,
            WeightKind::Q8_0 => 2 + BLOCK,
            WeightKind::Q4_0 => 2 + BLOCK / 2,
        }
    }

    /// Are the weights integers with a scale?
    pub const fn is_quantized(self) -> bool {
        matches!(self, WeightKind::Q8_0 | WeightKind::Q4_0)
    }
}

/// The scale of a quantized block, as stored.
pub fn scale(bytes: &[u8]) -> f16 {
    f16::from_le_bytes([bytes[0], bytes[1]])
}

/// The integers of a quantized block, Q8_0 or Q4_0, already less 8.
pub fn integers(kind: WeightKind, bytes: &[u8]) -> [i8; BLOCK] {
    let quants = &bytes[2..];
    if kind == WeightKind::Q8_0 {
        std::array::from_fn(|i| quants[i].cast_signed())
    } else {
        std::array::from_fn(|i| {
            let byte = quants[i % (BLOCK / 2)];
            (if i < BLOCK / 2 { byte & 15 } else { byte >> 4 }).cast_signed() - 8
        })
    }
}

/// The F16 numbers of 32 weights, as bits.
pub fn halves(bytes: &[u8]) -> [u16; BLOCK] {
    std::array::from_fn(|i| u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]))
}

/// The F32 numbers of 32 weights.
pub fn floats(bytes: &[u8]) -> [f32; BLOCK] {
    std::array::from_fn(|i| f32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]))
}

/// 32 weights of any kind as float32.
#[cfg(test)]
pub fn dequantize(kind: WeightKind, bytes: &[u8]) -> [f32; BLOCK] {
    match kind {
        WeightKind::F32 => floats(bytes),
        WeightKind::F16 => halves(bytes).map(|bits| f16::from_bits(bits).to_f32()),
        WeightKind::Q8_0 | WeightKind::Q4_0 => {
            let scale = scale(bytes).to_f32();
            integers(kind, bytes).map(|q| f32::from(q) * scale)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_by_hand() {
        let mut bytes = f16::from_f32(0.5).to_le_bytes().to_vec();
        bytes.extend((0..32u8).map(|i| i.wrapping_sub(16)));
        let eight = dequantize(WeightKind::Q8_0, &bytes);
        assert_eq!((eight[0], eight[16], eight[31]), (-8.0, 0.0, 7.5));

        bytes.truncate(2);
        bytes.extend((0..16u8).map(|i| i | (15 - i) << 4));
        let four = dequantize(WeightKind::Q4_0, &bytes);
        assert_eq!((four[0], four[15], four[16], four[31]), (-4.0, 3.5, 3.5, -4.0));
    }
}
