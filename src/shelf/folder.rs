//! A store that is a folder on disk: for tests, and wherever a session runs natively.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::future::ready;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::rc::Rc;

use super::Quota;
use super::store::{Local, Store, StoreError, StoreFile, StoredFile};
use crate::scene::{FileSource, SharedSource, Source, SourceError, check_range};

/// A folder on disk, with a limit on its size if one is wanted.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    limit: Option<u64>,
}

impl Folder {
    /// # Errors
    /// [`StoreError::Failed`] when the folder cannot be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|error| failed(&error))?;
        Ok(Self { path, limit: None })
    }

    /// The same with room for only so many bytes, like a browser's quota.
    #[must_use]
    pub fn limited(self, bytes: u64) -> Self {
        Self { limit: Some(bytes), ..self }
    }

    fn files(&self) -> Result<Vec<StoredFile>, StoreError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let bytes = entry.metadata().map_err(|error| failed(&error))?.len();
            files.push(StoredFile { name: entry.file_name().to_string_lossy().into_owned(), bytes });
        }
        Ok(files)
    }

    fn used(&self) -> u64 {
        self.files().map_or(0, |files| files.iter().map(|file| file.bytes).sum())
    }

    fn open(&self, name: &str) -> Result<Rc<dyn StoreFile>, StoreError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = RefCell::new(file.map_err(|error| failed(&error))?);
        Ok(Rc::new(FolderFile { file, folder: self.clone() }))
    }

    fn source(&self, name: &str, title: &str) -> Result<SharedSource, StoreError> {
        let path = self.path.join(name);
        let missing = |_| StoreError::Missing { name: title.to_owned() };
        Ok(Rc::new(Titled { title: title.to_owned(), file: FileSource::open(&path).map_err(missing)? }))
    }
}

impl Store for Folder {
    fn list(&self) -> Local<'_, Result<Vec<StoredFile>, StoreError>> {
        Box::pin(ready(self.files()))
    }

    fn write<'a>(&'a self, name: &'a str) -> Local<'a, Result<Rc<dyn StoreFile>, StoreError>> {
        Box::pin(ready(self.open(name)))
    }

    fn read<'a>(&'a self, name: &'a str, title: &'a str) -> Local<'a, Result<SharedSource, StoreError>> {
        Box::pin(ready(self.source(name, title)))
    }

    fn remove<'a>(&'a self, name: &'a str) -> Local<'a, Result<(), StoreError>> {
        let removed = match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        };
        Box::pin(ready(removed))
    }

    fn quota(&self) -> Local<'_, Option<Quota>> {
        let quota = self.limit.map(|total_bytes| Quota { used_bytes: self.used(), total_bytes });
        Box::pin(ready(quota))
    }
}

struct FolderFile {
    file: RefCell<File>,
    folder: Folder,
}

impl StoreFile for FolderFile {
    fn len(&self) -> Result<u64, StoreError> {
        Ok(self.file.borrow().metadata().map_err(|error| failed(&error))?.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let grows = (offset + bytes.len() as u64).saturating_sub(self.len()?);
        if self.folder.limit.is_some_and(|limit| self.folder.used() + grows > limit) {
            return Err(StoreError::Full);
        }
        let mut file = self.file.borrow_mut();
        let written = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        written.map_err(|error| failed(&error))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let mut file = self.file.borrow_mut();
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out));
        read.map_err(|error| failed(&error))
    }

    fn truncate(&self, len: u64) -> Result<(), StoreError> {
        self.file.borrow().set_len(len).map_err(|error| failed(&error))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.file.borrow().sync_data().map_err(|error| failed(&error))
    }
}

/// A file under the name that people know.
struct Titled {
    title: String,
    file: FileSource,
}

impl Source for Titled {
    fn name(&self) -> &str {
        &self.title
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        self.file.read_at(offset, buf)
    }
}

fn failed(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Failed { reason: error.to_string() },
    }
}
