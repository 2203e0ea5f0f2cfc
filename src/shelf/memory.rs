//! A file in memory, for where there is no other place.

use std::cell::RefCell;

use crate::scene::{Source, SourceError, check_range};

use super::store::{StoreError, StoreFile};

/// Bytes that are taken at once: a large file never has to be moved to a larger piece of memory.
const PIECE: usize = 1 << 20;

/// A file in memory: written, then read as a [`Source`].
#[derive(Debug, Default)]
pub struct MemoryFile {
    title: String,
    pieces: RefCell<Pieces>,
}

/// All but the last are full.
#[derive(Debug, Default)]
struct Pieces {
    list: Vec<Vec<u8>>,
    len: u64,
}

impl MemoryFile {
    /// An empty file with the name that errors show.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), pieces: RefCell::default() }
    }

    /// Calls `act` with the pieces of `offset..offset + len`, in order, and where they start in that range.
    fn each(&self, offset: u64, len: usize, mut act: impl FnMut(&[u8], usize)) {
        let pieces = self.pieces.borrow();
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (piece, start) = ((at / PIECE as u64) as usize, (at % PIECE as u64) as usize);
            let count = (PIECE - start).min(len - done);
            act(&pieces.list[piece][start..start + count], done);
            done += count;
        }
    }
}

impl StoreFile for MemoryFile {
    fn len(&self) -> Result<u64, StoreError> {
        Ok(self.pieces.borrow().len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut pieces = self.pieces.borrow_mut();
        if offset > pieces.len {
            return Err(StoreError::Failed { reason: "a gap would be left in a file".to_owned() });
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, start) = ((at / PIECE as u64) as usize, (at % PIECE as u64) as usize);
            if number == pieces.list.len() {
                let mut piece = Vec::new();
                piece.try_reserve_exact(PIECE).map_err(|_| StoreError::Full)?;
                pieces.list.push(piece);
            }
            let count = (PIECE - start).min(bytes.len() - done);
            let piece = &mut pieces.list[number];
            if piece.len() < start + count {
                piece.resize(start + count, 0);
            }
            piece[start..start + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
            pieces.len = pieces.len.max(at + count as u64);
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        Source::read_at(self, offset, out).map_err(|error| StoreError::Failed { reason: error.to_string() })
    }

    fn truncate(&self, len: u64) -> Result<(), StoreError> {
        let mut pieces = self.pieces.borrow_mut();
        if len < pieces.len {
            pieces.len = len;
            pieces.list.truncate(len.div_ceil(PIECE as u64) as usize);
            let rest = (len % PIECE as u64) as usize;
            if let Some(last) = pieces.list.last_mut().filter(|_| rest > 0) {
                last.truncate(rest);
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Source for MemoryFile {
    fn name(&self) -> &str {
        &self.title
    }

    fn len(&self) -> u64 {
        self.pieces.borrow().len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        self.each(offset, buf.len(), |piece, at| buf[at..at + piece.len()].copy_from_slice(piece));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_across_pieces() {
        let file = MemoryFile::new("x");
        let bytes: Vec<u8> = (0..3 * PIECE + 17).map(|i| (i % 251) as u8).collect();
        for (number, chunk) in bytes.chunks(777_777).enumerate() {
            file.write_at(number as u64 * 777_777, chunk).unwrap();
        }
        assert_eq!(Source::len(&file), bytes.len() as u64);
        let mut out = vec![0; PIECE + 5];
        Source::read_at(&file, PIECE as u64 - 3, &mut out).unwrap();
        assert_eq!(out, bytes[PIECE - 3..2 * PIECE + 2]);
        assert!(Source::read_at(&file, bytes.len() as u64 - 1, &mut [0; 2]).is_err());
    }

    #[test]
    fn a_file_is_cut_and_written_on() {
        let file = MemoryFile::new("x");
        file.write_at(0, &vec![1; 2 * PIECE + 9]).unwrap();
        for len in [2 * PIECE + 4, 2 * PIECE, PIECE + 1] {
            file.truncate(len as u64).unwrap();
            assert_eq!(StoreFile::len(&file), Ok(len as u64));
        }
        file.write_at(PIECE as u64 + 1, &[2; 3]).unwrap();
        let mut out = [0; 4];
        StoreFile::read_at(&file, PIECE as u64, &mut out).unwrap();
        assert_eq!(out, [1, 2, 2, 2]);
        assert!(file.write_at(5 * PIECE as u64, &[1]).is_err(), "a gap");
    }
}
