//! The log in one redb file: a copy-on-write B-tree whose commits are atomic and synced to the disk.

use std::path::Path;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Entry, Log, StoreError};
use crate::federation::protocol::{FederationId, Hash};

/// (federation, number) → version byte and postcard. Floats are stored bit for bit.
const EVENTS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("events");
/// Federation → number of entries.
const LENGTHS: TableDefinition<u64, u64> = TableDefinition::new("lengths");
const SETTINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("settings");

/// Of the entries' form.
const VERSION: u8 = 1;

pub struct RedbLog {
    database: Database,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl RedbLog {
    /// Opens or creates `log.redb` in a folder.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::Failed`] otherwise.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = match Database::create(folder.join("log.redb")) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse { folder: folder.into() }),
            Err(error) => return Err(failed(error)),
        };
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(EVENTS).map_err(failed)?;
        transaction.open_table(LENGTHS).map_err(failed)?;
        transaction.open_table(SETTINGS).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self { database })
    }
}

impl Log for RedbLog {
    fn append(&self, federation: FederationId, first: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let key = u64::from_be_bytes(federation.0);
        // Commits are durable ("immediate") unless asked otherwise; a transaction that is dropped leaves no trace.
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut lengths = transaction.open_table(LENGTHS).map_err(failed)?;
            let found = lengths.get(key).map_err(failed)?.map_or(0, |length| length.value());
            if found != first {
                return Err(StoreError::Conflict { expected: first, found });
            }
            let mut events = transaction.open_table(EVENTS).map_err(failed)?;
            for (number, entry) in (first..).zip(entries) {
                let bytes = postcard::to_extend(entry, vec![VERSION]).map_err(failed)?;
                events.insert((key, number), bytes.as_slice()).map_err(failed)?;
            }
            lengths.insert(key, first + entries.len() as u64).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn read(&self, each: &mut dyn FnMut(FederationId, Entry)) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let events = transaction.open_table(EVENTS).map_err(failed)?;
        for item in events.iter().map_err(failed)? {
            let (key, value) = item.map_err(failed)?;
            let (federation, entry) = key.value();
            let federation = FederationId(federation.to_be_bytes());
            let damaged = |what: String| StoreError::Damaged { federation, entry, what };
            let decoded = match value.value() {
                [VERSION, bytes @ ..] => postcard::from_bytes(bytes).map_err(|error| damaged(error.to_string()))?,
                _ => return Err(damaged("its version is unknown".into())),
            };
            each(federation, decoded);
        }
        Ok(())
    }

    fn remove(&self, federation: FederationId) -> Result<(), StoreError> {
        let key = u64::from_be_bytes(federation.0);
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut events = transaction.open_table(EVENTS).map_err(failed)?;
            events.retain_in((key, 0)..=(key, u64::MAX), |_, _| false).map_err(failed)?;
            let mut lengths = transaction.open_table(LENGTHS).map_err(failed)?;
            lengths.remove(key).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn set_admin(&self, token: Hash) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut settings = transaction.open_table(SETTINGS).map_err(failed)?;
            settings.insert("admin", token.0.as_slice()).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn admin(&self) -> Result<Option<Hash>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let settings = transaction.open_table(SETTINGS).map_err(failed)?;
        let found = settings.get("admin").map_err(failed)?;
        Ok(found.and_then(|bytes| bytes.value().try_into().ok()).map(Hash))
    }
}
