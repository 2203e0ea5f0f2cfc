//! Opening a weights file of any format, and reading numbers of its tensors in pieces.

use super::description::Description;
use super::gguf::GgufFile;
use super::safetensors::SafetensorsFile;
use super::torch::TorchFile;
use super::{TensorInfo, TensorType, WeightsError, block};
use crate::scene::{SharedSource, Source};

/// Numbers that are read and decoded at once: in a browser each read costs a call, however short it is.
const PIECE: usize = 256 << 10;

/// A file of named tensors, open. Only the list of tensors is in memory.
pub trait TensorFile {
    /// The file's name as the user knows it.
    fn name(&self) -> &str;

    /// The format, for people.
    fn format(&self) -> &'static str;

    /// Everything in the file; names differ.
    fn tensors(&self) -> &[TensorInfo];

    /// What the file says about the network in our own words; `None` in official files.
    ///
    /// # Errors
    /// [`WeightsError`] when it contradicts itself.
    fn description(&self) -> Result<Option<Description>, WeightsError> {
        Ok(None)
    }

    /// Fills `out` with numbers of the tensor `index`, from number `start` on, row-major.
    ///
    /// # Errors
    /// [`WeightsError`] when the medium fails, the file is damaged, or the range lies outside the tensor.
    fn read(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), WeightsError>;

    /// The bytes of the tensor `index` as ggml stores them, where the file does; `None` in other formats.
    ///
    /// # Errors
    /// [`WeightsError`] when the medium fails.
    fn stored(&self, _index: usize) -> Result<Option<Vec<u8>>, WeightsError> {
        Ok(None)
    }
}

/// Opens a weights file of any format.
///
/// # Errors
/// [`WeightsError`] when it is none, damaged, hostile, or holds what is not read here.
pub fn open(source: &SharedSource) -> Result<Box<dyn TensorFile>, WeightsError> {
    let mut start = [0; 32];
    let len = source.len().min(start.len() as u64) as usize;
    source.read_at(0, &mut start[..len])?;
    let start = &start[..len];
    let refuse = |found: &str| {
        let (name, found) = (source.name().to_owned(), found.to_owned());
        Err(WeightsError::Format { name, found })
    };
    match start {
        [] => refuse("it is empty"),
        [b'G', b'G', b'U', b'F', ..] => Ok(Box::new(GgufFile::open(source.clone())?)),
        [b'P', b'K', 3 | 5 | 7, _, ..] => Ok(Box::new(TorchFile::open_zip(source.clone())?)),
        _ if TorchFile::is_legacy(start) => Ok(Box::new(TorchFile::open_legacy(source.clone())?)),
        [0x80, 0..=5, ..] => refuse("a pickle that torch.save did not write"),
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Box::new(SafetensorsFile::open(source.clone())?)),
        [b'<', ..] => refuse("a web page: the download was refused or needs a login"),
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => {
            refuse("a pointer to a large file: fetch the file itself")
        }
        _ => refuse("its beginning is unknown"),
    }
}

/// Reads numbers `start..` of a tensor that lies in one piece at `at` of the source, in blocks of its type.
///
/// The caller has checked that the whole tensor lies within the source.
pub(super) fn read_run(
    source: &dyn Source,
    at: u64,
    kind: TensorType,
    start: usize,
    out: &mut [f32],
) -> Result<(), WeightsError> {
    let (block_len, block_bytes) = (kind.block_len(), kind.block_bytes());
    let mut bytes = vec![0; out.len().min(PIECE).div_ceil(block_len).saturating_add(1) * block_bytes];
    let mut done = 0;
    while done < out.len() {
        let (first, skip) = ((start + done) / block_len, (start + done) % block_len);
        let wanted = (out.len() - done).min(PIECE);
        let blocks = (skip + wanted).div_ceil(block_len);
        let bytes = &mut bytes[..blocks * block_bytes];
        source.read_at(at + (first * block_bytes) as u64, bytes)?;
        if skip == 0 && wanted.is_multiple_of(block_len) {
            block::decode(kind, bytes, &mut out[done..done + wanted]);
        } else {
            let mut values = vec![0.0; blocks * block_len];
            block::decode(kind, bytes, &mut values);
            out[done..done + wanted].copy_from_slice(&values[skip..skip + wanted]);
        }
        done += wanted;
    }
    Ok(())
}

/// Values in a tensor of this shape, or `None` where they are more than any weight of HyperSIGMA by far (2³¹), so that no
/// later product can overflow. A side of zero makes a tensor empty, but the other sides are bounded all the same: their
/// product may come first.
pub(super) fn count(shape: &[u64]) -> Option<usize> {
    let most = shape.iter().filter(|&&side| side > 0).try_fold(1u64, |product, &side| product.checked_mul(side))?;
    if most >= 1 << 31 {
        return None;
    }
    usize::try_from(if shape.contains(&0) { 0 } else { most }).ok()
}

/// Checks that numbers `start..start + wanted` exist in a tensor.
pub(super) fn check_values(name: &str, tensor: &TensorInfo, start: usize, wanted: usize) -> Result<(), WeightsError> {
    match start.checked_add(wanted) {
        Some(end) if end <= tensor.len() => Ok(()),
        _ => Err(WeightsError::malformed(
            name,
            format!("{} has {} values, but more were asked for", tensor.name, tensor.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn no_order_of_sides_overflows() {
        assert_eq!((count(&[]), count(&[2, 3]), count(&[3, 0, 5])), (Some(1), Some(6), Some(0)));
        for sides in [[0, 1 << 30, 1 << 30], [1 << 30, 0, 1 << 30], [1 << 30, 1 << 30, 0], [1 << 16, 1 << 16, 1]] {
            assert_eq!(count(&sides), None, "{sides:?}");
        }
        assert_eq!(count(&[0, u64::MAX, 2]), None);
        assert_eq!(count(&[1 << 31]), None);
    }
}
