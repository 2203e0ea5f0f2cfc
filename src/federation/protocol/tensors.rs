//! The header of a safetensors file, and numbers from it in pieces: a file is never held whole.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use thiserror::Error;

use crate::scene::{Source, SourceError};

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// First byte in the file.
    pub at: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// What a safetensors file holds, without the numbers.
#[derive(Debug, Clone)]
pub struct Layout {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    pub metadata: HashMap<String, String>,
    /// Where the numbers begin.
    pub data_at: u64,
}

/// Why a file is no safetensors file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TensorsError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("its header claims {len} bytes, at most {max} are read")]
    Header { len: u64, max: u64 },
    #[error("its header is broken: {0}")]
    Malformed(String),
    #[error("its header lists {listed} bytes of numbers, but it has {has}")]
    Length { listed: u64, has: u64 },
}

impl Tensor {
    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Layout {
    /// Reads the header, of at most `header_max` bytes.
    ///
    /// # Errors
    /// [`TensorsError`] when the header is longer, damaged, or does not fit the file's length.
    pub fn read(source: &dyn Source, header_max: u64) -> Result<Self, TensorsError> {
        let mut len = [0; 8];
        source.read_at(0, &mut len)?;
        let len = u64::from_le_bytes(len);
        if len > header_max {
            return Err(TensorsError::Header { len, max: header_max });
        }
        let data_at = 8 + len;
        if data_at > source.len() {
            return Err(TensorsError::Malformed("it is cut short".into()));
        }
        let mut header = vec![0; len as usize];
        source.read_at(8, &mut header)?;
        // Deserialising checks that shapes, types and places agree and leave no gaps.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| TensorsError::Malformed(error.to_string()))?;
        let (listed, has) = (header.data_len() as u64, source.len() - data_at);
        if listed != has {
            return Err(TensorsError::Length { listed, has });
        }
        let tensor = |info: &safetensors::tensor::TensorInfo| Tensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            at: data_at + info.data_offsets.0 as u64,
            bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
        };
        let tensors = header.tensors().into_iter().map(|(name, info)| (name, tensor(info))).collect();
        Ok(Self { tensors, metadata: header.metadata().clone().unwrap_or_default(), data_at })
    }
}

/// Numbers of a type with a fixed little-endian form.
pub(super) trait Number: Sized + Copy {
    const BYTES: usize;
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($kind:ty),+) => {
        $(impl Number for $kind {
            const BYTES: usize = size_of::<$kind>();
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$kind>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }
        })+
    };
}
numbers!(f32, f64, u64, i8);

impl Number for half::f16 {
    const BYTES: usize = 2;
    fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_le_bytes([bytes[0], bytes[1]])
    }
}

/// Numbers `start..start + len` of a tensor that begins at byte `at` and whose type has been checked; the caller keeps the
/// range within the tensor.
pub(super) fn numbers<N: Number>(
    source: &dyn Source,
    at: u64,
    start: usize,
    len: usize,
) -> Result<impl Iterator<Item = N> + use<N>, SourceError> {
    let mut bytes = vec![0; len * N::BYTES];
    source.read_at(at + (start * N::BYTES) as u64, &mut bytes)?;
    let mut next = 0;
    Ok(std::iter::from_fn(move || {
        let piece = bytes.get(next..next + N::BYTES)?;
        next += N::BYTES;
        Some(N::from_bytes(piece))
    }))
}

/// Fills `out` with numbers of an F32 tensor that begins at byte `at`, from number `start` on.
///
/// # Errors
/// [`SourceError`] when the medium fails or the range lies outside the file.
pub fn read_f32(source: &dyn Source, at: u64, start: usize, out: &mut [f32]) -> Result<(), SourceError> {
    let read = numbers::<f32>(source, at, start, out.len())?;
    out.iter_mut().zip(read).for_each(|(out, value)| *out = value);
    Ok(())
}

/// The bytes before the numbers: length and header, with the tensors in this order. Spaces at its end align the numbers to
/// 8 bytes, as the format wants. The same arguments give the same bytes.
pub(super) fn header(metadata: &[(&str, &str)], tensors: &[(String, Dtype, Vec<usize>)]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<_> = metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
    let mut json = format!("{{\"__metadata__\":{{{}}}", pairs.join(","));
    let mut end = 0;
    for (name, dtype, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let dtype = serde_json::to_string(dtype).unwrap_or_default();
        json +=
            &format!(",{}:{{\"dtype\":{dtype},\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}", quoted(name));
    }
    json.push('}');
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::MemorySource;

    fn read(bytes: Vec<u8>) -> Result<Layout, TensorsError> {
        Layout::read(&MemorySource::new("test", bytes), 1000)
    }

    #[test]
    fn what_is_written_is_read() {
        let tensors = [("b".to_owned(), Dtype::F32, vec![2, 1]), ("a\"é".to_owned(), Dtype::I8, vec![3])];
        let mut bytes = header(&[("key", "va\"lue")], &tensors);
        assert!(bytes.len().is_multiple_of(8));
        for value in [1.5f32, -2.0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([1, 2, 255]);
        let layout = read(bytes.clone()).unwrap();
        assert_eq!(layout.metadata["key"], "va\"lue");
        let source = MemorySource::new("test", bytes.clone());
        let mut out = [0.0; 1];
        read_f32(&source, layout.tensors["b"].at, 1, &mut out).unwrap();
        assert_eq!(out, [-2.0]);
        assert_eq!(numbers::<i8>(&source, layout.tensors["a\"é"].at, 0, 3).unwrap().collect::<Vec<_>>(), [1, 2, -1]);
        // The usual library reads it, too.
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("b").unwrap().shape(), [2, 1]);
        for cut in 0..bytes.len() {
            assert!(read(bytes[..cut].to_vec()).is_err(), "{cut}");
        }
        bytes.push(0);
        assert!(matches!(read(bytes), Err(TensorsError::Length { .. })));
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        assert!(matches!(read(bytes.clone()), Err(TensorsError::Header { .. })));
        bytes[..8].copy_from_slice(&900u64.to_le_bytes());
        assert!(matches!(read(bytes), Err(TensorsError::Malformed(_))));
        let huge = br#"{"a":{"dtype":"F32","shape":[4294967295,4294967295,4294967295],"data_offsets":[0,4]}}"#;
        let bytes = [&(huge.len() as u64).to_le_bytes(), huge.as_slice(), &[0; 4]].concat();
        assert!(matches!(read(bytes), Err(TensorsError::Malformed(_))));
    }
}
