//! Uploads in chunks: resumable, because the chunks that are there are told; idempotent, because a chunk is replaced by itself.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::store::{Blobs, Scratch};
use super::tokens;
use crate::federation::protocol::{CHUNK_BYTES, FinishUpload, Hash, Reason, Refusal};

/// A refusal for a disk that does not do what it should; what exactly is only logged.
pub(super) fn disk(error: io::Error) -> Refusal {
    tracing::error!(%error, "the data folder failed");
    Reason::StorageFailed.into()
}

/// Number of chunks of a content.
pub(super) fn chunks(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES)
}

/// Keeps a chunk: beside its place first, so that a chunk that is there is whole.
pub(super) fn put_chunk(folder: &Path, index: u32, bytes: &[u8]) -> Result<(), Refusal> {
    let write = || {
        fs::create_dir_all(folder)?;
        let aside = folder.join(format!("{index}.{}", tokens::random_name()?));
        let placed = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, folder.join(index.to_string())));
        if placed.is_err() {
            // A full disk is not filled further.
            let _ = fs::remove_file(&aside);
        }
        placed
    };
    write().map_err(disk)
}

/// Indices of the chunks that are there, rising.
pub(super) fn received(folder: &Path) -> Result<Vec<u32>, Refusal> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk(error)),
    };
    let mut indices = Vec::new();
    for entry in entries {
        indices.extend(entry.map_err(disk)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    indices.sort_unstable();
    Ok(indices)
}

/// Forgets an upload.
pub(super) fn discard(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(%error, "chunks could not be deleted"),
        _ => {}
    }
}

/// Puts the chunks together in a scratch file whose hash is the one that was said.
pub(super) fn assemble(blobs: &dyn Blobs, folder: &Path, upload: &FinishUpload) -> Result<Scratch, Refusal> {
    let missing = |index: u64| Reason::ChunksMissing.because(format!("chunk {index} of {}", chunks(upload.bytes)));
    let scratch = blobs.scratch().map_err(disk)?;
    let mut out = File::create(scratch.path()).map_err(disk)?;
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for index in 0..chunks(upload.bytes) {
        let expected = (upload.bytes - index * CHUNK_BYTES).min(CHUNK_BYTES);
        bytes.clear();
        let place = folder.join(index.to_string());
        let read = File::open(&place).and_then(|file| file.take(CHUNK_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 == expected => {}
            Ok(_) => {
                // Whoever asks which chunks are there must not be told of this one.
                fs::remove_file(&place).map_err(disk)?;
                return Err(missing(index));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(index)),
            Err(error) => return Err(disk(error)),
        }
        hash.update(&bytes);
        out.write_all(&bytes).map_err(disk)?;
    }
    let found = Hash(hash.finalize().into());
    if found != upload.sha256 {
        return Err(Reason::HashMismatch.because(format!("it is {found}")));
    }
    Ok(scratch)
}
