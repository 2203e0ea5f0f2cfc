//! Contents as [`Source`]s. Many are in use at once during an aggregation, so none keeps its file open.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::scene::{SharedSource, Source, SourceError, check_range};

/// A file that is opened for each read.
pub struct PathSource {
    path: PathBuf,
    name: String,
    len: u64,
}

impl PathSource {
    /// # Errors
    /// [`SourceError::Read`] when it is not there.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.metadata() {
            Ok(metadata) => Ok(Self { path: path.into(), name, len: metadata.len() }),
            Err(error) => Err(SourceError::Read { name, reason: error.to_string() }),
        }
    }
}

/// The same, shared.
///
/// # Errors
/// [`SourceError::Read`] when it is not there.
pub fn path_source(path: &Path) -> Result<SharedSource, SourceError> {
    Ok(Rc::new(PathSource::open(path)?))
}

impl Source for PathSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        let mut read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(buf)
        };
        read().map_err(|error: std::io::Error| SourceError::Read { name: self.name.clone(), reason: error.to_string() })
    }
}
