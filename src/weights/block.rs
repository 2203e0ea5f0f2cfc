//! Numbers to stored bytes and back, among them ggml's quantized blocks of 32.
//!
//! Q8_0: a little-endian F16 scale d = max|x| / 127, then 32 signed bytes q; x ≈ d q.
//! Q4_0: a little-endian F16 scale d = x_max / −8, where x_max is the number of largest size, sign kept; then 16 bytes, byte i
//! holding number i in its low and number i + 16 in its high half; x ≈ d (q − 8).
//!
//! Rounding is that of ggml's reference (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref` in ggml-quants.c, in F32 without
//! fused multiplication) and of the `gguf` Python package: the reciprocal of the unrounded scale multiplies the numbers.

use half::{bf16, f16};

use super::TensorType;

const BLOCK: usize = 32;

/// Bytes of whole blocks → numbers. `bytes` must be exactly those of `out.len()` numbers.
///
/// Integers and F64 are rounded to F32.
pub fn decode(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    debug_assert_eq!(kind.bytes(out.len() as u64), Some(bytes.len() as u64));
    match kind {
        TensorType::F32 => each(bytes, out, f32::from_le_bytes),
        TensorType::F16 => each(bytes, out, |chunk| f16::from_le_bytes(chunk).to_f32()),
        TensorType::BF16 => each(bytes, out, |chunk| bf16::from_le_bytes(chunk).to_f32()),
        TensorType::F64 => each(bytes, out, |chunk| f64::from_le_bytes(chunk) as f32),
        TensorType::I64 => each(bytes, out, |chunk| i64::from_le_bytes(chunk) as f32),
        TensorType::I32 => each(bytes, out, |chunk| i32::from_le_bytes(chunk) as f32),
        TensorType::I16 => each(bytes, out, |chunk| f32::from(i16::from_le_bytes(chunk))),
        TensorType::I8 => each(bytes, out, |[byte]| f32::from(byte.cast_signed())),
        TensorType::U8 => each(bytes, out, |[byte]| f32::from(byte)),
        TensorType::Bool => each(bytes, out, |[byte]| f32::from(u8::from(byte != 0))),
        TensorType::Q8_0 => {
            for (block, out) in bytes.as_chunks::<34>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                for (out, &q) in out.iter_mut().zip(&block[2..]) {
                    *out = f32::from(q.cast_signed()) * scale;
                }
            }
        }
        TensorType::Q4_0 => {
            for (block, out) in bytes.as_chunks::<18>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                let value = |q: u8| scale * (f32::from(q) - 8.0);
                for (i, &q) in block[2..].iter().enumerate() {
                    out[i] = value(q & 15);
                    out[i + BLOCK / 2] = value(q >> 4);
                }
            }
        }
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = number(*chunk);
    }
}

/// Appends numbers as F32, F16, Q8_0 or Q4_0; blocks must be whole.
///
/// # Errors
/// The index of the first number that the type cannot hold: one that is not finite, or too large for F16. F32 holds all.
///
/// # Panics
/// If the type is none of these four, or a block is not whole.
pub fn encode(kind: TensorType, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    assert!(values.len().is_multiple_of(kind.block_len()), "{} numbers do not fill blocks", values.len());
    match kind {
        TensorType::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorType::F16 => {
            for (i, &value) in values.iter().enumerate() {
                let half = f16::from_f32(value);
                if !half.is_finite() {
                    return Err(i);
                }
                out.extend(half.to_le_bytes());
            }
        }
        TensorType::Q8_0 | TensorType::Q4_0 => {
            let block: fn(&[f32; BLOCK], &mut Vec<u8>) -> Option<()> =
                if kind == TensorType::Q8_0 { encode_q8_0 } else { encode_q4_0 };
            for (i, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
                if block(values, out).is_none() {
                    return Err(BLOCK * i + worst(values));
                }
            }
        }
        other => panic!("{} is not written", other.name()),
    }
    Ok(())
}

/// The first number that is not finite, else the largest.
fn worst(values: &[f32]) -> usize {
    let size = |i: &usize| if values[*i].is_finite() { values[*i].abs() } else { f32::INFINITY };
    (0..values.len()).rev().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(0)
}

/// The scale as stored, and what multiplies the numbers; `None` if F16 cannot hold it.
fn scale(scale: f32) -> Option<([u8; 2], f32)> {
    let stored = f16::from_f32(scale);
    let factor = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    stored.is_finite().then(|| (stored.to_le_bytes(), factor))
}

fn encode_q8_0(values: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    if !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let (stored, factor) = scale(largest / 127.0)?;
    out.extend(stored);
    out.extend(values.iter().map(|value| ((value * factor).round() as i8).cast_unsigned()));
    Some(())
}

fn encode_q4_0(values: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    if !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    // The first of equals, as in the reference.
    let largest =
        values.iter().fold(0.0f32, |largest, &value| if value.abs() > largest.abs() { value } else { largest });
    let (stored, factor) = scale(largest / -8.0)?;
    out.extend(stored);
    let quantum = |value: f32| ((value * factor + 8.5) as u8).min(15);
    let (low, high) = values.split_at(BLOCK / 2);
    out.extend(low.iter().zip(high).map(|(&low, &high)| quantum(low) | quantum(high) << 4));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut values = [0.0; 32];
        (values[0], values[1], values[16], values[31]) = (-4.0, 2.0, 3.5, 0.26);

        let mut bytes = Vec::new();
        encode(TensorType::Q4_0, &values, &mut bytes).unwrap();
        // d = −4 / −8 = 0.5; q = x / d + 8.5, cut.
        let d = f16::from_f32(0.5).to_le_bytes();
        assert_eq!(bytes[..2], d);
        assert_eq!((bytes[2], bytes[3], bytes[4], bytes[17]), (0xf0, 0x8c, 0x88, 0x98));
        let mut back = [f32::NAN; 32];
        decode(TensorType::Q4_0, &bytes, &mut back);
        assert_eq!((back[0], back[1], back[16], back[31], back[5]), (-4.0, 2.0, 3.5, 0.5, 0.0));

        bytes.clear();
        encode(TensorType::Q8_0, &values, &mut bytes).unwrap();
        assert_eq!(bytes[..2], f16::from_f32(4.0 / 127.0).to_le_bytes());
        assert_eq!(bytes[2].cast_signed(), -127);
        assert_eq!(bytes[3].cast_signed(), 64, "63.5 is rounded away from zero");
        assert_eq!(bytes[2 + 31].cast_signed(), 8);
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        let mut values = [1.0f32; 64];
        values[40] = f32::NAN;
        for kind in [TensorType::F16, TensorType::Q8_0, TensorType::Q4_0] {
            assert_eq!(encode(kind, &values, &mut Vec::new()), Err(40), "{kind:?}");
        }
        values[40] = -1e9;
        for kind in [TensorType::F16, TensorType::Q8_0, TensorType::Q4_0] {
            assert_eq!(encode(kind, &values, &mut Vec::new()), Err(40), "{kind:?}");
        }
        assert_eq!(encode(TensorType::F32, &values, &mut Vec::new()), Ok(()));
    }
}
