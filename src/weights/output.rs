//! A file that appears under its name only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an output file cannot be made.
#[derive(Debug, Error)]
pub enum OutputError {
    #[error("{} exists already; choose another name or say --force", path.display())]
    Exists { path: PathBuf },
    #[error("{} cannot be written: the disk is full; free some space or write elsewhere", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// A file that is being written beside its place. Dropped before [`OutputFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    overwrite: bool,
    finished: bool,
}

impl OutputFile {
    /// # Errors
    /// [`OutputError`] when the folder cannot be written, or the file exists and is not to be overwritten.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, OutputError> {
        if path.exists() && !overwrite {
            return Err(OutputError::Exists { path: path.to_owned() });
        }
        let fail = |error| failed(path, error);
        let name = path.file_name().ok_or_else(|| fail(io::Error::other("this is no name of a file")))?;
        let partial = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create(&partial).map_err(fail)?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), partial, file, overwrite, finished: false })
    }

    /// Brings everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`OutputError`] when the disk fails, or the file has come to exist meanwhile.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| failed(&self.path, error))?;
        if self.path.exists() && !self.overwrite {
            return Err(OutputError::Exists { path: self.path.clone() });
        }
        fs::rename(&self.partial, &self.path).map_err(|error| failed(&self.path, error))?;
        self.finished = true;
        Ok(())
    }
}

fn failed(path: &Path, error: io::Error) -> OutputError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OutputError::DiskFull { path },
        _ => OutputError::Write { path, error },
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.partial);
        }
    }
}
