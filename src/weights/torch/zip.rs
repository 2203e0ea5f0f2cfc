//! The zip format: `NAME/data.pkl` is the pickle, `NAME/data/KEY` the bytes of each storage, stored as they are. Other
//! programs may have packed the archive again, so deflated members are read too.

use std::cell::RefCell;
use std::io::{Read, copy, sink};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::super::pickle::{Pickle, Storage};
use super::{HELD_MAX, Place, WeightsError};
use crate::scene::SharedSource;
use crate::scene::inflate::SourceReader;

/// ViT-H with its optimizer has about 2000 members.
const MEMBERS_MAX: usize = 1 << 16;
/// Deflate cannot do more than this.
const DEFLATE_RATIO: u64 = 1032;

/// The members of a file in the zip format.
pub struct Archive {
    name: String,
    len: u64,
    /// What stands before `data/KEY`.
    prefix: String,
    members: RefCell<ZipArchive<SourceReader>>,
}

impl Archive {
    /// Opens the archive and reads its pickle.
    pub fn open(source: &SharedSource) -> Result<(Self, Pickle), WeightsError> {
        let name = source.name();
        let failed = |error| zip_error(name, "the archive", error);
        let mut members = ZipArchive::new(SourceReader::whole(source.clone())).map_err(failed)?;
        if members.len() > MEMBERS_MAX {
            return Err(WeightsError::unsupported(name, format!("its archive has {} members", members.len())));
        }
        let pickles = members.file_names().filter(|member| *member == "data.pkl" || member.ends_with("/data.pkl"));
        let prefixes: Vec<String> = pickles.map(|member| member.trim_end_matches("data.pkl").to_owned()).collect();
        let [prefix] = &prefixes[..] else {
            let (name, found) = (name.to_owned(), "a zip archive that torch.save did not write".to_owned());
            return Err(WeightsError::Format { name, found });
        };
        if let Ok(member) = members.by_name(&format!("{prefix}byteorder")) {
            let mut order = String::new();
            let read = member.take(16).read_to_string(&mut order);
            if read.is_ok() && order.trim() == "big" {
                return Err(WeightsError::unsupported(name, "its numbers are big-endian"));
            }
        }
        let mut member = members.by_name(&format!("{prefix}data.pkl")).map_err(failed)?;
        let pickle = Pickle::read(name, &mut member)?;
        drop(member);
        let archive =
            Self { name: name.to_owned(), len: source.len(), prefix: prefix.clone(), members: RefCell::new(members) };
        Ok((archive, pickle))
    }

    /// Where the `bytes` bytes of a storage are.
    pub fn place(&self, storage: &Storage, bytes: u64) -> Result<Place, WeightsError> {
        let what = format!("the storage {}", storage.key);
        let damaged = |found: String| Err(WeightsError::malformed(&self.name, found));
        let mut members = self.members.borrow_mut();
        let Some(index) = members.index_for_name(&format!("{}data/{}", self.prefix, storage.key)) else {
            return damaged(format!("{what} is not in the archive"));
        };
        let member = members.by_index_raw(index).map_err(|error| zip_error(&self.name, &what, error))?;
        if member.encrypted() {
            return Err(WeightsError::unsupported(&self.name, "the archive is encrypted"));
        }
        if member.size() != bytes {
            return damaged(format!("{what} should have {bytes} bytes, but has {}", member.size()));
        }
        match member.compression() {
            CompressionMethod::Stored => {
                let start = member.data_start().unwrap_or(u64::MAX);
                match start.checked_add(bytes) {
                    Some(end) if end <= self.len && member.compressed_size() == bytes => Ok(Place::Plain(start)),
                    _ => damaged(format!("{what} lies outside the file")),
                }
            }
            CompressionMethod::Deflated => {
                let compressed = member.compressed_size();
                if compressed > self.len || bytes / DEFLATE_RATIO > compressed {
                    return damaged(format!("{what} says it holds {bytes} bytes, more than {compressed} bytes can"));
                }
                Ok(Place::Deflated(index))
            }
            other => Err(WeightsError::unsupported(&self.name, format!("{what} is compressed by {other}"))),
        }
    }

    /// Bytes `start..start + len` of a deflated member; at most [`HELD_MAX`].
    pub fn inflate(&self, index: usize, start: u64, len: u64) -> Result<Vec<u8>, WeightsError> {
        debug_assert!(len <= HELD_MAX);
        let mut members = self.members.borrow_mut();
        let mut member = members.by_index(index).map_err(|error| zip_error(&self.name, "a storage", error))?;
        let failed = |error: &std::io::Error| WeightsError::stream(&self.name, "a storage", error);
        copy(&mut (&mut member).take(start), &mut sink()).map_err(|error| failed(&error))?;
        let mut bytes = Vec::new();
        (&mut member).take(len).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if bytes.len() as u64 != len {
            return Err(WeightsError::malformed(&self.name, "a storage ends too early"));
        }
        Ok(bytes)
    }
}

fn zip_error(name: &str, what: &str, error: ZipError) -> WeightsError {
    match error {
        ZipError::Io(error) => WeightsError::stream(name, what, &error),
        ZipError::UnsupportedArchive(feature) => {
            WeightsError::unsupported(name, format!("{what} uses a feature that is not read ({feature})"))
        }
        error => WeightsError::malformed(name, format!("{what} is broken ({error})")),
    }
}
