//! Bytes on their way into the cache.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::memory::MemoryFile;
use super::store::{Store, StoreError, StoreFile};
use super::{Quota, ShelfError};
use crate::scene::SharedSource;

/// Most bytes that are held in memory when there is no other place: enough for ViT-B in F16 or ViT-L at Q8_0, and it leaves
/// room for work in the 4 GiB of WebAssembly.
pub const MEMORY_MAX: u64 = 1 << 30;

/// What users are told when memory has to do.
pub(super) const FULL: &str = "the browser has no room left for this page, so these weights are held in memory and gone after a \
                               reload; delete weights that you no longer need to keep them";

/// Bytes that are read back at once.
const PIECE: usize = 1 << 20;

/// Names of the files that are being written, so that nobody takes them for leftovers.
pub(super) type Writing = Rc<RefCell<BTreeSet<String>>>;

/// A file that is being written from its first byte to its last. It is hashed as it comes, and moves to memory when the store
/// is full.
pub struct Incoming {
    title: String,
    place: Place,
    /// Bytes of the whole, where known.
    expected: Option<u64>,
    memory_max: u64,
    hasher: Sha256,
    len: u64,
    notice: Option<String>,
}

enum Place {
    Stored(Stored),
    Memory(Rc<MemoryFile>),
}

pub(super) struct Stored {
    pub store: Rc<dyn Store>,
    pub file: Rc<dyn StoreFile>,
    pub held: Held,
}

/// The name of a file that is no leftover as long as this lives.
pub struct Held {
    name: String,
    writing: Writing,
    for_ever: Cell<bool>,
}

impl Held {
    pub(super) fn new(name: String, writing: &Writing) -> Self {
        writing.borrow_mut().insert(name.clone());
        Self { name, writing: writing.clone(), for_ever: Cell::new(false) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// It is in use until the page is reloaded.
    pub(super) fn hold_for_ever(&self) {
        self.for_ever.set(true);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.for_ever.get() {
            self.writing.borrow_mut().remove(&self.name);
        }
    }
}

/// A file that is whole.
pub struct Arrived {
    pub source: SharedSource,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where in the store; `None` in memory.
    pub stored: Option<Held>,
    /// Why it is in memory.
    pub notice: Option<String>,
}

impl Incoming {
    /// A new file. In memory if `stored` is `None`, for the reason in `notice`, or if the quota tells beforehand that there is
    /// no room.
    pub(super) async fn new(
        title: &str,
        stored: Option<Stored>,
        notice: Option<String>,
        expected: Option<u64>,
        memory_max: u64,
    ) -> Result<Self, ShelfError> {
        let mut incoming = Self {
            title: title.to_owned(),
            place: Place::Memory(Rc::new(MemoryFile::new(title))),
            expected: None,
            memory_max,
            hasher: Sha256::new(),
            len: 0,
            notice: None,
        };
        match stored {
            Some(stored) => incoming.place = Place::Stored(stored),
            None => incoming.notice = notice,
        }
        incoming.expect(expected).await?;
        Ok(incoming)
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its name in the store; `None` in memory.
    pub(super) fn stored_name(&self) -> Option<&str> {
        match &self.place {
            Place::Stored(stored) => Some(stored.held.name()),
            Place::Memory(_) => None,
        }
    }

    /// Says how many bytes there will be, as soon as that is known: what has no room is not begun.
    ///
    /// # Errors
    /// [`ShelfError::NoRoom`] when neither the store nor memory can hold them.
    pub async fn expect(&mut self, bytes: Option<u64>) -> Result<(), ShelfError> {
        self.expected = bytes;
        let Some(bytes) = bytes else { return Ok(()) };
        let Place::Stored(stored) = &self.place else { return self.check_memory() };
        let quota = stored.store.quota().await;
        // What is written already counts as used.
        let room = quota
            .map(|Quota { used_bytes, total_bytes }| total_bytes.saturating_sub(used_bytes.saturating_sub(self.len)));
        if room.is_some_and(|room| bytes > room) { self.move_to_memory().await } else { Ok(()) }
    }

    /// Takes over what an earlier attempt has left: hashes its next piece. False when there is no more.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when it cannot be read.
    pub(super) fn take_over(&mut self) -> Result<bool, ShelfError> {
        let Place::Stored(stored) = &self.place else { return Ok(false) };
        let left = stored.file.len()?.saturating_sub(self.len).min(PIECE as u64) as usize;
        let mut piece = vec![0; left];
        stored.file.read_at(self.len, &mut piece)?;
        self.hasher.update(&piece);
        self.len += left as u64;
        Ok(left > 0)
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`ShelfError::NoRoom`] when neither the store nor memory has room; [`ShelfError::Store`] when the store fails.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), ShelfError> {
        if let Place::Stored(stored) = &self.place {
            match stored.file.write_at(self.len, bytes) {
                Err(StoreError::Full) => self.move_to_memory().await?,
                other => other?,
            }
        }
        if let Place::Memory(file) = &self.place {
            let fits = self.len.checked_add(bytes.len() as u64).is_some_and(|len| len <= self.memory_max);
            if !fits || file.write_at(self.len, bytes).is_err() {
                return Err(self.no_room());
            }
        }
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins again with nothing.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when the store fails.
    pub fn restart(&mut self) -> Result<(), ShelfError> {
        match &self.place {
            Place::Stored(stored) => stored.file.truncate(0)?,
            Place::Memory(file) => file.truncate(0)?,
        }
        self.hasher = Sha256::new();
        self.len = 0;
        Ok(())
    }

    /// Brings everything to its place and opens it for reading.
    ///
    /// # Errors
    /// [`ShelfError`] when the store fails or has no room after all.
    pub async fn finish(mut self) -> Result<Arrived, ShelfError> {
        if let Place::Stored(stored) = &self.place
            && let Err(error) = stored.file.flush()
        {
            match error {
                StoreError::Full => self.move_to_memory().await?,
                error => return Err(error.into()),
            }
        }
        let Self { title, place, hasher, notice, .. } = self;
        let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        match place {
            Place::Memory(file) => Ok(Arrived { source: file, sha256, stored: None, notice }),
            Place::Stored(Stored { store, file, held }) => {
                // Closed before it is opened for reading: a file that changes cannot be read.
                drop(file);
                let source = store.read(held.name(), &title).await?;
                Ok(Arrived { source, sha256, stored: Some(held), notice })
            }
        }
    }

    /// Lets go of it and leaves nothing behind.
    pub async fn discard(self) {
        if let Place::Stored(stored) = self.place {
            remove(stored).await;
        }
    }

    /// Moves to memory what has been written to a store that is full.
    async fn move_to_memory(&mut self) -> Result<(), ShelfError> {
        self.check_memory()?;
        let memory = Rc::new(MemoryFile::new(&self.title));
        let mut piece = vec![0; PIECE];
        let mut done = 0;
        while let (Place::Stored(stored), true) = (&self.place, done < self.len) {
            let piece = &mut piece[..(self.len - done).min(PIECE as u64) as usize];
            stored.file.read_at(done, piece)?;
            if memory.write_at(done, piece).is_err() {
                return Err(self.no_room());
            }
            done += piece.len() as u64;
        }
        if let Place::Stored(stored) = std::mem::replace(&mut self.place, Place::Memory(memory)) {
            remove(stored).await;
        }
        self.notice = Some(FULL.to_owned());
        Ok(())
    }

    fn check_memory(&self) -> Result<(), ShelfError> {
        let needed = self.expected.unwrap_or(self.len);
        if needed <= self.memory_max { Ok(()) } else { Err(self.no_room()) }
    }

    fn no_room(&self) -> ShelfError {
        let needed = self.expected.unwrap_or(self.len);
        ShelfError::NoRoom { name: self.title.clone(), needed, most: self.memory_max }
    }
}

/// A file that cannot be removed now is a leftover, and goes the next time the cache is listed.
async fn remove(Stored { store, file, held }: Stored) {
    drop(file);
    let _ = store.remove(held.name()).await;
}
