//! What survives a closed tab: the client's place in the federation, an upload on its way, a round half trained.
//!
//! Each tab has a place of its own, also where several tabs of one browser take part in the same federation: a place is a file
//! that its tab holds open, and nobody else can. A tab that comes back takes the first place that is free.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::federation::protocol::FederationId;
use crate::shelf::{Store, StoreError, StoreFile};

/// More tabs of one browser do not take part in one federation.
const PLACES: u32 = 64;
/// Counter, length, SHA-256.
const HEAD: usize = 8 + 8 + 32;
/// Longest content that is read back.
const LONGEST: u64 = 4 << 30;

/// A tab's own place. Contents are written to two files in turn, so that a tab that dies while it writes loses no more than
/// what it was writing.
pub struct Keeping {
    place: Option<Place>,
    /// Why nothing is kept, for people.
    pub notice: Option<String>,
}

struct Place {
    store: Rc<dyn Store>,
    name: String,
    files: [Rc<dyn StoreFile>; 2],
    counter: u64,
    checkpoint: Option<Rc<dyn StoreFile>>,
}

impl Keeping {
    /// The first free place; without a store nothing is kept.
    pub async fn open(store: Result<Rc<dyn Store>, String>, federation: FederationId) -> Self {
        let none = |notice: String| Self { place: None, notice: Some(notice) };
        let store = match store {
            Ok(store) => store,
            Err(reason) => return none(reason),
        };
        for number in 0..PLACES {
            let name = format!("{federation}-{number}");
            match Place::open(store.clone(), name).await {
                Ok(place) => return Self { place: Some(place), notice: None },
                Err(StoreError::Busy { .. }) => {}
                Err(error) => return none(error.to_string()),
            }
        }
        none("too many tabs take part already; this one will not find its place again after a reload".to_owned())
    }

    /// Nothing is kept, as is wanted.
    pub fn nowhere() -> Self {
        Self { place: None, notice: None }
    }

    /// What was written last.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let place = self.place.as_mut()?;
        let found = [0, 1].map(|index| read(&*place.files[index]));
        let (counter, bytes) = found.into_iter().flatten().max_by_key(|(counter, _)| *counter)?;
        place.counter = counter;
        Some(bytes)
    }

    /// Keeps `bytes` instead of what was kept before.
    pub fn write(&mut self, bytes: &[u8]) {
        let Some(place) = &mut self.place else { return };
        place.counter += 1;
        let file = &place.files[(place.counter % 2) as usize];
        if let Err(error) = write(&**file, place.counter, bytes) {
            self.notice = Some(format!(
                "this browser cannot keep the place in the federation ({error}); after a reload this tab joins anew"
            ));
        }
    }

    /// Keeps how far a round is.
    pub async fn write_checkpoint(&mut self, bytes: &[u8]) {
        let Some(place) = &mut self.place else { return };
        if place.checkpoint.is_none() {
            let name = format!("{}-round", place.name);
            place.checkpoint = place.store.write(&name).await.ok();
        }
        if let Some(file) = &place.checkpoint {
            // A round that begins again costs minutes, not the place.
            drop(write(&**file, 1, bytes));
        }
    }

    pub async fn read_checkpoint(&mut self) -> Option<Vec<u8>> {
        let place = self.place.as_mut()?;
        let file = place.store.write(&format!("{}-round", place.name)).await.ok()?;
        let found = read(&*file).map(|(_, bytes)| bytes);
        place.checkpoint = Some(file);
        found
    }

    /// Forgets everything: the federation is over for this tab.
    pub async fn forget(&mut self) {
        let Some(Place { store, name, files, checkpoint, .. }) = self.place.take() else { return };
        drop((files, checkpoint));
        for end in ["-a", "-b", "-round"] {
            // What stays behind is small, and is written over by the next one who takes the place.
            drop(store.remove(&format!("{name}{end}")).await);
        }
    }
}

impl Place {
    async fn open(store: Rc<dyn Store>, name: String) -> Result<Self, StoreError> {
        let files = [store.write(&format!("{name}-a")).await?, store.write(&format!("{name}-b")).await?];
        Ok(Self { store, name, files, counter: 0, checkpoint: None })
    }
}

fn write(file: &dyn StoreFile, counter: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let mut head = Vec::with_capacity(HEAD);
    head.extend(counter.to_le_bytes());
    head.extend((bytes.len() as u64).to_le_bytes());
    head.extend(Sha256::digest(bytes));
    file.write_at(0, &head)?;
    file.write_at(HEAD as u64, bytes)?;
    file.truncate((HEAD + bytes.len()) as u64)?;
    file.flush()
}

/// Counter and content; `None` where the file is empty or was not written to its end.
fn read(file: &dyn StoreFile) -> Option<(u64, Vec<u8>)> {
    let mut head = [0; HEAD];
    let len = file.len().ok().filter(|&len| (HEAD as u64..=LONGEST).contains(&len))?;
    file.read_at(0, &mut head).ok()?;
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
    if number(8) != len - HEAD as u64 {
        return None;
    }
    let mut bytes = vec![0; (len - HEAD as u64) as usize];
    file.read_at(HEAD as u64, &mut bytes).ok()?;
    (Sha256::digest(&bytes).as_slice() == &head[16..]).then_some((number(0), bytes))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::shelf::Folder;

    const FEDERATION: FederationId = FederationId([3; 8]);

    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn open(folder: &std::path::Path) -> Keeping {
        now(Keeping::open(Ok(Rc::new(Folder::new(folder).unwrap())), FEDERATION))
    }

    #[test]
    fn the_last_content_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeping = open(folder.path());
        assert_eq!(keeping.read(), None);
        for content in [&b"one"[..], b"two, which is longer", b"3"] {
            keeping.write(content);
        }
        now(keeping.write_checkpoint(b"half a round"));
        drop(keeping);
        let mut keeping = open(folder.path());
        assert_eq!((keeping.read().as_deref(), keeping.notice.as_deref()), (Some(&b"3"[..]), None));
        assert_eq!(now(keeping.read_checkpoint()).as_deref(), Some(&b"half a round"[..]));
        keeping.write(b"four");
        assert_eq!(open(folder.path()).read().as_deref(), Some(&b"four"[..]));
        now(keeping.forget());
        assert_eq!(open(folder.path()).read(), None);
    }

    /// A tab that dies while it writes leaves a file that is cut, or mixed from two contents.
    #[test]
    fn a_torn_write_leaves_the_content_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeping = open(folder.path());
        keeping.write(b"first");
        keeping.write(b"second");
        let newest = folder.path().join(format!("{FEDERATION}-0-a"));
        let whole = std::fs::read(&newest).unwrap();
        for torn in (0..whole.len()).map(|cut| whole[..cut].to_vec()).chain([vec![9; whole.len()]]) {
            std::fs::write(&newest, torn).unwrap();
            assert_eq!(open(folder.path()).read().as_deref(), Some(&b"first"[..]));
        }
    }

    #[test]
    fn without_a_store_nothing_is_kept_and_said_so() {
        let mut keeping = now(Keeping::open(Err("a private window".into()), FEDERATION));
        keeping.write(b"x");
        now(keeping.write_checkpoint(b"x"));
        assert_eq!((keeping.read(), keeping.notice.as_deref()), (None, Some("a private window")));
    }
}
