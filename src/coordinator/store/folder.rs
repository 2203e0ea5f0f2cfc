//! Contents in a folder: written beside their place, synced, renamed. On every file system that this runs on, a rename within
//! one is atomic, and syncing file and folder makes it durable.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Blobs, Scratch};
use crate::coordinator::tokens;
use crate::federation::protocol::{FederationId, Hash};

/// `blobs/ab/ab12…`, `scratch/`, `uploads/<federation>/<name>/<chunk>`.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens or creates it; scratch files of a former process are deleted.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        let scratch = root.join("scratch");
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for folder in [scratch, root.join("uploads")] {
            fs::create_dir_all(folder)?;
        }
        // All of them now, so that their names are safe before anything is in them.
        let blobs = root.join("blobs");
        for first in 0..=u8::MAX {
            fs::create_dir_all(blobs.join(format!("{first:02x}")))?;
        }
        sync_folder(&blobs)?;
        sync_folder(root)?;
        Ok(Self { root: root.into() })
    }

    fn place(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    // Only Unix can open and sync a folder; elsewhere the file system journals its names by itself.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

impl Blobs for Folder {
    fn scratch(&self) -> io::Result<Scratch> {
        let path = self.root.join("scratch").join(tokens::random_name()?);
        File::create_new(&path)?;
        Ok(Scratch(path))
    }

    fn adopt(&self, scratch: &Scratch, hash: Hash) -> io::Result<()> {
        let place = self.place(hash);
        let Some(folder) = place.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
        // Only a handle that may write can be synced everywhere.
        File::options().write(true).open(scratch.path())?.sync_all()?;
        fs::rename(scratch.path(), &place)?;
        sync_folder(folder)
    }

    fn path(&self, hash: Hash) -> Option<PathBuf> {
        Some(self.place(hash)).filter(|path| path.is_file())
    }

    fn delete(&self, hash: Hash) -> io::Result<()> {
        match fs::remove_file(self.place(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self) -> io::Result<Vec<Hash>> {
        let mut hashes = Vec::new();
        for folder in fs::read_dir(self.root.join("blobs"))? {
            let folder = folder?.path();
            if folder.is_dir() {
                for file in fs::read_dir(folder)? {
                    hashes.extend(file?.file_name().to_str().and_then(|name| name.parse::<Hash>().ok()));
                }
            }
        }
        Ok(hashes)
    }

    fn upload(&self, federation: FederationId, name: &str) -> PathBuf {
        self.root.join("uploads").join(federation.to_string()).join(name)
    }
}
