//! Bytes at an offset: the one way in which a file is read.

use std::rc::Rc;

use thiserror::Error;

/// Random access to the bytes of one file.
///
/// Reading is synchronous: natively a file or a byte vector, in the worker `FileReaderSync` over `Blob.slice`. A source
/// never holds the whole file unless it is made from bytes that are in memory anyway.
pub trait Source {
    /// The file's name as the user knows it, with its extension and without folders.
    fn name(&self) -> &str;

    /// Length in bytes.
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`SourceError::PastEnd`] when `offset + buf.len()` lies past the end; [`SourceError::Read`] when the medium fails.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError>;
}

/// A source shared between readers of one file.
pub type SharedSource = Rc<dyn Source>;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    #[error("{name} ends at byte {len}, but bytes up to {wanted} are needed; the file is cut short, fetch it again")]
    PastEnd { name: String, len: u64, wanted: u64 },
    #[error("{name} could not be read ({reason}); check that the file still exists and open it again")]
    Read { name: String, reason: String },
    #[error("{name} is a folder; choose the file in it that holds the scene")]
    Folder { name: String },
}

/// Checks a read against the length; every [`Source`] calls it first.
pub fn check_range(source: &dyn Source, offset: u64, wanted: usize) -> Result<(), SourceError> {
    let end = offset.checked_add(wanted as u64);
    match end {
        Some(end) if end <= source.len() => Ok(()),
        _ => Err(SourceError::PastEnd {
            name: source.name().to_owned(),
            len: source.len(),
            wanted: end.unwrap_or(u64::MAX),
        }),
    }
}

/// Bytes that are in memory already.
pub struct MemorySource {
    name: String,
    bytes: Vec<u8>,
}

impl MemorySource {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes }
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        let start = offset as usize;
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }
}

/// A file on disk.
#[cfg(not(target_arch = "wasm32"))]
pub struct FileSource {
    name: String,
    len: u64,
    file: std::cell::RefCell<std::fs::File>,
}

#[cfg(not(target_arch = "wasm32"))]
impl FileSource {
    pub fn open(path: &std::path::Path) -> Result<Self, SourceError> {
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let fail = |error: std::io::Error| SourceError::Read { name: name.clone(), reason: error.to_string() };
        let file = std::fs::File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_dir() {
            return Err(SourceError::Folder { name });
        }
        let len = metadata.len();
        Ok(Self { name, len, file: std::cell::RefCell::new(file) })
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        use std::io::{Read, Seek, SeekFrom};
        check_range(self, offset, buf.len())?;
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(buf))
            .map_err(|error| SourceError::Read { name: self.name.clone(), reason: error.to_string() })
    }
}
