//! Stored samples: their types, byte orders, and how a run of them becomes `f64`.

use half::f16;

use super::SampleType;

/// The order of the bytes of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// How one sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub sample: SampleType,
    pub endian: Endian,
}

impl SampleType {
    /// Bytes of one sample.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub const fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// The short name that is also used in JSON: `u16`, `f32`, ….
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// An arithmetic progression of positions: `start, start + step, …`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub start: usize,
    pub step: usize,
}

/// Decodes `count` samples of `bytes` at the positions of `from`, counted in bytes, into `out` at the positions of `to`,
/// counted in samples.
///
/// 64-bit integers beyond ±2^53 are rounded, as every `f64` of them is.
pub(crate) fn decode(stored: Stored, bytes: &[u8], from: Run, out: &mut [f64], to: Run, count: usize) {
    macro_rules! run {
        ($type:ty, $convert:expr) => {{
            const SIZE: usize = size_of::<$type>();
            let mut each = |read: fn([u8; SIZE]) -> $type| {
                for i in 0..count {
                    let at = from.start + i * from.step;
                    let mut raw = [0; SIZE];
                    raw.copy_from_slice(&bytes[at..at + SIZE]);
                    out[to.start + i * to.step] = $convert(read(raw));
                }
            };
            match stored.endian {
                Endian::Little => each(<$type>::from_le_bytes),
                Endian::Big => each(<$type>::from_be_bytes),
            }
        }};
    }
    match stored.sample {
        SampleType::U8 => run!(u8, f64::from),
        SampleType::I8 => run!(i8, f64::from),
        SampleType::U16 => run!(u16, f64::from),
        SampleType::I16 => run!(i16, f64::from),
        SampleType::U32 => run!(u32, f64::from),
        SampleType::I32 => run!(i32, f64::from),
        SampleType::U64 => run!(u64, |v: u64| v as f64),
        SampleType::I64 => run!(i64, |v: i64| v as f64),
        SampleType::F16 => run!(f16, f64::from),
        SampleType::F32 => run!(f32, f64::from),
        SampleType::F64 => run!(f64, |v: f64| v),
    }
}

/// The no-data value as a sample of this type reads back: a header may give more digits than an `f32` holds.
pub(crate) fn nodata_as_stored(nodata: f64, sample: SampleType) -> f64 {
    match sample {
        SampleType::F32 => f64::from(nodata as f32),
        SampleType::F16 => f64::from(f16::from_f64(nodata)),
        _ => nodata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_strides() {
        let bytes = [1, 0, 2, 0, 3, 0, 0xff, 0xff];
        let mut out = [0.0; 4];
        let little = Stored { sample: SampleType::I16, endian: Endian::Little };
        decode(little, &bytes, Run { start: 2, step: 4 }, &mut out, Run { start: 0, step: 3 }, 2);
        assert_eq!(out, [2.0, 0.0, 0.0, -1.0]);
        let big = Stored { sample: SampleType::U16, endian: Endian::Big };
        decode(big, &bytes, Run { start: 0, step: 1 }, &mut out, Run { start: 3, step: 0 }, 1);
        assert_eq!(out[3], 256.0);
    }

    #[test]
    fn nodata_is_compared_in_the_stored_precision() {
        assert_eq!(nodata_as_stored(0.1, SampleType::F32), f64::from(0.1f32));
        assert_eq!(nodata_as_stored(0.1, SampleType::F64), 0.1);
    }
}
