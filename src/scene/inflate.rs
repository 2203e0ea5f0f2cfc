//! Compressed parts of a file: reading them as a stream, and inflating one into memory under a stated limit.

use std::io::{self, Read, Seek, SeekFrom};

use super::{SceneError, SharedSource, SourceError};

/// The largest array that is inflated into memory, bytes. A compressed array cannot be read in part.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const INFLATE_MAX: u64 = 1 << 30;
/// A tab has 4 GiB for everything, the model included.
#[cfg(target_arch = "wasm32")]
pub(crate) const INFLATE_MAX: u64 = 512 << 20;

/// Below this size an array may be as compressible as it likes (an empty label map is).
const BOMB_FROM: u64 = 64 << 20;
/// Scenes shrink two- to twentyfold.
const BOMB_RATIO: u64 = 250;
/// Deflate cannot do more than this.
const DEFLATE_RATIO: u64 = 1032;

const BUFFER: usize = 64 << 10;

/// A stretch of a source as a stream, buffered so that small reads do not each go to the medium.
pub(crate) struct SourceReader {
    source: SharedSource,
    start: u64,
    end: u64,
    /// Position of the next byte to hand out.
    position: u64,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte.
    buffered_from: u64,
}

impl SourceReader {
    /// Reads `start..end`; the stretch is cut at the end of the source.
    pub fn new(source: SharedSource, start: u64, end: u64) -> Self {
        let end = end.min(source.len());
        let start = start.min(end);
        Self { source, start, end, position: start, buffer: Vec::new(), buffered_from: start }
    }

    pub fn whole(source: SharedSource) -> Self {
        let end = source.len();
        Self::new(source, 0, end)
    }
}

impl Read for SourceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 || out.is_empty() {
            return Ok(0);
        }
        let buffered_to = self.buffered_from + self.buffer.len() as u64;
        if !(self.buffered_from..buffered_to).contains(&self.position) {
            self.buffer.resize(left.min(BUFFER as u64) as usize, 0);
            self.buffered_from = self.position;
            self.source.read_at(self.position, &mut self.buffer).map_err(io::Error::other)?;
        }
        let at = (self.position - self.buffered_from) as usize;
        let n = out.len().min(self.buffer.len() - at);
        out[..n].copy_from_slice(&self.buffer[at..at + n]);
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => self.start.checked_add(offset),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        match target {
            Some(target) if target >= self.start => {
                self.position = target;
                Ok(target - self.start)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a seek before the start")),
        }
    }
}

/// Turns an error of a compressed stream into a sentence about the file.
pub(crate) fn stream_error(name: &str, what: &str, error: &io::Error) -> SceneError {
    if let Some(source) = error.get_ref().and_then(|inner| inner.downcast_ref::<SourceError>()) {
        return source.clone().into();
    }
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    };
    SceneError::malformed(
        name,
        format!("{what} cannot be decompressed ({reason}); the file is damaged, fetch it again"),
    )
}

/// Refuses an array that would not fit in memory, or that can only be a decompression bomb, before anything of it is
/// inflated.
pub(crate) fn check_inflated_size(name: &str, what: &str, compressed: u64, inflated: u64) -> Result<(), SceneError> {
    let mib = inflated.div_ceil(1 << 20);
    if inflated / DEFLATE_RATIO > compressed {
        return Err(SceneError::malformed(
            name,
            format!(
                "{what} says it holds {inflated} bytes, more than {compressed} compressed bytes can; the file is damaged"
            ),
        ));
    }
    if inflated > INFLATE_MAX {
        return Err(SceneError::unsupported(
            name,
            format!(
                "{what} is compressed and would take {mib} MiB of memory; at most {} MiB are inflated. Save it \
                 uncompressed (MATLAB: -v6, NumPy: savez) or as ENVI",
                INFLATE_MAX >> 20
            ),
        ));
    }
    refuse_bomb(name, what, compressed, inflated)
}

/// Refuses what is large and grows as no scene does.
pub(crate) fn refuse_bomb(name: &str, what: &str, compressed: u64, inflated: u64) -> Result<(), SceneError> {
    if inflated > BOMB_FROM && inflated / compressed.max(1) > BOMB_RATIO {
        return Err(SceneError::unsupported(
            name,
            format!(
                "{what} would grow from {} KiB to {} MiB, more than {BOMB_RATIO}-fold; no scene compresses so well, \
                 so it is not inflated. If it is right, save it uncompressed",
                compressed.div_ceil(1 << 10),
                inflated.div_ceil(1 << 20)
            ),
        ));
    }
    Ok(())
}

/// Inflates exactly `len` bytes of `stream`; the caller has checked the size by [`check_inflated_size`].
pub(crate) fn inflate_exact(name: &str, what: &str, stream: &mut dyn Read, len: u64) -> Result<Vec<u8>, SceneError> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(len).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(capacity).map_err(|_| {
        SceneError::unsupported(
            name,
            format!("{what} needs {} MiB of memory, which this device does not have free", len.div_ceil(1 << 20)),
        )
    })?;
    stream.take(len).read_to_end(&mut bytes).map_err(|error| stream_error(name, what, &error))?;
    if bytes.len() as u64 != len {
        return Err(SceneError::malformed(
            name,
            format!(
                "{what} ends after {} of {len} bytes; the file is cut short or damaged, fetch it again",
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::MemorySource;
    use super::*;

    #[test]
    fn the_stream_seeks_inside_its_stretch() -> io::Result<()> {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut reader = SourceReader::new(Rc::new(MemorySource::new("x", bytes.clone())), 10, 150_000);
        let mut all = Vec::new();
        reader.read_to_end(&mut all)?;
        assert_eq!(all, bytes[10..150_000]);
        assert_eq!(reader.seek(SeekFrom::Start(70_000))?, 70_000);
        let mut two = [0; 2];
        reader.read_exact(&mut two)?;
        assert_eq!(two, bytes[70_010..70_012]);
        assert_eq!(reader.seek(SeekFrom::End(-1))?, 149_989);
        assert_eq!(reader.read(&mut two)?, 1);
        assert!(reader.seek(SeekFrom::Current(-1_000_000)).is_err());
        Ok(())
    }

    #[test]
    fn bombs_are_refused_by_what_they_declare() {
        assert!(check_inflated_size("x", "v", 1 << 20, INFLATE_MAX + 1).is_err());
        assert!(check_inflated_size("x", "v", 600_000, 512 << 20).is_err());
        assert!(check_inflated_size("x", "v", 10, 1 << 20).is_err());
        assert!(check_inflated_size("x", "v", 1_100, 1 << 20).is_ok());
        assert!(check_inflated_size("x", "v", 50 << 20, 500 << 20).is_ok());
    }
}
