//! The weights that are kept: in a store, a data file and a small JSON each.
//!
//! The data file is written under a name that says nothing; the JSON `<sha256>.json`, which points to it, is written last and
//! makes it an entry. A download that broke off leaves its data and a `<…>.resume` that says of what; everything else that no
//! JSON points to is a leftover of a tab that was closed, and is removed when the cache is listed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalogue::is_sha256;
use super::incoming::{Arrived, FULL, Held, Incoming, MEMORY_MAX, Stored, Writing};
use super::store::{Store, StoreError};
use super::{CachedWeights, Quota, ShelfError, WeightsSummary};
use crate::scene::SharedSource;
use crate::weights::LoadReport;

/// Rises whenever an older page could no longer read an entry.
const FORMAT: u32 = 1;
/// The JSON of an entry with the report of ViT-H has about 0.3 MB.
const JSON_MAX: u64 = 16 << 20;
/// A download that nobody has gone on with for so long is a leftover.
const RESUME_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// An entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    format: u32,
    /// The data file.
    file: String,
    pub weights: CachedWeights,
    /// What became of every tensor when it was converted or downloaded.
    pub report: LoadReport,
}

/// A download that broke off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Resume {
    url: String,
    file: String,
    validator: Option<String>,
    total: Option<u64>,
    started_ms: u64,
}

/// What a cache holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Of the entries and of what broke off.
    pub bytes_used: u64,
    pub quota: Option<Quota>,
    pub notices: Vec<String>,
}

/// A download that is written, and what is known of an earlier attempt.
pub(super) struct Resumed {
    pub incoming: Incoming,
    pub validator: Option<String>,
    pub total: Option<u64>,
}

/// The weights that are kept.
pub struct Cache {
    store: Option<Rc<dyn Store>>,
    /// Why there is no store.
    notice: Option<String>,
    memory_max: u64,
    now_ms: fn() -> u64,
    writing: Writing,
    count: Cell<u32>,
}

impl Cache {
    /// A cache in `store`, or in no store for a reason that users are told. `now_ms`: milliseconds since 1970.
    pub fn new(store: Result<Rc<dyn Store>, String>, now_ms: fn() -> u64) -> Self {
        let (store, notice) = match store {
            Ok(store) => (Some(store), None),
            Err(reason) => (None, Some(reason)),
        };
        let writing = Rc::new(RefCell::new(BTreeSet::new()));
        Self { store, notice, memory_max: MEMORY_MAX, now_ms, writing, count: Cell::new(0) }
    }

    /// With another limit on what is held in memory when there is no room.
    #[must_use]
    pub fn with_memory(self, memory_max: u64) -> Self {
        Self { memory_max, ..self }
    }

    /// Everything that is kept; removes leftovers and entries that are not whole.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when the store fails.
    pub async fn list(&self) -> Result<Listing, ShelfError> {
        let Some(store) = &self.store else {
            return Ok(Listing { notices: self.notice.iter().cloned().collect(), ..Listing::default() });
        };
        let files = store.list().await?;
        let size = |name: &str| files.iter().find(|file| file.name == name).map(|file| file.bytes);
        let mut listing = Listing::default();
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        let mut names = BTreeSet::new();
        for file in &files {
            if let Some(id) = file.name.strip_suffix(".json") {
                let Some(entry) = self.read_json::<Entry>(&**store, &file.name).await else { continue };
                if entry.format > FORMAT {
                    // Of a newer page: not ours to judge.
                    kept.insert(&file.name);
                    names.insert(entry.file);
                } else if entry.weights.id == id && size(&entry.file) == Some(entry.weights.summary.bytes) {
                    kept.insert(&file.name);
                    names.insert(entry.file.clone());
                    listing.bytes_used += entry.weights.summary.bytes + file.bytes;
                    listing.entries.push(entry);
                } else {
                    let name = &entry.weights.name;
                    listing.notices.push(format!("{name} was not whole any more and has been deleted; load it again"));
                }
            } else if file.name.ends_with(".resume") {
                let Some(resume) = self.read_json::<Resume>(&**store, &file.name).await else { continue };
                let fresh = (self.now_ms)().saturating_sub(resume.started_ms) < RESUME_MS;
                if let (true, Some(bytes)) = (fresh, size(&resume.file)) {
                    kept.insert(&file.name);
                    names.insert(resume.file);
                    listing.bytes_used += bytes;
                }
            }
        }
        for file in &files {
            let open = self.writing.borrow().contains(&file.name);
            if !open && !kept.contains(file.name.as_str()) && !names.contains(&file.name) {
                // What another tab is writing cannot be removed, and need not.
                let _ = store.remove(&file.name).await;
            }
        }
        listing.entries.sort_by_key(|entry| std::cmp::Reverse(entry.weights.stored_ms));
        listing.quota = store.quota().await;
        Ok(listing)
    }

    /// An entry and its bytes, not yet verified.
    ///
    /// # Errors
    /// [`ShelfError::Unknown`] when it is not there.
    pub async fn open(&self, id: &str) -> Result<(Entry, SharedSource), ShelfError> {
        let unknown = || ShelfError::Unknown { name: "this set of weights".to_owned() };
        let store = self.store.as_ref().ok_or_else(unknown)?;
        if !is_sha256(id) {
            return Err(unknown());
        }
        let entry: Entry = self.read_json(&**store, &format!("{id}.json")).await.ok_or_else(unknown)?;
        let source = store.read(&entry.file, &entry.weights.name).await;
        match source {
            Ok(source) => Ok((entry, source)),
            Err(StoreError::Missing { name }) => Err(ShelfError::Unknown { name }),
            Err(error) => Err(error.into()),
        }
    }

    /// What an entry says about itself.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn entry(&self, id: &str) -> Result<Entry, ShelfError> {
        self.open(id).await.map(|(entry, _)| entry)
    }

    /// Removes an entry; one that is not there is no error.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when the store fails.
    pub async fn delete(&self, id: &str) -> Result<(), ShelfError> {
        let Some(store) = self.store.as_ref().filter(|_| is_sha256(id)) else { return Ok(()) };
        let name = format!("{id}.json");
        let entry: Option<Entry> = self.read_json(&**store, &name).await;
        store.remove(&name).await?;
        if let Some(entry) = entry {
            store.remove(&entry.file).await?;
        }
        Ok(())
    }

    /// Removes everything, also what broke off.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when the store fails.
    pub async fn clear(&self) -> Result<(), ShelfError> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut files = store.list().await?;
        // First what points, then what is pointed to.
        files.sort_by_key(|file| !file.name.ends_with(".json"));
        for file in files {
            if !self.writing.borrow().contains(&file.name) {
                store.remove(&file.name).await?;
            }
        }
        Ok(())
    }

    /// A new file of so many bytes, if that is known.
    ///
    /// # Errors
    /// [`ShelfError::NoRoom`] when neither the store nor memory has room for them.
    pub async fn begin(&self, title: &str, bytes: Option<u64>) -> Result<Incoming, ShelfError> {
        let (stored, notice) = match &self.store {
            None => (None, self.notice.clone()),
            Some(store) => self.create_if_room(store, self.new_name()).await?,
        };
        Incoming::new(title, stored, notice, bytes, self.memory_max).await
    }

    /// A download: goes on with what an earlier attempt has left of this address.
    pub(super) async fn begin_download(&self, url: &str, title: &str) -> Result<Resumed, ShelfError> {
        let Some(store) = &self.store else {
            let incoming = Incoming::new(title, None, self.notice.clone(), None, self.memory_max).await?;
            return Ok(Resumed { incoming, validator: None, total: None });
        };
        let left = self.read_json::<Resume>(&**store, &resume_name(url)).await.filter(|resume| resume.url == url);
        let (name, validator, total) = match left {
            Some(Resume { file, validator, total, .. }) => (file, validator, total),
            None => (self.new_name(), None, None),
        };
        let (stored, notice) = self.create_if_room(store, name).await?;
        if let Some(stored) = stored.as_ref().filter(|_| validator.is_none()) {
            // Nobody could tell whether it is still the same file.
            stored.file.truncate(0)?;
        }
        let incoming = Incoming::new(title, stored, notice, None, self.memory_max).await?;
        Ok(Resumed { incoming, validator, total })
    }

    /// Writes down what is needed to go on with a download later.
    pub(super) async fn note_resume(
        &self,
        url: &str,
        incoming: &Incoming,
        validator: Option<&str>,
        total: Option<u64>,
    ) -> Result<(), ShelfError> {
        let (Some(store), Some(file), Some(validator)) = (&self.store, incoming.stored_name(), validator) else {
            return Ok(());
        };
        let validator = Some(validator.to_owned());
        let resume =
            Resume { url: url.to_owned(), file: file.to_owned(), validator, total, started_ms: (self.now_ms)() };
        self.write_json(store, &resume_name(url), &resume).await
    }

    /// Forgets that a download was begun.
    pub async fn forget_resume(&self, url: &str) {
        if let Some(store) = &self.store {
            let _ = store.remove(&resume_name(url)).await;
        }
    }

    /// Makes an entry of a file that is whole. False when it is in memory, or its entry could not be written: then it is there
    /// until the page is reloaded.
    ///
    /// # Errors
    /// [`ShelfError::Store`] when the store fails.
    pub async fn commit(
        &self,
        arrived: &Arrived,
        name: &str,
        summary: &WeightsSummary,
        report: &LoadReport,
    ) -> Result<bool, ShelfError> {
        let (Some(store), Some(file)) = (&self.store, &arrived.stored) else { return Ok(false) };
        let entry = Entry {
            format: FORMAT,
            file: file.name().to_owned(),
            weights: CachedWeights {
                id: arrived.sha256.clone(),
                name: name.to_owned(),
                summary: summary.clone(),
                stored_ms: (self.now_ms)(),
            },
            report: report.clone(),
        };
        let json = format!("{}.json", arrived.sha256);
        // The same weights once more: the new data take the place of the old.
        let before: Option<Entry> = self.read_json(&**store, &json).await;
        match self.write_json(store, &json, &entry).await {
            Ok(()) => {}
            Err(ShelfError::Store(StoreError::Full)) => {
                file.hold_for_ever();
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if let Some(before) = before.filter(|before| before.file != file.name()) {
            let _ = store.remove(&before.file).await;
        }
        Ok(true)
    }

    /// Removes a file that is whole but not what it should be.
    pub async fn remove_arrived(&self, arrived: &Arrived) {
        if let (Some(store), Some(name)) = (&self.store, &arrived.stored) {
            let _ = store.remove(name.name()).await;
        }
    }

    async fn create(&self, store: &Rc<dyn Store>, name: String) -> Result<Stored, ShelfError> {
        let held = Held::new(name, &self.writing);
        let file = store.write(held.name()).await?;
        Ok(Stored { store: store.clone(), file, held })
    }

    /// A full store may not even take an empty file: then none, and what users are told.
    async fn create_if_room(
        &self,
        store: &Rc<dyn Store>,
        name: String,
    ) -> Result<(Option<Stored>, Option<String>), ShelfError> {
        match self.create(store, name).await {
            Ok(stored) => Ok((Some(stored), None)),
            Err(ShelfError::Store(StoreError::Full)) => Ok((None, Some(FULL.to_owned()))),
            Err(error) => Err(error),
        }
    }

    /// A name that no other tab thinks of.
    fn new_name(&self) -> String {
        self.count.set(self.count.get() + 1);
        let place = std::ptr::from_ref(self) as usize;
        format!("{:x}-{:x}-{}.gguf", (self.now_ms)(), place, self.count.get())
    }

    /// `None` for what is not there, or no such JSON.
    async fn read_json<T: DeserializeOwned>(&self, store: &dyn Store, name: &str) -> Option<T> {
        let source = store.read(name, name).await.ok()?;
        if source.len() > JSON_MAX {
            return None;
        }
        let mut bytes = vec![0; source.len() as usize];
        source.read_at(0, &mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    async fn write_json<T: Serialize>(&self, store: &Rc<dyn Store>, name: &str, value: &T) -> Result<(), ShelfError> {
        let failed = |error: serde_json::Error| StoreError::Failed { reason: error.to_string() };
        let bytes = serde_json::to_vec(value).map_err(failed)?;
        let stored = self.create(store, name.to_owned()).await?;
        let written = stored.file.truncate(0).and_then(|()| stored.file.write_at(0, &bytes));
        match written.and_then(|()| stored.file.flush()) {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(stored);
                let _ = store.remove(name).await;
                Err(error.into())
            }
        }
    }
}

fn resume_name(url: &str) -> String {
    let hash: String = Sha256::digest(url).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}.resume")
}
