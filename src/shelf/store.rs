//! A folder of files, as far as the cache needs one.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use thiserror::Error;

use super::Quota;
use crate::scene::SharedSource;

/// A future that stays on its thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A folder of files. Opening is asynchronous, as in browsers; reading and writing are not.
pub trait Store {
    /// All files, in any order.
    fn list(&self) -> Local<'_, Result<Vec<StoredFile>, StoreError>>;

    /// Opens a file for writing, making it if it is not there. What it holds stays.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when someone else writes it.
    fn write<'a>(&'a self, name: &'a str) -> Local<'a, Result<Rc<dyn StoreFile>, StoreError>>;

    /// Opens a file for reading. `title` is the name that errors show.
    fn read<'a>(&'a self, name: &'a str, title: &'a str) -> Local<'a, Result<SharedSource, StoreError>>;

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when someone writes it.
    fn remove<'a>(&'a self, name: &'a str) -> Local<'a, Result<(), StoreError>>;

    /// What there is room for, if anybody knows.
    fn quota(&self) -> Local<'_, Option<Quota>>;
}

/// A file open for writing; dropping it closes it.
pub trait StoreFile {
    /// Bytes.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the medium fails.
    fn len(&self) -> Result<u64, StoreError>;

    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room; some of the bytes may have been written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the medium fails or the file is shorter.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError>;

    /// Cuts the file to that length.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn truncate(&self, len: u64) -> Result<(), StoreError>;

    /// Brings everything to the medium.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn flush(&self) -> Result<(), StoreError>;
}

/// A file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub name: String,
    pub bytes: u64,
}

/// A store that does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("the browser has no room left for this page")]
    Full,
    #[error("{name} is being written by another tab; wait for it, or close that tab")]
    Busy { name: String },
    #[error("{name} is not there any more")]
    Missing { name: String },
    #[error("the browser's private file system failed ({reason}); reload the page")]
    Failed { reason: String },
}
