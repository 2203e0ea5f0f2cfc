//! What survives: the log of events, and contents by their hash.
//!
//! Both stand behind a trait, so that a database server and an object store can stand behind it, too. Everything that is true
//! of the coordinator after a SIGKILL at any point rests on the guarantees written here.

mod folder;
mod redb_log;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use folder::Folder;
pub use redb_log::RedbLog;

use super::machine::Event;
use crate::federation::protocol::{FederationId, Hash};

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970, for people; decides nothing.
    pub at_unix_ms: u64,
    pub event: Event,
}

/// The log of every federation.
///
/// Guarantees:
/// - *Atomic*: after a crash at any point either all entries of an [`append`](Log::append) are there or none.
/// - *Durable*: once it has returned `Ok`, they are there after any crash, power failure included.
/// - *Ordered, exactly once*: entry `n` of a federation is written once; an append whose `first` is not the number of entries
///   so far is refused, so two writers cannot both succeed, and a repeated append cannot count twice.
/// - *Read back as written*, bit for bit.
pub trait Log: Send + Sync {
    /// Appends entries `first..` of a federation; its first append creates it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when entries have been appended meanwhile; [`StoreError::Failed`] when they cannot be stored.
    /// Nothing is stored then.
    fn append(&self, federation: FederationId, first: u64, entries: &[Entry]) -> Result<(), StoreError>;

    /// Calls `each` for every entry: federation by federation, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read or holds what this program does not know.
    fn read(&self, each: &mut dyn FnMut(FederationId, Entry)) -> Result<(), StoreError>;

    /// Removes all entries of a federation; none being there is no error. *Atomic* and *durable* like an append.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; everything is still there then.
    fn remove(&self, federation: FederationId) -> Result<(), StoreError>;

    /// A value beside the log, the hash of the admin token; durable like an append.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    fn set_admin(&self, token: Hash) -> Result<(), StoreError>;

    /// # Errors
    /// [`StoreError::Failed`]
    fn admin(&self) -> Result<Option<Hash>, StoreError>;
}

/// Contents by their hash, and chunks of uploads that may become contents.
///
/// Guarantees:
/// - *Whole*: a content that can be found has exactly the bytes that its hash names; a crash never leaves a part of one.
/// - *Durable*: once [`adopt`](Blobs::adopt) has returned `Ok`, the content survives any crash.
/// - *Idempotent*: adopting the same content again changes nothing.
/// - Chunks survive the end of the process, but not necessarily a power failure: an upload is checked as a whole when it is
///   finished, and what is missing or damaged is asked for again.
pub trait Blobs: Send + Sync {
    /// A new file to write a content into.
    ///
    /// # Errors
    /// The file system's.
    fn scratch(&self) -> io::Result<Scratch>;

    /// Makes a finished scratch file the content of this hash, which the caller has computed from what it wrote.
    ///
    /// # Errors
    /// The file system's; the content is not there then.
    fn adopt(&self, scratch: &Scratch, hash: Hash) -> io::Result<()>;

    /// Where a content can be read; `None` where it is not there.
    fn path(&self, hash: Hash) -> Option<PathBuf>;

    /// Deletes a content; not being there is no error.
    ///
    /// # Errors
    /// The file system's.
    fn delete(&self, hash: Hash) -> io::Result<()>;

    /// Every content there is.
    ///
    /// # Errors
    /// The file system's.
    fn list(&self) -> io::Result<Vec<Hash>>;

    /// The folder with the chunks of one upload; it need not exist.
    fn upload(&self, federation: FederationId, name: &str) -> PathBuf;
}

/// A file on its way to become a content. Unless it does, it is deleted when it is dropped; after a crash, at the next start.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // An adopted one is somewhere else by now.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why something could not be stored.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("entries have been appended meanwhile: expected {expected}, there are {found}")]
    Conflict { expected: u64, found: u64 },
    #[error("the store failed: {0}; check the disk of the data folder")]
    Failed(String),
    #[error(
        "entry {entry} of federation {federation} cannot be read: {what}; it was written by a newer version or is damaged"
    )]
    Damaged { federation: FederationId, entry: u64, what: String },
    #[error("the data folder {} is in use by another coordinator; give each its own with --data", .folder.display())]
    InUse { folder: PathBuf },
}

#[cfg(test)]
mod tests;
